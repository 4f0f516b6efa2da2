"""The servers of the matrix, one of each kind, and ours with TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind, Server

from .certificate import write_certificate
from .script import ACCEPT, ECHO
from .wire import FIN, TEXT, TLS, frame, playing

MEBIBYTE = 1024 * 1024
"""The default limit of a message on Daphne."""

KINDS = [
    DAPHNE,
    STOCK_DAPHNE,
    # With the same limit, so that the tests can be the same.
    replace(UVICORN, command=(*UVICORN.command, "--ws-max-size", str(MEBIBYTE))),
]
DAPHNE_TLS = replace(
    DAPHNE,
    name=TLS,
    command=("daphne", "-e", "ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"),
)
OURS = (DAPHNE.name, DAPHNE_TLS.name)
StartServer = Callable[..., Server]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on a server of each kind, and on ours with TLS, if it can speak that."""
    if "server" in metafunc.fixturenames:
        with_tls = [] if hasattr(metafunc.module, "WITHOUT_TLS") else [DAPHNE_TLS]
        metafunc.parametrize("server", [*KINDS, *with_tls], ids=str, indirect=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> StartServer:
    """Start a server of the probe, with more options. Whoever calls it stops the server."""
    key_file, certificate_file = certificate

    def start(kind: Kind, *options: str) -> Server:
        command = [
            each.replace("{key}", str(key_file)).replace("{certificate}", str(certificate_file))
            for each in (*kind.command, *options)
        ]
        return Server(
            replace(kind, command=tuple(command)),
            "tests.live.matrix.asgi:application",
            tmp_path_factory.mktemp("matrix") / f"{kind}.log",
            {"DJANGO_SETTINGS_MODULE": "tests.live.matrix.settings"},
        )

    return start


@pytest.fixture(scope="session")
def servers(start_server: StartServer) -> Iterator[Callable[[Kind], Server]]:
    """Return the server of a kind, started once for all modules."""
    running: dict[str, Server] = {}

    def get(kind: Kind) -> Server:
        if kind.name not in running:
            running[kind.name] = start_server(kind)
        return running[kind.name]

    try:
        yield get
        for name in OURS:  # the others do not end well after all of this
            if name in running:
                running[name].stop()
    finally:
        for each in running.values():
            each.kill()


@pytest.fixture
def server(request: pytest.FixtureRequest, servers: Callable[[Kind], Server]) -> Server:
    """A server of each kind in turn."""
    return servers(request.param)


@pytest.fixture(autouse=True)
async def undisturbed(server: Server) -> AsyncIterator[None]:
    """Ours still serves, and has logged no error in the test but the expected."""
    server.forget_log()
    yield
    if server.kind.name not in OURS:
        return
    async with playing(server, ACCEPT, ECHO) as wire:
        await wire.send(frame(TEXT, b"still there?"))
        assert await wire.read_frame() == (FIN | TEXT, b"still there?")
    server.check_log()
