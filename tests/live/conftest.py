"""The servers that the live tests share: one of each kind for all of them."""

from collections.abc import Callable, Iterator

import pytest

from .server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind, Server

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


@pytest.fixture(scope="session")
def servers(start_server: StartServer) -> Iterator[StartServer]:
    """Return the server of a kind, started once for all modules."""
    running: dict[str, Server] = {}

    def get(kind: Kind) -> Server:
        if kind.name not in running:
            running[kind.name] = start_server(kind)
        return running[kind.name]

    try:
        yield get
        for each in running.values():
            each.stop()
    finally:
        for each in running.values():
            each.kill()


@pytest.fixture(params=[DAPHNE, STOCK_DAPHNE, UVICORN], ids=str)
def server(request: pytest.FixtureRequest, servers: StartServer) -> Server:
    """A server of each kind in turn."""
    return servers(request.param)
