"""Bad handshakes, and how they are answered."""

from __future__ import annotations

from typing import Any

import pytest

from .client import Client
from .fakes import Server, settle

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3
GOOD = {
    b"host": [b"testserver"],
    b"upgrade": [b"websocket"],
    b"connection": [b"Upgrade"],
    b"sec-websocket-key": [KEY],
    b"sec-websocket-version": [b"13"],
}


def headers_with(**changes: list[bytes]) -> list[tuple[bytes, bytes]]:
    headers = {**GOOD, **{name.replace("_", "-").encode(): each for name, each in changes.items()}}
    return [(name, value) for name, values in headers.items() for value in values]


async def answer(**handshake: Any) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer. The application has accepted, if it could."""
    client = Client(Server(), **handshake)
    client.connection.connection_made(client.transport)
    await settle()
    if client.application.scope:
        await client.application.send({"type": "websocket.accept"})
    else:
        assert client.transport.calls == ["write_eof"]
        assert client.server.logged == []
    head, _, body = client.raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    assert client.server.websockets == {client.connection}
    await client.end()
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


async def test_a_good_one() -> None:
    status, headers, body = await answer(headers=headers_with())
    assert (status, body) == (101, b"")
    assert headers.pop("Date")
    assert headers == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Server": "daphne",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"upgrade": [b"WebSocket"]},
        {"connection": [b"keep-alive, upgrade"]},
        {"connection": [b"keep-alive", b"Upgrade"]},
        {"origin": [b"https://elsewhere.example"]},  # is for the application to judge
        {"content_length": [b"0"]},
        {"sec_websocket_protocol": [b"chat"]},
        {"sec_websocket_extensions": [b"permessage-deflate; client_max_window_bits"]},
    ],
)
async def test_other_good_ones(changes: dict[str, list[bytes]]) -> None:
    status, headers, _ = await answer(headers=headers_with(**changes))
    assert status == 101
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "Sec-WebSocket-Protocol" not in headers
    assert "Sec-WebSocket-Extensions" not in headers


@pytest.mark.parametrize(
    "changes",
    [
        {"host": []},
        {"host": [b"one", b"two"]},
        {"connection": []},
        {"connection": [b"close"]},
        {"upgrade": [b"h2c"]},
        {"sec_websocket_key": []},
        {"sec_websocket_key": [KEY, KEY]},
        {"sec_websocket_key": [b"", KEY]},
        {"sec_websocket_key": [b"short"]},
        {"sec_websocket_key": [b"!" * 24]},
        {"sec_websocket_key": [KEY + b"="]},
        {"sec_websocket_key": [b" " + KEY[:-1]]},
        {"sec_websocket_key": [b"\xff" * 24]},
    ],
)
@pytest.mark.parametrize("deflate", [False, True])
async def test_bad_headers(deflate: bool, changes: dict[str, list[bytes]]) -> None:
    server = Server(deflate=deflate)
    client = Client(server, headers=headers_with(**changes))
    client.connection.connection_made(client.transport)
    await settle()
    assert client.raw.split()[1] in (b"400", b"426")
    assert client.application.scope == {}
    await client.end()


async def test_a_bad_offer() -> None:
    headers = headers_with(sec_websocket_extensions=[b"permessage-deflate; ="])
    client = Client(Server(deflate=True), headers=headers)
    client.connection.connection_made(client.transport)
    assert client.raw.startswith(b"HTTP/1.1 400 ")
    await client.end()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": b"POST"}, b"is a GET request"),
        ({"version": b"HTTP/1.0"}, b"needs HTTP/1.1"),
        ({"has_body": True}, b"has no body"),
    ],
)
async def test_bad_requests(changes: dict[str, Any], reason: bytes) -> None:
    status, headers, body = await answer(headers=headers_with(), **changes)
    assert status == 400
    assert reason in body
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Length"] == str(len(body))
    assert headers["Connection"] == "close"


@pytest.mark.parametrize("versions", [[], [b"8"], [b"12, 13"], [b"13", b"13"], [b"013"]])
async def test_other_versions(versions: list[bytes]) -> None:
    status, headers, _ = await answer(headers=headers_with(sec_websocket_version=versions))
    assert status == 426
    assert headers["Sec-WebSocket-Version"] == "13"


async def test_one_handshake_leaves_nothing_to_the_next() -> None:
    """One negotiator answers all."""
    server = Server(deflate=True)
    offers = [b"permessage-deflate; client_max_window_bits"]
    extensions = []
    for headers in (
        headers_with(sec_websocket_extensions=offers),
        headers_with(sec_websocket_key=[]),
        headers_with(),
        headers_with(sec_websocket_extensions=offers),
    ):
        client = Client(server, headers=headers)
        client.connection.connection_made(client.transport)
        extensions.append(list(client.connection._extensions))
        await client.end()
    assert [len(each) for each in extensions] == [1, 0, 0, 1]
    assert extensions[0][0] is not extensions[3][0]  # each has a history of its own
