"""Handshakes, good and bad, and bytes that come too early."""

import asyncio
from contextlib import suppress

import pytest

from tests.live.server import Server

from .differences import expected
from .script import ACCEPT, ECHO, RECEIVE, RECEIVE_UNTIL_GONE, close, kind_of, send, text
from .wire import FIN, KEY, TEXT, UPGRADE, Wire, dialled, frame, handshake, playing, request

LIST = list(UPGRADE.items())
CONTENT = ("Content-Length", "5")
WITHOUT_KEY = [each for each in LIST if each[1] != KEY]
WITHOUT_VERSION = [each for each in LIST if each[1] != "13"]

BAD = {
    "no key": request(headers=WITHOUT_KEY),
    "a short key": request(headers=[*WITHOUT_KEY, ("Sec-WebSocket-Key", "c2hvcnQ=")]),
    "a key that is no base64": request(headers=[*WITHOUT_KEY, ("Sec-WebSocket-Key", "*" * 24)]),
    "two keys": request(headers=[*LIST, ("Sec-WebSocket-Key", KEY)]),
    "POST": request("POST / HTTP/1.1"),
    "HTTP/1.0": request("GET / HTTP/1.0"),
    "no host": request(headers=LIST[1:]),
    "two hosts": request(headers=[*LIST, ("Host", "127.0.0.1")]),
    "a body": request(headers=[*LIST, CONTENT]) + b"hello",
    "a chunked body": request(headers=[*LIST, ("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n",
    "a version before": request(headers=[*WITHOUT_VERSION, ("Sec-WebSocket-Version", "12")]),
    "no version": request(headers=WITHOUT_VERSION),
    "two versions": request(headers=[*LIST, ("Sec-WebSocket-Version", "8")]),
}
VERSIONS = ("a version before", "no version", "two versions")


async def answered(wire: Wire) -> int | str:
    """The status of the answer, and whether the connection ended after it, as it should."""
    try:
        await wire.read_head()
        if wire.status == 101:
            return 101
        async with asyncio.timeout(2):
            await wire.read_body()
            return wire.status if not await wire.reader.read() else f"{wire.status}, and more"
    except TimeoutError:
        return f"{wire.status}, left open"
    except (asyncio.IncompleteReadError, ConnectionError):
        return "dropped"


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_handshake(server: Server, name: str) -> None:
    right = {name: 426 if name in VERSIONS else 400}
    right = expected(server.kind, "bad handshakes", right)[name]
    async with dialled(server) as wire:
        await wire.send(BAD[name])
        assert await answered(wire) == right
        if right == 426:
            assert wire.header("sec-websocket-version") == ["13"]


async def test_a_handshake_that_asks_for_no_upgrade(server: Server) -> None:
    right = expected(server.kind, "bad handshakes", {"no upgrade": 426})["no upgrade"]
    async with dialled(server) as wire:
        await wire.send(request(headers=[each for each in LIST if each[0] != "Connection"]))
        assert await answered(wire) == right


async def test_a_good_handshake(server: Server) -> None:
    async with playing(server, ACCEPT, close(1000)) as wire:
        assert wire.status == 101
        assert wire.header("sec-websocket-accept") == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
        assert [each.lower() for each in wire.header("upgrade")] == ["websocket"]
        assert [each.lower() for each in wire.header("connection")] == ["upgrade"]
        for absent in ("sec-websocket-protocol", "sec-websocket-extensions", "content-length"):
            assert wire.header(absent) == []
        assert await wire.read_end() == (1000, "")
        right = expected(server.kind, "the end after the close frames", "end of stream")
        assert right == ("reset" if wire.was_reset else "end of stream")


async def test_names_in_any_case_and_lists(server: Server) -> None:
    async with dialled(server) as wire:
        bytes_ = handshake(wire, ACCEPT, close(1000))
        bytes_ = bytes_.replace(b"Connection: Upgrade", b"CONNECTION: keep-alive, upGRADE")
        bytes_ = bytes_.replace(b"Upgrade: websocket", b"upgrade: WebSocket")
        bytes_ = bytes_.replace(b"Sec-WebSocket-Key", b"sec-websocket-key")
        await wire.send(bytes_)
        await wire.read_head()
        assert wire.status == 101
        assert await wire.read_end() == (1000, "")


async def test_a_handshake_that_comes_byte_by_byte(server: Server) -> None:
    async with dialled(server) as wire:
        everything = handshake(wire, ACCEPT, close(1000))
        for at in range(0, len(everything), 40):
            await wire.send(everything[at : at + 40])
            await asyncio.sleep(0)
        await wire.read_head()
        assert await wire.read_end() == (1000, "")


async def test_compression_is_not_offered(server: Server) -> None:
    headers = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
    async with playing(server, ACCEPT, close(1000), headers=headers) as wire:
        found = bool(wire.header("sec-websocket-extensions"))
        assert found is expected(server.kind, "permessage-deflate", False)


# What accepting says


async def test_accept_headers(server: Server) -> None:
    headers = [
        (b"set-cookie", b"a=1; Path=/"),
        (b"Set-Cookie", b"b=2; HttpOnly"),
        (b"x-latin", b"\xe9"),
    ]
    async with playing(server, RECEIVE, send("accept", headers=headers), close(1000)) as wire:
        found = {name: wire.header(name) for name in ("set-cookie", "x-latin")}
        right = {"set-cookie": ["a=1; Path=/", "b=2; HttpOnly"], "x-latin": ["\xe9"]}
        assert found == expected(server.kind, "accept headers", right)
        assert await wire.read_end() == (1000, "")
    assert (await wire.report())[1:] == ["sent", "sent"]


async def test_a_subprotocol_is_agreed_on(server: Server) -> None:
    headers = [("Sec-WebSocket-Protocol", "one, two"), ("Sec-WebSocket-Protocol", "three")]
    for chosen in ("one", "three"):
        script = [send("accept", subprotocol=chosen), close(1000)]
        async with playing(server, *script, headers=headers) as wire:
            assert wire.header("sec-websocket-protocol") == [chosen]
    async with playing(server, send("accept", subprotocol=None), headers=headers) as wire:
        assert wire.header("sec-websocket-protocol") == []


# What comes before its time


async def early(server: Server, *, apart: bool) -> str:
    """What becomes of a message that comes before the answer to the handshake."""
    async with dialled(server) as wire:
        accepts = (RECEIVE, ("wait_for", f"{wire.name} goes on"), ACCEPT, ECHO)
        first = handshake(wire, *accepts)
        if apart:
            await wire.send(first)
            await seen(server, wire)
            await wire.send(frame(TEXT, b"early"))
        else:
            await wire.send(first + frame(TEXT, b"early"))
        await wire.signal(f"{wire.name} goes on")
        await wire.read_head()
        if wire.status == 400:
            return "refused"
        await wire.send(frame(TEXT, b"in time"))
        return "processed" if await wire.read_text() == "early" else "dropped"


async def seen(server: Server, wire: Wire) -> None:
    """Wait until the application of a connection runs: it comes to its `seen` signal."""
    async with playing(server, ACCEPT, ("started", wire.name), text("it has")) as other:
        assert await other.read_text() == "it has"


async def test_a_message_right_behind_the_handshake(server: Server) -> None:
    right = expected(server.kind, "bytes behind the handshake", "processed")
    assert await early(server, apart=False) == right


async def test_a_message_before_the_accept(server: Server) -> None:
    right = expected(server.kind, "bytes before the accept", "processed")
    assert await early(server, apart=True) == right


async def test_a_hundred_messages_right_behind_the_handshake(server: Server) -> None:
    if expected(server.kind, "bytes behind the handshake", "processed") != "processed":
        return
    async with dialled(server) as wire:
        messages = [f"{number}".encode() * 100 for number in range(100)]
        frames = [frame(TEXT, message) for message in messages]
        await wire.send(handshake(wire, RECEIVE, ACCEPT, ECHO), *frames)
        await wire.read_head()
        assert [await wire.read_frame() for _ in messages] == [
            (FIN | TEXT, message) for message in messages
        ]


async def test_a_refusal_reaches_a_client_that_sends_on(server: Server) -> None:
    expected(server.kind, "a refusal while the client sends", "is read")
    async with dialled(server) as wire:
        await wire.send(handshake(wire, RECEIVE, close(1000)))
        with suppress(ConnectionError):  # asyncio's TLS stops sending at the end of the stream
            for _ in range(50):
                await wire.send(frame(TEXT, bytes(100_000)))
        assert await answered(wire) == 403


# Clients that go before they are in


async def test_a_client_that_vanishes_within_its_handshake(server: Server) -> None:
    async with dialled(server) as wire:
        await wire.send(handshake(wire, ACCEPT)[:-30])
        wire.abort()


@pytest.mark.parametrize("how", ["abort", "end of stream"])
async def test_a_client_that_vanishes_before_the_accept(server: Server, how: str) -> None:
    async with dialled(server) as wire:
        await wire.send(handshake(wire, RECEIVE, RECEIVE_UNTIL_GONE, ACCEPT))
        await seen(server, wire)
        if how == "abort":
            wire.abort()
        else:
            wire.end_stream()
        connect, received, sent = await wire.report()
    assert connect == {"type": "websocket.connect"}
    assert [(each["type"], each["code"]) for each in received] == [("websocket.disconnect", 1006)]
    right = expected(server.kind, "accept after the client has gone", {how: "OSError"})[how]
    assert kind_of(sent) == right
