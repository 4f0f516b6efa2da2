"""Consumers of Channels, as its documentation has one write them."""

import itertools
import json

import pytest
from websockets.asyncio.client import ClientConnection

from tests.live.server import Server, close_of, connected, refused

from .consumers import SUBPROTOCOL
from .differences import expected

WITHOUT_TLS = True


async def check_close(server: Server, client: ClientConnection, said: str) -> None:
    """Have the consumer close."""
    if expected(server.kind, "close codes", {1008: "sent"})[1008] == "sent":
        await client.send(said)
        assert await close_of(client) == (1008, "as asked")


async def test_an_async_consumer(server: Server) -> None:
    options = {"subprotocols": [SUBPROTOCOL]}
    async with (
        connected(server, "/async", **options) as one,
        connected(server, "/async", **options) as two,
    ):
        assert one.subprotocol == SUBPROTOCOL
        assert one.response
        right = expected(server.kind, "accept headers", {"x-consumer": ["async"]})["x-consumer"]
        assert one.response.headers.get_all("x-consumer") == right
        await one.send("to all")
        assert await one.recv() == await two.recv() == "to all"
        await one.send(b"to one")
        assert await one.recv() == b"to one"
        await check_close(server, one, "close")
        await two.send("goes on")
        assert await two.recv() == "goes on"


async def test_a_sync_consumer(server: Server) -> None:
    async with connected(server, "/sync") as client:
        for said in ("text", b"bytes", "x" * 100_000):
            await client.send(said)
            assert await client.recv() == said
        await check_close(server, client, "close")


async def test_a_json_consumer(server: Server) -> None:
    async with connected(server, "/json") as client:
        await client.send(json.dumps({"a": [1, None, "\N{SNOWMAN}"]}))
        assert json.loads(await client.recv()) == {"a": [1, None, "\N{SNOWMAN}"]}
        await check_close(server, client, '"close"')


@pytest.mark.parametrize("path", ["/async", "/sync", "/json"])
async def test_clients_that_vanish(server: Server, path: str) -> None:
    """The consumer ends, and no error is logged."""
    async with connected(server, path, subprotocols=[SUBPROTOCOL]) as client:
        client.transport.abort()


names = (f"busy {number}" for number in itertools.count())


async def test_a_consumer_that_answers_too_late(server: Server) -> None:
    """It hears of the end from its `disconnect()`, as on Daphne, and not by an exception."""
    name = next(names)
    expected(server.kind, "a consumer that answers too late", "told")
    async with connected(server, "/busy") as client:
        await client.send(name)
        await server.logged(f"{name}: at work")
        await client.close(4321)
    async with connected(server, "/leaving"):
        await server.logged(f"{name}: answered")
        await server.logged(f"{name}: told of 4321")


async def test_a_consumer_that_refuses(server: Server) -> None:
    assert (await refused(server, "/denying"))[0] == 403
