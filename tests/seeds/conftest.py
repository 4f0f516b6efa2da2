"""The pages' blocks, and a live server that serves them."""

from collections.abc import Iterator

import pytest

from tests.live.server import DAPHNE, Server
from tests.requirements import missing

from .pages import FOLDER, Block, Key, are_here, read_blocks


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
