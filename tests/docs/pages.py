"""The Python blocks of the README and of docs/, run in order in one module a page."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def source_of(page: Path) -> str:
    """Return the blocks of a page as one module, each on the lines that it has there."""
    text, source = page.read_text(), ""
    for found in _BLOCK.finditer(text):
        source += "\n" * (text.count("\n", 0, found.start(1)) - source.count("\n")) + found[1]
    return source


def run(page: Path) -> types.ModuleType:
    """Execute the blocks of a page and return the module that they made."""
    module = types.ModuleType(f"documented_{page.stem.lower()}")
    sys.modules[module.__name__] = module  # annotations are resolved there
    exec(compile(source_of(page), str(page), "exec"), vars(module))
    return module
