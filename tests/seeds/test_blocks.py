"""Every block of the five pages does what its page says."""

import pytest

from tests.live.server import Server, check_echo

from .drivers import InProcess, Live
from .loading import load
from .pages import Block, Key
from .scenarios import SCENARIOS

each_block = pytest.mark.parametrize(
    "key", SCENARIOS, ids=[f"{page}:{line}" for page, line in SCENARIOS]
)


@each_block
async def test_in_process(
    blocks: dict[Key, Block], key: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    await SCENARIOS[key](InProcess(load(blocks[key]), capsys))


@each_block
async def test_live(blocks: dict[Key, Block], key: Key, server: Server) -> None:
    block = blocks[key]
    await SCENARIOS[key](Live(load(block), block, server))
    await check_echo(server)
    server.check_log()
