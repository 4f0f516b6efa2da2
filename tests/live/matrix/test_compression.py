"""permessage-deflate (RFC 7692), which our Daphne has where a setting says so."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.live.server import DAPHNE, STOCK_DAPHNE, Server, close_of, connected

from .conftest import MEBIBYTE, StartServer
from .script import ACCEPT, ECHO, RECEIVE, Step
from .wire import names

WITHOUT_TLS = True


@pytest.fixture(scope="session")
def ours(start_server: StartServer) -> Iterator[Server]:
    """Our Daphne with the setting."""
    running = start_server(replace(DAPHNE, environment={"TEST_DEFLATE": "1"}))
    try:
        yield running
        running.stop()
    finally:
        running.kill()


@pytest.fixture
def compressing(server: Server, request: pytest.FixtureRequest) -> Server:
    """A server of each kind that can compress. uvicorn does it by itself."""
    if server.kind.name == STOCK_DAPHNE.name:
        pytest.skip("stock Daphne never compresses")
    if server.kind.name == DAPHNE.name:
        own: Server = request.getfixturevalue("ours")
        return own
    return server


def options(*script: Step) -> dict[str, object]:
    """Options of a client that offers compression."""
    headers = {"name": next(names), "script": ascii(list(script))}
    return {"compression": "deflate", "additional_headers": headers}


async def test_messages(compressing: Server) -> None:
    async with connected(compressing, "/", **options(ACCEPT, ECHO)) as client:
        assert client.response
        extensions = client.response.headers["Sec-WebSocket-Extensions"]
        assert extensions.startswith("permessage-deflate")
        for message in ("text", "x" * MEBIBYTE, b"bytes" * 10_000, "", b"", "\xe9" * 3):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["in ", "three ", "fragments"])
        assert await client.recv() == "in three fragments"


async def test_the_limit_is_that_of_the_inflated(compressing: Server) -> None:
    for bomb in ("x" * (MEBIBYTE + 1), bytes(20 * MEBIBYTE)):
        async with connected(compressing, "/", **options(RECEIVE, ACCEPT, RECEIVE)) as client:
            await client.send(bomb)
            assert (await close_of(client))[0] == 1009


async def test_text_that_is_no_utf8(compressing: Server) -> None:
    async with connected(compressing, "/", **options(RECEIVE, ACCEPT, RECEIVE)) as client:
        await client.send(b"\xff" * 1000, text=True)
        assert (await close_of(client))[0] == 1007


async def test_clients_that_do_not_offer_it(compressing: Server) -> None:
    plain = options(ACCEPT, ECHO) | {"compression": None}
    async with connected(compressing, "/", **plain) as client:
        assert client.response
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        await client.send("plain")
        assert await client.recv() == "plain"
