"""The servers that the live tests share: one of each kind for all of them."""

from collections.abc import Callable, Iterator

import pytest

from .server import DAPHNE, UVICORN, Kind, Server

StartServer = Callable[[Kind], Server]


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> StartServer:
    """Start a server of the live tests' project. Whoever calls it stops the server."""

    def start(kind: Kind) -> Server:
        return Server(
            kind,
            "tests.live.project.asgi:application",
            tmp_path_factory.mktemp("server") / f"{kind}.log",
            {"DJANGO_SETTINGS_MODULE": "tests.live.project.settings"},
        )

    return start


@pytest.fixture(scope="session", params=[DAPHNE, UVICORN], ids=str)
def server(request: pytest.FixtureRequest, start_server: StartServer) -> Iterator[Server]:
    """A server of each kind in turn."""
    running = start_server(request.param)
    try:
        yield running
        running.stop()
    finally:
        running.kill()
