"""The Python blocks of the README and of docs/, run in order in one module a page."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(page: Path) -> types.ModuleType:
    """Execute the blocks of a page and return the module that they made."""
    text = page.read_text()
    module = types.ModuleType(f"documented_{page.stem.lower()}")
    sys.modules[module.__name__] = module  # annotations are resolved there
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start(1))
        code = compile("\n" * line + found[1], str(page), "exec")
        exec(code, vars(module))
    return module
