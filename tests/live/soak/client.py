"""A client that costs the soak little, and that behaves as well or as badly as it is told."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

from tests.live.flow.client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    take_frames,
    upgrade,
)

HEAD_END = b"\r\n\r\n"
ANSWERED_WITHIN = 30.0  # seconds for an answer of a server that thousands ask
SMALL = 4096  # bytes that the system holds for a client that does not read


class Ended(Exception):
    """The connection has ended where more was expected."""


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


class Client(asyncio.Protocol):
    """One connection, of bytes until `upgrade` and of messages after it."""

    def __init__(self) -> None:
        self.status: int | None = None
        """That of the answer to the handshake."""
        self.messages: deque[str | bytes] = deque()
        self.has_ended = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.answers_pings = True
        self.can_write = True
        self.trouble = ""
        """What the server must not have sent."""
        self._data = bytearray()
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    async def connect(cls, address: str, buffer: int | None = None) -> Self:
        """Return a connection that nothing was sent on."""
        host, port = address.split(":")
        loop = asyncio.get_running_loop()
        own = socket.socket()
        try:
            own.setblocking(False)
            if buffer is not None:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            async with asyncio.timeout(ANSWERED_WITHIN):
                await loop.sock_connect(own, (host, int(port)))
                _, self = await loop.create_connection(cls, sock=own)
        except BaseException:
            own.close()
            raise
        return self

    async def upgrade(self, path: str, headers: Sequence[str] = ()) -> None:
        """Shake hands. Raises `Refused`."""
        lines = "".join(f"{each}\r\n" for each in (*headers, "")).encode()
        self.write(upgrade(path)[:-2] + lines)
        await self.until_upgraded()

    async def until_upgraded(self) -> None:
        """Wait for the answer to a handshake. Raises `Refused`."""
        if (status := await self.answer()) != 101:
            raise Refused(status)

    async def answer(self) -> int:
        """Return the status of the answer to a request. Raises `Ended`."""
        await self._until(lambda: self.status is not None)
        if self.status is None:
            raise Ended("no answer to the request")
        return self.status

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.has_ended = True
        self._wake()

    def pause_writing(self) -> None:
        self.can_write = False

    def resume_writing(self) -> None:
        self.can_write = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self.status is None:
            head, end, _ = self._data.partition(HEAD_END)
            if not end:
                return
            self.status = int(head.split(b" ")[1])
            del self._data[: len(head) + len(end)]
        if self.status == 101:
            for first, payload in take_frames(self._data):
                self._take(first, payload)
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _take(self, head: int, payload: bytes) -> None:
        opcode = head & 0x0F
        if head & 0xF0 != 0x80 or opcode not in (TEXT, BINARY, PING, PONG, CLOSE):
            self.trouble = f"a frame that begins with {head:#x}"
            self.transport.abort()
        elif opcode == TEXT:
            self.messages.append(payload.decode())
        elif opcode == BINARY:
            self.messages.append(payload)
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.close_reason = payload[2:].decode()
            self.write(frame(payload, CLOSE))
        elif opcode == PING and self.answers_pings:
            self.write(frame(payload, PONG))

    # What a behaviour calls

    async def _until(
        self, condition: Callable[[], object], within: float = ANSWERED_WITHIN
    ) -> None:
        """Wait until something holds, or the connection has ended. Raises `TimeoutError`."""
        if condition() or self.has_ended:
            return
        async with asyncio.timeout(within):
            while not (condition() or self.has_ended):
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # else asyncio logs that it is of no use
            self.transport.write(data)

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.write(frame(message.encode(), TEXT))
        else:
            self.write(frame(message, BINARY))

    async def next(self, within: float = ANSWERED_WITHIN) -> str | bytes:
        """Return the next message. Raises `TimeoutError`, or `Ended`."""
        await self._until(lambda: self.messages, within)
        if not self.messages:
            raise Ended(f"with {self.close_code} {self.close_reason} {self.trouble}")
        return self.messages.popleft()

    async def until_writable(self, within: float) -> None:
        """Wait until more can be written. Raises `TimeoutError`."""
        await self._until(lambda: self.can_write, within)

    async def end(self, within: float = ANSWERED_WITHIN) -> tuple[int | None, str]:
        """Wait until the server has ended the connection, and return its close code and reason."""
        await self._until(lambda: False, within)
        return self.close_code, self.close_reason

    async def close(self, code: int = 1000) -> None:
        """Close as one should, and see that the server does."""
        self.write(close_frame(code))
        ended_with = await self.end()
        if ended_with[0] != code:
            raise Ended(f"a close with {code} was answered by {ended_with} {self.trouble}")

    def pause(self) -> None:
        """Read no more, so that no ping is answered either."""
        if not self.has_ended:
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.has_ended:
            self.transport.resume_reading()

    def reset(self) -> None:
        """Vanish with an RST."""
        if not self.has_ended:
            own = self.transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def drop(self) -> None:
        """Vanish with a FIN and without a close frame."""
        self.transport.abort()
