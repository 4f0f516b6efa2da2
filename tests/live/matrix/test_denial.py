"""Refusals with a response of the application (`websocket.http.response`)."""

import asyncio

import pytest

from tests.live.server import Server

from .differences import expected
from .script import ACCEPT, RECEIVE, Step, body, kind_of, raises, start, text
from .wire import Wire, dialled, handshake, playing

JSON = (b"content-type", b"application/json")


@pytest.fixture(autouse=True)
def _can_deny(server: Server) -> None:
    expected(server.kind, "denial responses", "sent")


async def is_over(wire: Wire) -> bool:
    """Whether the stream ends after the response."""
    async with asyncio.timeout(2):
        return await wire.reader.read() == b""


@pytest.mark.parametrize("status", [200, 302, 401, 404, 429, 500, 503, 599])
async def test_status_headers_and_body(server: Server, status: int) -> None:
    headers = [JSON, (b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"retry-after", b"3")]
    content = b'{"detail": "no"}'
    async with playing(server, RECEIVE, start(status, *headers), body(content), RECEIVE) as wire:
        assert wire.status == status
        assert wire.header("content-type") == ["application/json"]
        assert wire.header("set-cookie") == ["a=1", "b=2"]
        assert wire.header("retry-after") == ["3"]
        assert wire.header("content-length") == [str(len(content))]
        for absent in ("upgrade", "sec-websocket-accept", "transfer-encoding"):
            assert wire.header(absent) == []
        assert await wire.read_body() == content
        assert await is_over(wire)
    _, *sent, last = await wire.report()
    assert sent == ["sent", "sent"]
    assert (last["type"], last["code"]) == ("websocket.disconnect", 1006)


async def test_a_content_length_of_the_application(server: Server) -> None:
    headers = [JSON, (b"Content-Length", b"4")]
    async with playing(server, start(418, *headers), body(b"ab", more=True), body(b"cd")) as wire:
        assert wire.header("content-length") == ["4"]
        assert wire.header("transfer-encoding") == []
        assert await wire.read_body() == b"abcd"
        assert await is_over(wire)


async def test_an_empty_body(server: Server) -> None:
    async with playing(server, start(401), body(b"")) as wire:
        assert wire.status == 401
        assert wire.header("content-length") == ["0"]
        assert await is_over(wire)


async def test_a_streamed_body(server: Server) -> None:
    parts = [body(part, more=True) for part in (b"one", b"", b"two" * 500)]
    async with playing(server, start(403), *parts, body(b"three")) as wire:
        assert await wire.read_body() == b"one" + b"two" * 500 + b"three"
        assert await is_over(wire)


async def test_each_part_is_sent_at_once(server: Server) -> None:
    """The response need not be finished for the client to read its beginning."""
    expected(server.kind, "denial responses: parts", "sent at once")
    async with dialled(server) as wire:
        name = f"{wire.name} ends"
        parts = (body(b"begun", more=True), ("wait_for", name), body(b", ended"))
        await wire.send(handshake(wire, start(403), *parts))
        await wire.read_head()
        chunked = wire.header("transfer-encoding") == ["chunked"]
        first = wire.reader.readexactly(len("5\r\nbegun\r\n" if chunked else "begun"))
        assert b"begun" in await first
        await wire.signal(name)
        rest = await wire.reader.read()
        assert rest.endswith(b"0\r\n\r\n" if chunked else b", ended")
        assert b", ended" in rest


UNFINISHED: dict[str, tuple[Step, ...]] = {
    "only the start": (start(401),),
    "start and a part": (start(401), body(b"part", more=True)),
    "a part of the announced length": (
        start(401, (b"content-length", b"10")),
        body(b"part", more=True),
    ),
}


@pytest.mark.parametrize("name", UNFINISHED)
@pytest.mark.parametrize("end", ["returns", "raises"])
async def test_a_response_that_is_not_finished(server: Server, name: str, end: str) -> None:
    """The connection ends, and not as if all had been said."""
    error = f"not finished: {name} {server.kind}"
    async with dialled(server) as wire:
        steps = UNFINISHED[name] + ((raises(error),) if end == "raises" else ())
        await wire.send(handshake(wire, *steps))
        right = {"only the start": "500 instead"}.get(name, "broken off")
        right = expected(server.kind, "denial responses: unfinished", {name: right})[name]
        assert await received(wire) == right
        await wire.report()
    if end == "raises":
        await server.failed(f"RuntimeError: {error}")


async def received(wire: Wire) -> str:
    """What came: a response that says it is complete, one that is broken off, or nothing."""
    try:
        async with asyncio.timeout(2):
            await wire.read_head()
            if wire.header("content-length") or wire.header("transfer-encoding"):
                await wire.read_body()
                return "500 instead" if wire.status == 500 else "complete"
            await wire.reader.read()
            return "ended"
    except TimeoutError:
        return "hangs"
    except (asyncio.IncompleteReadError, ConnectionError):
        return "broken off"


async def test_a_client_that_goes_meanwhile(server: Server) -> None:
    async with dialled(server) as wire:
        await wire.send(handshake(wire, RECEIVE, start(403), RECEIVE, body(b"late")))
        async with playing(server, ACCEPT, ("started", wire.name), text("it has")) as other:
            assert await other.read_text() == "it has"
        wire.abort()
        _, sent, gone, late = await wire.report()
    assert sent == "sent"
    assert (gone["type"], gone["code"]) == ("websocket.disconnect", 1006)
    assert kind_of(late) == "OSError"
