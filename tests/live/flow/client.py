"""A WebSocket client that reads and writes only when it is told to."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
BLOCKED_AFTER = 0.5  # seconds in which the socket took nothing
ENDED = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)


def frame(data: bytes, opcode: int = BINARY) -> bytes:
    """Return a client's frame. Its mask is zero, which masks nothing and costs nothing."""
    head = bytes([0x80 | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 2**16:
        head += bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + len(data).to_bytes(8, "big")
    return head + bytes(4) + data


def take_frames(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the whole frames out of what has come from a server: the first byte, and the data."""
    at = 0
    while len(buffer) >= at + 2:
        first, size, begin = buffer[at], buffer[at + 1], at + 2
        if size == 126:
            begin = at + 4
            size = int.from_bytes(buffer[at + 2 : begin], "big")
        elif size == 127:
            begin = at + 10
            size = int.from_bytes(buffer[at + 2 : begin], "big")
        if len(buffer) < begin + size:
            break
        at = begin + size
        yield first, bytes(buffer[begin:at])
    del buffer[:at]


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(code.to_bytes(2, "big") + reason.encode(), CLOSE)


def upgrade(path: str) -> bytes:
    """Return the request that opens a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


@dataclass(frozen=True)
class Address:
    """Where a server listens: a port of this machine, with TLS or without, or a Unix socket."""

    port: int = 0
    path: str = ""
    context: ssl.SSLContext | None = None

    @asynccontextmanager
    async def connected(self, receive_buffer: int | None = None) -> AsyncIterator["Client"]:
        """A connection that nothing was sent on. Afterwards it is dropped.

        `receive_buffer` is how many bytes the system shall hold for a client that does not read.
        """
        own = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        own.setblocking(False)
        try:
            if receive_buffer:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await self._connect(own)
            reader, writer = await asyncio.open_connection(
                sock=own,
                ssl=self.context,
                server_hostname="127.0.0.1" if self.context else None,
            )
        except BaseException:
            own.close()
            raise
        client = Client(reader, writer)
        try:
            yield client
        finally:
            await client.drop()

    async def _connect(self, own: socket.socket) -> None:
        if not self.path:
            await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", self.port))
            return
        while True:
            try:
                own.connect(self.path)
            except BlockingIOError:  # many wait to be accepted, and the loop would not try again
                await asyncio.sleep(0.01)
            else:
                return

    @asynccontextmanager
    async def opened(self, path: str, receive_buffer: int | None = None) -> AsyncIterator["Client"]:
        """An open WebSocket."""
        async with self.connected(receive_buffer) as client:
            await client.upgrade(path)
            yield client


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def upgrade(self, path: str) -> Self:
        await self.write(upgrade(path))
        answer = await self.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return self

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, data: bytes | str) -> None:
        await self.write(frame(data) if isinstance(data, bytes) else frame(data.encode(), TEXT))

    async def throw(self, make: Callable[[int], bytes], count: int) -> int:
        """Write what `make(0)`, `make(1)`, ... return until the socket is full.

        Return how many were written; the last of them may be on its way still.
        """
        with suppress(TimeoutError):
            for number in range(count):
                self.writer.write(make(number))
                async with asyncio.timeout(BLOCKED_AFTER):
                    await self.writer.drain()
            return count
        return number + 1

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame, its opcode and its data."""
        first, second = await self.reader.readexactly(2)
        assert first & 0x80, "a fragment"
        size = second
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    async def message(self) -> bytes:
        """Return the next message, answering the pings before it."""
        while True:
            opcode, data = await self.frame()
            if opcode == PING:
                await self.write(frame(data, PONG))
            elif opcode != PONG:
                assert opcode in (TEXT, BINARY), (opcode, data)
                return data

    async def close_code(self) -> int:
        """Read on to the server's close, and return its code."""
        while True:
            opcode, data = await self.frame()
            if opcode == CLOSE:
                return int.from_bytes(data[:2], "big")

    async def close(self, code: int = 1000) -> None:
        """Close as one should: with the closing handshake, and the server ends the connection."""
        await self.write(close_frame(code))
        assert await self.close_code() == code
        await self.ended()

    async def ended(self) -> bytes:
        """Read to the end of the connection, however it ends, and return what came."""
        data = b""
        with suppress(*ENDED):
            while more := await self.reader.read(65536):
                data += more
        return data

    async def drop(self) -> None:
        self.writer.transport.abort()
        with suppress(*ENDED):
            await self.writer.wait_closed()
