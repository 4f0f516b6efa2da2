"""A client of one connection, which speaks WebSocket with `websockets`' own client protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri
from websockets.utils import apply_mask

from bolt_ws.daphne.connection import Connection
from bolt_ws.daphne.handshake import Handshake

from .fakes import Event, Held, Server, Transport, settle

DONE_WITHIN = 5.0  # seconds
MASK = b"mask"


def masked(first: int, payload: bytes = b"") -> bytes:
    """Return a client's frame, right or wrong, with a mask that is always the same."""
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE)) + size.to_bytes(2)
    return head + MASK + apply_mask(payload, MASK)


class Client:
    """The client's side of a connection, and the application's beside it.

    What it sends reaches the connection at once. What comes back is taken note of by `look()`.
    """

    def __init__(
        self,
        server: Server,
        *,
        target: str = "/echo?token=a-secret",
        early: bytes = b"",
        compress: bool = False,
        subprotocols: tuple[str, ...] = (),
        receives_apart: bool = False,
        **handshake: Any,
    ) -> None:
        self.protocol = ClientProtocol(
            parse_uri(f"ws://testserver{target}"),
            extensions=[ClientPerMessageDeflateFactory()] if compress else None,
            subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
            max_size=None,
        )
        self.server = server
        self.clock = server.loop
        request = self.protocol.connect()
        self.protocol.send_request(request)
        self.protocol.data_to_send()
        headers = [
            (name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()
        ]
        self.handshake = Handshake(
            **{
                "method": b"GET",
                "version": b"HTTP/1.1",
                "target": target.encode(),
                "headers": headers,
                "scheme": "ws",
                "client": ("192.0.2.1", 50_000),
                "server": ("192.0.2.2", 80),
                "root_path": "",
                "has_body": False,
                **handshake,
            }
        )
        self.application = Held(receives_apart=receives_apart)
        if server.application is None:
            server.application = self.application
        self.transport = Transport()
        self.connection = Connection(server, self.handshake, early)  # type: ignore[arg-type]
        self.transport.protocol = self.connection
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self.pings: list[bytes] = []
        self.closes: list[tuple[int, str]] = []
        self.response: Response | None = None
        self._parts: list[Frame] = []
        self._seen = 0

    # What comes back

    def look(self) -> None:
        """Take note of what the server has written. What is no WebSocket frame fails."""
        new, self._seen = self.transport.written[self._seen :], len(self.transport.written)
        for data in new:
            self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Response):
                self.response = event
                assert self.protocol.handshake_exc is None
            elif isinstance(event, Frame):
                self._frame_came(event)
        self.protocol.data_to_send()  # pongs, and the answer to a close: the test sends its own
        assert self.protocol.parser_exc is None

    def _frame_came(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            self.pings.append(bytes(frame.data))
        elif frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))
        elif frame.opcode is Opcode.CLOSE:
            close = self.protocol.close_rcvd
            assert close is not None
            self.closes.append((close.code, close.reason))
        else:
            self._parts.append(frame)
            if frame.fin:
                data = b"".join(part.data for part in self._parts)
                is_text = self._parts[0].opcode is Opcode.TEXT
                self.messages.append(data.decode() if is_text else data)
                self._parts = []

    @property
    def raw(self) -> bytes:
        """All that the server has written."""
        return b"".join(self.transport.written)

    # What goes out

    def put_bytes(self, data: bytes) -> None:
        """Send bytes, of whatever they are."""
        self.connection.data_received(data)

    def put(self, *messages: str | bytes) -> None:
        """Send whole messages, each in a piece of its own."""
        for message in messages:
            self.put_bytes(self.frames(message))

    def put_frame(self, opcode: int, data: bytes = b"", *, fin: bool = True) -> None:
        """Send a frame, whether it is its turn or not."""
        self.put_bytes(Frame(Opcode(opcode), data, fin).serialize(mask=True))

    def ping(self, data: bytes = b"") -> None:
        """Send a ping."""
        self.put_frame(Opcode.PING, data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame."""
        self.put_frame(Opcode.CLOSE, code.to_bytes(2) + reason.encode())

    def frames(self, message: str | bytes) -> bytes:
        """Return the frame of a message, compressed if that was agreed on."""
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        return b"".join(self.protocol.data_to_send())

    # The application's side

    async def receive(self) -> Event:
        """Receive as the application."""
        async with asyncio.timeout(DONE_WITHIN):
            event: Event = await self.connection.receive()
            return event

    async def send(self, event: Event | str | bytes) -> None:
        """Send as the application."""
        if isinstance(event, str):
            event = {"type": "websocket.send", "text": event}
        elif isinstance(event, bytes):
            event = {"type": "websocket.send", "bytes": event}
        async with asyncio.timeout(DONE_WITHIN):
            await self.connection.send(event)

    async def connect(self) -> None:
        """Begin, and take the first event."""
        self.connection.connection_made(self.transport)
        await settle()
        first = self.application.first or await self.receive()
        assert first == {"type": "websocket.connect"}

    async def accept(self, **options: Any) -> None:
        """Begin, and have the application accept."""
        await self.connect()
        await self.send({"type": "websocket.accept", **options})
        self.look()
        assert self.protocol.state is OPEN

    async def idle(self) -> asyncio.Task[Event]:
        """Have the application wait for the next event."""
        task = asyncio.create_task(self.receive())
        await settle()
        assert not task.done()
        return task

    async def end(self) -> None:
        """Lose the client, and see that nothing is left."""
        self.transport.lose()
        self.application.ignores_cancelling = False
        task = self.connection._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=DONE_WITHIN)
        await settle()
        assert self.connection not in self.server.websockets
        assert all(timer.is_cancelled for timer in self.clock.timers)


@asynccontextmanager
async def connecting(server: Server | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client whose handshake waits for an answer."""
    client = Client(server or Server(), **options)
    await client.connect()
    try:
        yield client
    finally:
        await client.end()


@asynccontextmanager
async def connected(server: Server | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client whose handshake is accepted."""
    async with connecting(server, **options) as client:
        await client.send({"type": "websocket.accept"})
        client.look()
        assert client.protocol.state is OPEN
        yield client
