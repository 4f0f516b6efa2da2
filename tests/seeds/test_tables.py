"""Every block is accounted for, and the tables say nothing that is not so."""

from .loading import load
from .pages import Block, Key
from .scenarios import SCENARIOS
from .substitutions import SUBSTITUTIONS, Replaced


def test_each_page_has_blocks(blocks: dict[Key, Block]) -> None:
    counts = {page: sum(key[0] == page for key in blocks) for page, _ in blocks}
    assert counts == {"bocadillo": 17, "cello": 11, "django-bolt": 18, "robyn": 8, "starlette": 12}


def test_each_block_runs(blocks: dict[Key, Block]) -> None:
    assert sorted(SCENARIOS) == sorted(blocks)


def test_each_substitution_is_used(blocks: dict[Key, Block]) -> None:
    for each in SUBSTITUTIONS:
        if isinstance(each, Replaced):
            keys = [key for key, block in blocks.items() if lies_in(each, block)]
        else:
            keys = [(each.page, each.line)]
        assert len(keys) == 1, each
        assert keys[0] in blocks, each


def lies_in(each: Replaced, block: Block) -> bool:
    return each.page == block.page and each.line in block.lines


def test_each_substitution_is_needed(blocks: dict[Key, Block]) -> None:
    for key in SCENARIOS:
        load(blocks[key])  # raises UnusedSubstitution
