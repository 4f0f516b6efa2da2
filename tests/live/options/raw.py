"""HTTP and WebSockets over a bare stream: what a library's client would not send or show."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from tests.live.server import DONE_WITHIN, Server

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Frame(NamedTuple):
    opcode: int
    data: bytes


class Response(NamedTuple):
    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of this name."""
        found = re.search(rb"(?im)^" + name.encode() + rb":[ ]*(.*?)\r$", self.head)
        return found[1].decode() if found else None


@asynccontextmanager
async def opened(server: Server, seconds: float = DONE_WITHIN) -> AsyncIterator[Stream]:
    """A TCP connection to the server, bounded in time."""
    host, _, port = server.address.partition(":")
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def request(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Return the bytes of a request over HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def handshake(path: str, *headers: str) -> bytes:
    """Return the bytes of a WebSocket's opening handshake."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key)
    return request(path, *upgrade, *headers)


async def read_response(reader: asyncio.StreamReader, method: str = "GET") -> Response:
    """Read one response, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    response = Response(status, head, b"")
    if method == "HEAD" or status < 200 or status in (204, 304):
        return response
    if response.header("Transfer-Encoding") == "chunked":
        body = b"".join([chunk async for chunk in chunks(reader)])
    elif (length := response.header("Content-Length")) is not None:
        body = await reader.readexactly(int(length))
    else:
        body = await reader.read()
    return response._replace(body=body)


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Read the chunks of a body (RFC 9112 section 7.1)."""
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)


async def answers(server: Server, data: bytes) -> bytes:
    """Send `data` on a new connection and return all that comes until its end."""
    async with opened(server) as (reader, writer):
        writer.write(data)
        await writer.drain()
        answer = b""
        with suppress(ConnectionResetError):
            while part := await reader.read(65536):
                answer += part
        return answer


async def fetch(server: Server, path: str, *headers: str, method: str = "GET") -> Response:
    """Send one request on a connection of its own."""
    async with opened(server) as (reader, writer):
        writer.write(request(path, *headers, "Connection: close", method=method))
        return await read_response(reader, method)


def frame(opcode: int, data: bytes) -> bytes:
    """Return the bytes of a client's frame (RFC 6455 section 5.2) of at most 125 bytes."""
    assert len(data) < 126
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + masked


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    """Read a server's short frames until it closes or drops the connection."""
    with suppress(ConnectionResetError):
        while head := await reader.read(1):
            (length,) = await reader.readexactly(1)
            assert length < 126
            yield Frame(head[0] & 0x0F, await reader.readexactly(length))


# What differs from one answer to the next.
_VARYING = [
    (re.compile(rb"(csrftoken|sessionid)=[^;\r]+"), rb"\1=..."),
    (re.compile(rb"(?i)(csrfmiddlewaretoken\" value=\")[^\"]+"), rb"\1..."),
    (re.compile(rb"(?i)(expires[:=] ?)[^;\r]+"), rb"\1..."),
    (re.compile(rb"(?im)^(Date: )[^\r]+"), rb"\1..."),
]


def comparable(data: bytes) -> bytes:
    """Return an answer without its dates and tokens."""
    for pattern, instead in _VARYING:
        data = pattern.sub(instead, data)
    return data
