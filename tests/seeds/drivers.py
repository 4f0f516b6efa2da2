"""The two ways to drive a block: with the test client, and over a real connection."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
from websockets.asyncio.client import ClientConnection

from bolt_ws.testing import AsyncTestClient, AsyncWebSocketSession
from bolt_ws.testing.connecting import ConnectOptions
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


class TestConnection:
    """A connection of the test client."""

    __test__ = False

    def __init__(self, session: AsyncWebSocketSession) -> None:
        self.session = session
        self.subprotocol = session.accepted_subprotocol

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.session.send_text(data)
        else:
            await self.session.send_bytes(data)

    async def receive(self) -> str | bytes:
        return await self.session.receive()

    recv = receive

    async def close(self, code: int = 1000, raises: Exception | None = None) -> None:
        if raises is None:
            await self.session.close(code)
        else:
            with pytest.raises(type(raises), match=f"^{re.escape(str(raises))}$"):
                await self.session.close(code)

    async def vanish(self) -> None:
        self.session.vanish()

    async def closed(self) -> tuple[int | None, str | None]:
        await self.session.assert_closed()
        return self.session.close_code, self.session.close_reason


class InProcess:
    """Drives the API itself, with the test client."""

    def __init__(self, loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
        self.client = AsyncTestClient(loaded.api, timeout=WITHIN)
        self.loaded = loaded
        self.capsys = capsys
        self.output = ""

    @asynccontextmanager
    async def connect(
        self, path: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> AsyncIterator[Connection]:
        async with self.client.websocket_connect(path, **_options(headers)) as session:
            yield TestConnection(session)

    async def refused(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        await self.client.assert_refused(path, **_options(headers))

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


def _options(headers: Mapping[str, str]) -> ConnectOptions:
    offered = headers.get(SUBPROTOCOLS)
    others = {name: value for name, value in headers.items() if name != SUBPROTOCOLS}
    return {"headers": others, "subprotocols": offered.split(", ") if offered else ()}


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
