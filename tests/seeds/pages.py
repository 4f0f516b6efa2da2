"""The Python blocks of the five pages. The pages are read where they are; none is kept here."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "seeds"
PAGES = ("bocadillo", "cello", "django-bolt", "robyn", "starlette")

Key = tuple[str, int]
"""A page and the line on which a block's fence opens."""

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block. `line` is that of its fence; its code begins on the next one."""

    page: str
    line: int
    source: str

    @property
    def key(self) -> Key:
        return self.page, self.line

    @property
    def lines(self) -> range:
        """The numbers of the lines of its code."""
        return range(self.line + 1, self.line + 1 + self.source.count("\n"))


def are_here() -> bool:
    return all((FOLDER / f"{page}.md").is_file() for page in PAGES)


def read_blocks() -> dict[Key, Block]:
    """Return all blocks of all pages."""
    blocks = {}
    for page in PAGES:
        text = (FOLDER / f"{page}.md").read_text()
        for found in _BLOCK.finditer(text):
            block = Block(page, text.count("\n", 0, found.start()) + 1, found[1])
            blocks[block.key] = block
    return blocks
