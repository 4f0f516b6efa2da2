"""The two ways to drive a block: through Channels' communicator, and over a real connection."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pytest
from channels.testing import WebsocketCommunicator
from websockets.asyncio.client import ClientConnection

from tests.live.server import Server, close_of, connected, refused

from .loading import Loaded
from .pages import Block

WITHIN = 5.0  # seconds, for each thing that is waited for

NO_HEADERS: Mapping[str, str] = {}


SUBPROTOCOLS = "Sec-WebSocket-Protocol"


class Connection(Protocol):
    """A client's end of a connection."""

    subprotocol: str | None
    """What the server chose."""

    async def send(self, data: str | bytes) -> None: ...

    async def receive(self) -> str | bytes: ...

    async def recv(self) -> str | bytes:
        """Be `receive`, for a page's client."""
        ...

    async def close(self, code: int = 1000, raises: Exception | None = None) -> None:
        """Close it. `raises` is what then leaves the handler, to be logged by the server."""
        ...

    async def vanish(self) -> None:
        """Be gone without a close frame. The server is told, nothing waits for the handler."""
        ...

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the server's close, and return its code and reason."""
        ...


class Client(Protocol):
    """Connects to the endpoints of one block."""

    loaded: Loaded

    def connect(
        self, path: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> AbstractAsyncContextManager[Connection]:
        """Return a connection. Leaving it closes it, and in process waits for the handler."""
        ...

    async def refused(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Connect, and see that it is refused."""
        ...

    def close(self, code: int, reason: str = "") -> tuple[int, str]:
        """Return what the client sees where the server closes with `code` and `reason`."""
        ...

    async def printed(self, pattern: str) -> None:
        """Wait until a line was printed that is all `pattern`."""
        ...


class CommunicatorConnection:
    def __init__(self, communicator: WebsocketCommunicator, subprotocol: str | None) -> None:
        self.communicator = communicator
        self.subprotocol = subprotocol
        self.is_open = True

    async def send(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        await self.communicator.send_input({"type": "websocket.receive", kind: data})

    async def output(self, kind: str) -> dict[str, Any]:
        event: dict[str, Any] = await self.communicator.receive_output(WITHIN)
        assert event["type"] == kind, event
        return event

    async def receive(self) -> str | bytes:
        event = await self.output("websocket.send")
        data: str | bytes = event["bytes"] if event.get("text") is None else event["text"]
        return data

    recv = receive

    async def close(self, code: int = 1000, raises: Exception | None = None) -> None:
        self.is_open = False
        await self.communicator.send_input({"type": "websocket.disconnect", "code": code})
        if raises is None:
            await self.communicator.wait(WITHIN)
        else:
            with pytest.raises(type(raises), match=f"^{re.escape(str(raises))}$"):
                await self.communicator.wait(WITHIN)

    async def vanish(self) -> None:
        self.is_open = False
        await self.communicator.send_input({"type": "websocket.disconnect", "code": 1006})

    async def closed(self) -> tuple[int | None, str | None]:
        event = await self.output("websocket.close")
        self.is_open = False
        await self.communicator.wait(WITHIN)
        return event["code"], event["reason"]


class InProcess:
    """Drives the API itself, as Channels' users do."""

    def __init__(self, loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
        self.loaded = loaded
        self.capsys = capsys
        self.output = ""

    def communicator(self, path: str, headers: Mapping[str, str]) -> WebsocketCommunicator:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        offered = headers.get(SUBPROTOCOLS, "").split(", ") if SUBPROTOCOLS in headers else []
        return WebsocketCommunicator(
            self.loaded.api.as_asgi(), path, headers=raw, subprotocols=offered
        )

    @asynccontextmanager
    async def connect(
        self, path: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> AsyncIterator[Connection]:
        communicator = self.communicator(path, headers)
        accepted, subprotocol = await communicator.connect(WITHIN)
        assert accepted, f"{path} was refused"
        connection = CommunicatorConnection(communicator, subprotocol)
        yield connection
        if connection.is_open:
            await connection.close()
        elif not communicator.future.done():  # it vanished
            await communicator.wait(WITHIN)

    async def refused(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        communicator = self.communicator(path, headers)
        accepted, _ = await communicator.connect(WITHIN)
        assert not accepted, f"{path} was accepted"
        await communicator.wait(WITHIN)

    def close(self, code: int, reason: str = "") -> tuple[int, str]:
        return code, reason

    async def printed(self, pattern: str) -> None:
        compiled = re.compile(f"^{pattern}$", re.MULTILINE)
        end = time.monotonic() + WITHIN
        while True:
            self.output += self.capsys.readouterr().out
            if compiled.search(self.output):
                return
            assert time.monotonic() < end, f"{pattern!r} was not printed:\n{self.output}"
            await asyncio.sleep(0.01)


class LiveConnection:
    def __init__(self, client: ClientConnection, server: Server) -> None:
        self.client = client
        self.server = server
        self.subprotocol = client.subprotocol

    async def send(self, data: str | bytes) -> None:
        await self.client.send(data)

    async def receive(self) -> str | bytes:
        return await self.client.recv()

    recv = receive

    async def close(self, code: int = 1000, raises: Exception | None = None) -> None:
        await self.client.close(code)
        if raises is not None:
            kind = type(raises)
            await self.server.failed(f"{kind.__module__}.{kind.__qualname__}: {raises}")

    async def vanish(self) -> None:
        self.client.transport.abort()
        await self.client.wait_closed()

    async def closed(self) -> tuple[int | None, str | None]:
        return await close_of(self.client)


class Live:
    """Drives a block that a server serves under a path of its own."""

    def __init__(self, loaded: Loaded, block: Block, server: Server) -> None:
        self.loaded = loaded
        self.server = server
        self.prefix = prefix_of(block)
        self.start = len(server.log)

    @asynccontextmanager
    async def connect(
        self, path: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> AsyncIterator[Connection]:
        others = {name: value for name, value in headers.items() if name != SUBPROTOCOLS}
        offered = headers[SUBPROTOCOLS].split(", ") if SUBPROTOCOLS in headers else None
        async with connected(
            self.server, self.prefix + path, additional_headers=others, subprotocols=offered
        ) as client:
            yield LiveConnection(client, self.server)

    async def refused(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        await refused(self.server, self.prefix + path, additional_headers=headers)

    def close(self, code: int, reason: str = "") -> tuple[int, str]:
        return self.server.kind.close(code, reason)

    async def printed(self, pattern: str) -> None:
        # print() writes a line's end apart, so that Daphne's access log may come between.
        line = f"^{pattern}($|127\\.0\\.0\\.1:)"
        await asyncio.to_thread(self.server.wait_for, line, WITHIN, start=self.start)


def prefix_of(block: Block) -> str:
    """Return where the live server has the block's API."""
    return f"/{block.page}/{block.line}"
