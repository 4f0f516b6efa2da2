"""What a handler can do with its connection, on our Daphne, stock Daphne and uvicorn."""

from collections.abc import AsyncIterator

import pytest

from .server import Server, check_echo, close_of, connected, refused


@pytest.fixture(autouse=True)
async def undisturbed(server: Server) -> AsyncIterator[None]:
    yield
    await check_echo(server)
    server.check_log()


async def test_callbacks_and_broadcasts(server: Server) -> None:
    async with connected(server, "/connection/chat/a") as one:
        assert await one.recv() == "Welcome to a"
        async with connected(server, "/connection/chat/a") as two:
            assert await two.recv() == "Welcome to a"
            await two.send("hello")
            assert await one.recv() == await two.recv() == "hello"
        assert await one.recv() == "left with 1000"


async def test_the_last_message_comes_before_the_close(server: Server) -> None:
    async with connected(server, "/connection/quits") as client:
        await client.send('{"x":1,"y":2}')
        assert await client.recv() == '{"x":2,"y":1}'
        assert await client.recv() == '{"goodbye":true}'
        assert (await close_of(client))[0] == 1000


async def test_a_message_of_another_type(server: Server) -> None:
    async with connected(server, "/connection/quits") as client:
        await client.send('{"x":"one"}')
        assert await client.recv() == '{"goodbye":true}'
        assert (await close_of(client))[0] == (1007 if server.kind.has_standard_codes else 4007)


@pytest.mark.parametrize("status", [403, 404, 429, 503])
async def test_reject(server: Server, status: int) -> None:
    found, body = await refused(server, f"/connection/rejects/{status}")
    assert found == server.kind.status(status)
    if server.kind.can_deny:
        assert b"as asked" in body


async def test_a_streamed_denial_response(server: Server) -> None:
    found, body = await refused(server, "/connection/streams")
    assert found == server.kind.status(418)
    if server.kind.can_deny:
        assert body == b"abc"


async def test_an_exception_handler(server: Server) -> None:
    async with connected(server, "/connection/handled") as client:
        assert (await close_of(client))[0] == 4242


async def test_dependencies_are_torn_down(server: Server) -> None:
    async with connected(server, "/connection/depends?limit=2") as client:
        assert await client.recv() == '["open",2]'
    async with connected(server, "/connection/torn-down") as client:
        assert await client.recv() == "torn down"
    found, _ = await refused(server, "/connection/depends?limit=0")
    assert found == server.kind.status(422)


async def test_a_consumer_as_endpoint(server: Server) -> None:
    async with connected(server, "/connection/consumer") as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_websocket_close_as_endpoint(server: Server) -> None:
    assert (await refused(server, "/connection/closed"))[0] == 403
