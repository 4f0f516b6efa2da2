"""The HTTP side: accepts with what they carry, refusals and their bodies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .client import Client, connected, connecting
from .fakes import Event, Server, settle

ACCEPT = {"type": "websocket.accept"}
START = "websocket.http.response.start"
BODY = "websocket.http.response.body"


def answer_of(client: Client) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    head, separator, body = client.raw.partition(b"\r\n\r\n")
    assert separator
    status, *lines = head.split(b"\r\n")
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    return status, [each for each in headers if each[0] != b"Date"], body


# Accepting


async def test_headers_of_an_accept() -> None:
    headers = [(b"X-One", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    async with connecting() as client:
        await client.send({**ACCEPT, "headers": headers})
        status, sent, body = answer_of(client)
        assert status == b"HTTP/1.1 101 Switching Protocols"
        assert [each for each in sent if each in headers] == headers
        assert (b"Server", b"daphne") in sent
        assert body == b""


@pytest.mark.parametrize("name", ["", "a server of ours"])
async def test_the_name_of_the_server(name: str) -> None:
    server = Server()
    server.server_name = name
    async with connecting(server) as client:
        await client.send(ACCEPT)
        _, sent, _ = answer_of(client)
        assert [value for key, value in sent if key == b"Server"] == ([name.encode()] * bool(name))


async def test_headers_of_the_application_win() -> None:
    async with connecting() as client:
        headers = [(b"server", b"another"), (b"date", b"some day")]
        await client.send({**ACCEPT, "headers": headers})
        names = [line.split(b":")[0].lower() for line in client.raw.split(b"\r\n")]
        assert (names.count(b"server"), names.count(b"date")) == (1, 1)


async def test_a_subprotocol() -> None:
    async with connecting(subprotocols=("chat", "superchat")) as client:
        await settle()
        assert client.application.scope["subprotocols"] == ["chat", "superchat"]
        await client.send({**ACCEPT, "subprotocol": "superchat"})
        client.look()
        assert client.protocol.subprotocol == "superchat"


@pytest.mark.parametrize("subprotocol", ["other", "", "chat\r\nX: 1", b"chat", 7])
async def test_a_subprotocol_that_was_not_offered(subprotocol: Any) -> None:
    async with connecting(subprotocols=("chat",)) as client:
        with pytest.raises(ValueError, match="is none that the client has offered"):
            await client.send({**ACCEPT, "subprotocol": subprotocol})
        assert client.transport.written == []


BAD_HEADERS: list[tuple[Any, type[Exception]]] = [
    (("x", b"y"), TypeError),
    ((b"x", "y"), TypeError),
    ((b"", b"y"), ValueError),
    ((b"x:", b"y"), ValueError),
    ((b"x y", b"y"), ValueError),
    ((b":status", b"200"), ValueError),
    ((b"x\r\ny", b"y"), ValueError),
    ((b"x\n", b"y"), ValueError),
    ((b"x", b"y\r\nz: 1"), ValueError),
    ((b"x", b"y\0"), ValueError),
]


@pytest.mark.parametrize(("header", "error"), BAD_HEADERS)
@pytest.mark.parametrize("event", [ACCEPT, {"type": START, "status": 401}], ids=["accept", "deny"])
async def test_bad_headers(event: Event, header: Any, error: type[Exception]) -> None:
    async with connecting() as client:
        with pytest.raises(error, match="header"):
            await client.send({**event, "headers": [(b"good", b"one"), header]})
        assert client.transport.written == []
        await client.send(ACCEPT)


@pytest.mark.parametrize(
    "name", [b"Sec-WebSocket-Protocol", b"sec-websocket-accept", b"Upgrade", b"connection"]
)
async def test_headers_of_the_handshake_itself(name: bytes) -> None:
    async with connecting() as client:
        with pytest.raises(ValueError, match="is the server's own"):
            await client.send({**ACCEPT, "headers": [(name, b"x")]})


# Refusing


async def test_a_close_refuses() -> None:
    async with connecting() as client:
        await client.send({"type": "websocket.close", "code": 4001, "reason": "not told"})
        status, headers, body = answer_of(client)
        assert (status, body) == (b"HTTP/1.1 403 Forbidden", b"Forbidden")
        assert headers == [
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"9"),
            (b"Connection", b"close"),
            (b"Server", b"daphne"),
        ]
        assert client.transport.calls == ["write_eof"]
        assert client.server.logged == ["connecting", "rejected"]
        assert (await client.receive())["code"] == 1006
        with pytest.raises(OSError, match="too late"):
            await client.send(ACCEPT)


async def test_a_denial() -> None:
    async with connecting() as client:
        headers = [(b"content-type", b"text/html"), (b"www-authenticate", b"Bearer")]
        await client.send({"type": START, "status": 401, "headers": headers})
        assert client.transport.written == []  # the size of its body is not known
        await client.send({"type": BODY, "body": b"<p>No</p>"})
        status, sent, body = answer_of(client)
        assert (status, body) == (b"HTTP/1.1 401 Unauthorized", b"<p>No</p>")
        assert sent[:2] == headers
        assert (b"Content-Length", b"9") in sent
        assert (b"Connection", b"close") in sent
        assert client.transport.calls == ["write_eof"]
        assert client.server.logged == ["connecting", "rejected"]
        assert (await client.receive())["type"] == "websocket.disconnect"
        with pytest.raises(OSError, match="too late"):
            await client.send({"type": BODY, "body": b"more"})


async def test_a_denial_in_pieces() -> None:
    async with connecting() as client:
        await client.send({"type": START, "status": 299})
        await client.send({"type": BODY, "body": b"one", "more_body": True})
        await client.send({"type": BODY, "more_body": True})
        await client.send({"type": BODY, "body": b"twenty-two letters long"})
        status, sent, body = answer_of(client)
        assert status == b"HTTP/1.1 299 Unknown"
        assert (b"Transfer-Encoding", b"chunked") in sent
        assert not [name for name, _ in sent if name.lower() == b"content-length"]
        assert body == b"3\r\none\r\n17\r\ntwenty-two letters long\r\n0\r\n\r\n"
        assert client.transport.calls == ["write_eof"]


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_denial_that_says_its_size(in_pieces: bool) -> None:
    async with connecting() as client:
        await client.send({"type": START, "status": 401, "headers": [(b"content-length", b"5")]})
        if in_pieces:
            await client.send({"type": BODY, "body": b"fi", "more_body": True})
            await client.send({"type": BODY, "body": b"ve!"})
        else:
            await client.send({"type": BODY, "body": b"five!"})
        _, sent, body = answer_of(client)
        lengths = [value for name, value in sent if name.lower() == b"content-length"]
        assert (lengths, body) == ([b"5"], b"five!")
        assert not [name for name, _ in sent if name.lower() == b"transfer-encoding"]


async def test_a_denial_without_a_body() -> None:
    async with connecting() as client:
        await client.send({"type": START, "status": 404, "headers": []})
        await client.send({"type": BODY})
        _, sent, body = answer_of(client)
        assert (b"Content-Length", b"0") in sent
        assert body == b""


async def test_headers_between_two_hops_are_ours() -> None:
    async with connecting() as client:
        headers = [(b"Connection", b"keep-alive"), (b"transfer-encoding", b"gzip")]
        await client.send({"type": START, "status": 401, "headers": headers})
        await client.send({"type": BODY, "body": b"no"})
        names = [name.lower() for name, _ in answer_of(client)[1]]
        assert names.count(b"connection") == 1
        assert b"transfer-encoding" not in names


@pytest.mark.parametrize("status", [101, 199, 600, 0, "401", None, 401.0])
async def test_a_status_that_denies_nothing(status: Any) -> None:
    async with connecting() as client:
        with pytest.raises(ValueError, match="cannot refuse a handshake"):
            await client.send({"type": START, "status": status})
        await client.send(ACCEPT)


async def test_a_body_that_is_none() -> None:
    async with connecting() as client:
        await client.send({"type": START, "status": 401})
        with pytest.raises(TypeError, match="body must be bytes, not str"):
            await client.send({"type": BODY, "body": "no"})
        assert client.transport.written == []
        await client.send({"type": BODY, "body": b"no"})


async def test_a_denial_that_is_not_begun() -> None:
    async with connecting() as client:
        await client.send({"type": START, "status": 401})
        await settle()
        client.application.returns()
        await settle()
        assert client.raw.startswith(b"HTTP/1.1 500 ")


async def test_a_denial_that_is_not_finished() -> None:
    """What is missing must not look like the end."""
    async with connecting() as client:
        await client.send({"type": START, "status": 401})
        await client.send({"type": BODY, "body": b"begun", "more_body": True})
        await settle()
        client.application.returns()
        await settle()
        assert client.transport.calls == ["abort"]
        assert client.raw.endswith(b"5\r\nbegun\r\n")


async def test_a_denial_waits_for_a_client_that_does_not_read() -> None:
    async with connecting() as client:
        await client.send({"type": START, "status": 401})
        client.transport.fill()
        more = {"type": BODY, "body": b"begun", "more_body": True}
        sending = asyncio.create_task(client.send(more))
        await settle()
        assert not sending.done()
        client.transport.drain()
        await sending
        client.transport.fill()
        sending = asyncio.create_task(client.send(more))
        await settle()
        client.transport.lose()
        with pytest.raises(OSError, match="while this waited"):
            await sending


async def test_what_comes_after_a_refusal_is_discarded() -> None:
    async with connecting() as client:
        client.put_bytes(bytes(70_000))
        assert not client.transport.is_reading
        await client.send({"type": "websocket.close"})
        for _ in range(10):
            assert client.transport.is_reading
            client.put_bytes(bytes(70_000))
        assert client.transport.is_reading
        assert len(client.transport.written) == 1


async def test_no_status_line_is_new_each_time() -> None:
    async with connected() as first, connected() as second:
        assert first.raw.count(b"Date: ") == second.raw.count(b"Date: ") == 1
