"""Clients by the hundred: a WebSocket client that costs the tests little."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from tests.live.flow.client import CLOSE, PING, PONG, TEXT, close_frame, frame, take_frames, upgrade

WITHIN = 10.0  # seconds for one answer
HEAD_END = b"\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection. It keeps what comes in `received`, in order."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.close_code: int | None = None
        self.close_reason = ""
        self.received: list[bytes] = []
        self._data = bytearray()
        self._wanted = 0
        self._enough: asyncio.Future[None] | None = None
        self._read = 0

    @classmethod
    async def connect(cls, address: str, path: str) -> Self:
        """Return a connection that is open."""
        host, port = address.split(":")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WITHIN):
            transport, self = await loop.create_connection(cls, host, int(port))
            transport.write(upgrade(path))
            await self.opened
        return self

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)
        for waiting in (self.opened, self._enough):
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectionError(f"ended with {self.close_code}"))

    def data_received(self, data: bytes) -> None:
        buffer = self._data
        buffer += data
        if not self.opened.done():
            head, end, _ = buffer.partition(HEAD_END)
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(ConnectionError(bytes(head)))
                self.transport.abort()
                return
            del buffer[: len(head) + len(end)]
            self.opened.set_result(None)
        for first, payload in take_frames(buffer):
            self._take(first, payload)
        if self._enough is not None and len(self.received) >= self._wanted:
            if not self._enough.done():
                self._enough.set_result(None)
            self._enough = None

    def _take(self, opcode: int, payload: bytes) -> None:
        assert opcode & 0x80, "a fragment"
        opcode &= 0x0F
        if opcode == TEXT:
            self.received.append(payload)
        elif opcode == PING:
            self.transport.write(frame(payload, PONG))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            self.close_reason = payload[2:].decode()
            self.transport.write(frame(payload, CLOSE))
        else:
            raise AssertionError((opcode, payload))

    # What a test calls

    def send(self, value: Any) -> None:
        """Send JSON."""
        self.transport.write(frame(json.dumps(value).encode(), TEXT))

    async def until(self, count: int) -> None:
        """Wait until so many messages have been received."""
        if len(self.received) < count:
            if self.ended.done():
                raise ConnectionError(f"ended with {self.close_code}")
            self._wanted = count
            self._enough = asyncio.get_running_loop().create_future()
            await self._enough

    async def next(self) -> Any:
        """Return what the next message says."""
        async with asyncio.timeout(WITHIN):
            await self.until(self._read + 1)
        self._read += 1
        return json.loads(self.received[self._read - 1])

    async def close(self) -> None:
        """Close, and wait for the end. It may have ended already."""
        if not self.ended.done():
            self.transport.write(close_frame(1000))
        async with asyncio.timeout(WITHIN):
            await self.ended

    def abort(self) -> None:
        """Vanish without a close."""
        self.transport.abort()


@asynccontextmanager
async def connected(address: str, path: str) -> AsyncIterator[Client]:
    """A connection, which is closed afterwards."""
    client = await Client.connect(address, path)
    try:
        yield client
    finally:
        await client.close()


async def close_all(clients: Sequence[Client]) -> None:
    """Close all connections."""
    await asyncio.gather(*(each.close() for each in clients))


async def post(address: str, path: str, value: Any) -> None:
    """Post JSON to a page, and see that it is taken."""
    body = json.dumps(value).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n"
    async with asyncio.timeout(WITHIN):
        reader, writer = await asyncio.open_connection(*address.split(":"))
        try:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.read()
        finally:
            writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
