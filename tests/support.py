"""What many tests need: a scope, an endpoint in one line, the server's end of a connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
from django.conf import settings

from bolt_ws import BoltAPI

TIMEOUT = 5.0
"""Seconds after which a test gives up waiting."""

Event = dict[str, Any]
Application = Callable[..., Awaitable[Any]]

CONNECT: Event = {"type": "websocket.connect"}
ACCEPT: Event = {"type": "websocket.accept", "subprotocol": None, "headers": []}


def text(data: str) -> Event:
    """A text message, as the application sends it."""
    return {"type": "websocket.send", "text": data}


def close(code: int = 1000, reason: str = "") -> Event:
    """A close, as the application sends it."""
    return {"type": "websocket.close", "code": code, "reason": reason}


def make_scope(
    path: str = "/", *, query: str | bytes = b"", deny: bool = False, **more: Any
) -> Event:
    """A WebSocket scope as Daphne makes it; with `deny`, as uvicorn does."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "path": path,
        "query_string": query.encode() if isinstance(query, str) else query,
        "headers": [(b"host", b"testserver")],
        "client": ["127.0.0.1", 50000],
        "server": ["127.0.0.1", 8000],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if deny else {},
        **more,
    }


def serve(handler: Callable[..., Any], path: str = "/", **options: Any) -> Application:
    """An application that serves one handler."""
    api = BoltAPI()
    api.websocket(path, **options)(handler)
    return api.as_asgi()


def make_token(key: str | bytes | None = None, algorithm: str = "HS256", **claims: Any) -> str:
    """A token that is valid for `JWTAuthentication()`, but for the claims given; None omits one."""
    claims = {"sub": "7", "exp": int(time.time()) + 60, **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, settings.SECRET_KEY if key is None else key, algorithm=algorithm)


class Connection:
    """A connection to an application, seen from the server: `sent` is all that came out.

    It notes what an ASGI server would not take, and `end()` fails on it. `on_send` sees each
    message first, and may raise or wait.
    """

    def __init__(
        self,
        application: Application,
        path: str = "/",
        *,
        on_send: Callable[[Event], Awaitable[None]] | None = None,
        **scope: Any,
    ) -> None:
        self.application = application
        self.scope = make_scope(path, **scope)
        self.sent: list[Event] = []
        self.violations: list[Event] = []
        self.on_send = on_send
        self.task: asyncio.Task[Any] | None = None
        self._inbound: asyncio.Queue[Event] = asyncio.Queue()
        self._outbound: asyncio.Queue[Event] = asyncio.Queue()
        self._inbound.put_nowait(CONNECT)

    def put(self, *messages: str | bytes) -> None:
        """The client sends messages."""
        for message in messages:
            if isinstance(message, str):
                self.put_event({"type": "websocket.receive", "text": message})
            else:
                self.put_event({"type": "websocket.receive", "bytes": message})

    def put_event(self, event: Event) -> None:
        """The server has this ASGI message for the application."""
        self._inbound.put_nowait(event)

    def leave(self, code: int = 1001, reason: str = "") -> None:
        """The client is gone."""
        self.put_event({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def receive(self) -> Event:
        """ASGI's receive."""
        return await self._inbound.get()

    async def send(self, event: Event) -> None:
        """ASGI's send."""
        if self.on_send is not None:
            await self.on_send(event)
        if not self._is_expected(event["type"]):
            self.violations.append(event)
        self.sent.append(event)
        self._outbound.put_nowait(event)
        if event["type"] == "websocket.close":
            self.leave(event.get("code", 1000))

    def _is_expected(self, kind: str) -> bool:
        kinds = [event["type"] for event in self.sent]
        if not kinds:
            return kind in (
                "websocket.accept",
                "websocket.close",
                "websocket.http.response.start",
            )
        if kinds[0] == "websocket.accept":
            open_ = "websocket.close" not in kinds
            return open_ and kind in ("websocket.send", "websocket.close")
        if kinds[0] == "websocket.http.response.start":
            return self.sent[-1].get("more_body", True) and kind == "websocket.http.response.body"
        return False

    def start(self) -> None:
        """Run the application in a task."""
        self.task = asyncio.create_task(self.application(self.scope, self.receive, self.send))

    async def next(self) -> Event:
        """Return what the application sends next."""
        if self.task is None:
            self.start()
        return await asyncio.wait_for(self._outbound.get(), TIMEOUT)

    async def end(self) -> list[Event]:
        """Run the application to its end, and return all that it sent."""
        if self.task is None:
            self.start()
        assert self.task is not None
        try:
            await asyncio.wait_for(self.task, TIMEOUT)
        finally:
            assert self.violations == []
        return self.sent

    @property
    def terminal(self) -> list[Event]:
        """The messages that ended the connection."""
        return [
            event
            for event in self.sent
            if event["type"] == "websocket.close"
            or (event["type"] == "websocket.http.response.body" and not event.get("more_body"))
        ]


async def talk(
    application: Application, path: str = "/", *messages: str | bytes, **scope: Any
) -> list[Event]:
    """Connect, send `messages`, leave, and return all that the application sent."""
    connection = Connection(application, path, **scope)
    connection.put(*messages)
    connection.leave()
    return await connection.end()


async def status(application: Application, path: str = "/", **scope: Any) -> int:
    """Return the HTTP status that a handshake is answered with; 101 is an accept."""
    sent = await talk(application, path, deny=True, **scope)
    return 101 if sent[0]["type"] == "websocket.accept" else sent[0]["status"]
