"""The pages' blocks, and a live server that serves them."""

import signal
from collections.abc import Iterator

import pytest

from tests.live.server import DAPHNE, Server
from tests.requirements import missing

from .pages import FOLDER, Block, Key, are_here, read_blocks


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Take back the handlers of a block that sets some."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def blocks() -> dict[Key, Block]:
    if not are_here():
        missing("seeds", f"needs the five pages: {FOLDER} has not all of them")
    return read_blocks()


@pytest.fixture(scope="session")
def server(blocks: dict[Key, Block], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        DAPHNE,
        "tests.seeds.project.asgi:application",
        tmp_path_factory.mktemp("server") / "daphne.log",
        {"DJANGO_SETTINGS_MODULE": "tests.seeds.project.settings"},
    )
    try:
        yield running
        running.stop()
    finally:
        running.kill()
