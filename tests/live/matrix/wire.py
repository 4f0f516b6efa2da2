"""A client's side of one connection, byte by byte, so that it can be as wrong as a test wants."""

from __future__ import annotations

import ast
import asyncio
import functools
import itertools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.live.server import DONE_WITHIN, Server

from .script import ACCEPT, Step

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
TLS = "daphne-tls"
"""The name of the kind of server that is spoken to with TLS."""
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # that of RFC 6455, section 1.3
ENDED_WITHIN = 3.0
"""Seconds in which the end of stream follows a close frame."""

UPGRADE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
Lines = Iterable[tuple[str, str]]
"""Headers in their order, with duplicates."""

names = (f"play-{number}" for number in itertools.count())


def request(first: str = "GET / HTTP/1.1", headers: Lines | None = None) -> bytes:
    """The bytes of a handshake."""
    items = UPGRADE.items() if headers is None else headers
    lines = [first, *(f"{name}: {value}" for name, value in items), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0, masked: bool = True
) -> bytes:
    """A frame (RFC 6455 section 5.2), with reserved `bits` in the first byte."""
    size = len(payload)
    flag = 0x80 if masked else 0
    head = bytes([opcode | bits | (FIN if fin else 0)])
    if size < 126:
        head += bytes([flag | size])
    elif size < 0x10000:
        head += struct.pack("!BH", flag | 126, size)
    else:
        head += struct.pack("!BQ", flag | 127, size)
    # A mask of zeros is as good as any other here, and leaves the payload as it is.
    return head + (bytes(4) if masked else b"") + payload


def close_frame(code: int, reason: str | bytes = b"") -> bytes:
    encoded = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, struct.pack("!H", code) + encoded)


class Wire:
    """A connection. Where the handshake was answered, `status` and `headers` are the answer's."""

    status = 0
    headers: list[tuple[str, str]]
    was_reset = False
    """The server reset the connection, when all had been said."""

    def __init__(
        self,
        server: Server,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.server = server
        self.name = name
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def read_head(self) -> None:
        """Read the answer to the handshake, without its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        self.status = int(first.split(" ")[1])
        parts = (line.partition(":") for line in lines)
        self.headers = [(name.lower(), value.strip()) for name, _, value in parts]

    def header(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [value for each, value in self.headers if each == name]

    async def read_body(self) -> bytes:
        """Read the body of a refusal. Raises `asyncio.IncompleteReadError` for a part of one."""
        if self.header("transfer-encoding") == ["chunked"]:
            return b"".join([chunk async for chunk in self.chunks()])
        if length := self.header("content-length"):
            return await self.reader.readexactly(int(length[0]))
        return await self.reader.read()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The parts of a chunked body (RFC 9112 section 7.1)."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            chunk = await self.reader.readexactly(size + 2)
            yield chunk[:-2]
        assert await self.reader.readexactly(2) == b"\r\n"

    async def read_frame(self) -> tuple[int, bytes]:
        """Return a frame's opcode, with `FIN` if it is there, and its payload."""
        first, size = await self.reader.readexactly(2)
        assert size < 0x80, "a server's frames have no mask"
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first, await self.reader.readexactly(size)

    async def read_text(self) -> str:
        first, payload = await self.read_frame()
        assert first == FIN | TEXT, (first, payload)
        return payload.decode()

    async def read_end(self, *, answers: bool = True) -> Any:
        """Read on to the end, and return how it came: code and reason, if all is as it should be.

        A client that answers sends its own close after the server's. One that has broken the
        protocol needs not: the server ends the connection (RFC 6455 section 7.1.7).
        """
        end = None
        try:
            while True:
                first, payload = await self.read_frame()
                if first == FIN | CLOSE:
                    end = self._close_in(payload)
                    break
            if answers:
                await self.send(frame(CLOSE, payload[:2]))
            async with asyncio.timeout(ENDED_WITHIN):
                rest = await self.reader.read()
        except asyncio.IncompleteReadError:
            return "dropped"
        except ConnectionError:
            if end is None or not answers:
                return "reset" if end is None else (*end, "reset")
            self.was_reset = True
            rest = b""
        except TimeoutError:
            return "hung" if end is None else (*end, "left open")
        return (*end, rest) if rest else end

    @staticmethod
    def _close_in(payload: bytes) -> tuple[int | None, str]:
        code = int.from_bytes(payload[:2], "big") if payload else None
        return code, payload[2:].decode()

    async def read_code(self) -> int | str:
        """Return the code with which the server ends it, if it ends as it should."""
        end = await self.read_end(answers=False)
        if isinstance(end, str):
            return end
        code: int = end[0]
        return code if len(end) == 2 else f"{code}, {end[2]}"

    async def report(self) -> list[Any]:
        """Return what each step of the script saw, once it has ended."""
        async with playing(self.server, ACCEPT, ("tell", self.name)) as other:
            outcomes: list[Any] = ast.literal_eval(await other.read_text())
            return outcomes

    async def signal(self, name: str) -> None:
        """Let a script that waits for it go on."""
        async with playing(self.server, ACCEPT, ("give_signal", name)) as other:
            await other.read_end()

    def end_stream(self) -> None:
        """Say no more, but listen on. TLS cannot."""
        if not self.writer.can_write_eof():
            pytest.skip("TLS ends in both directions at once")
        self.writer.write_eof()

    def abort(self) -> None:
        """Vanish: without a close frame, with a reset."""
        self.writer.transport.abort()


@asynccontextmanager
async def dialled(server: Server, buffers: int | None = None) -> AsyncIterator[Wire]:
    """A connection before its handshake, bounded in time. `buffers` are the socket's, in bytes."""
    host, _, port = server.address.partition(":")
    sock = socket.socket()
    sock.setblocking(False)
    if buffers is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    async with asyncio.timeout(DONE_WITHIN):
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        context = unverified() if server.kind.name == TLS else None
        hostname = host if context else None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=hostname
        )
        try:
            yield Wire(server, next(names), reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@functools.cache
def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def handshake(wire: Wire, *script: Step, target: str = "/", headers: Lines = ()) -> bytes:
    """The bytes of a handshake that sends a script along."""
    own = [("name", wire.name), ("script", ascii(list(script)))]
    return request(f"GET {target} HTTP/1.1", [*UPGRADE.items(), *headers, *own])


@asynccontextmanager
async def playing(
    server: Server, *script: Step, target: str = "/", headers: Lines = ()
) -> AsyncIterator[Wire]:
    """A connection whose application plays a script, once its handshake was answered."""
    async with dialled(server) as wire:
        await wire.send(handshake(wire, *script, target=target, headers=headers))
        await wire.read_head()
        yield wire
