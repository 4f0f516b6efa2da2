"""What many tests need: a scope, an endpoint in one line, the server's end of a connection."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
from autobahn.exception import Disconnected
from django.conf import settings

from bolt_ws import BoltAPI
from bolt_ws.rooms.hubs import _hubs
from bolt_ws.servers import END_EXTENSION
from bolt_ws.testing.server_end import ServerEnd

TIMEOUT = 5.0
"""Seconds after which a test gives up waiting."""

Event = dict[str, Any]
Application = Callable[..., Awaitable[Any]]

CONNECT: Event = {"type": "websocket.connect"}
ACCEPT: Event = {"type": "websocket.accept", "subprotocol": None, "headers": []}

GONE: list[Exception] = [
    BrokenPipeError(),
    OSError(),
    Disconnected("Attempt to send on a closed protocol"),
    RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'."),
    RuntimeError(
        "Expected ASGI message 'websocket.accept', 'websocket.close' or "
        "'websocket.http.response.start' but got 'websocket.send'."
    ),
]
"""What servers raise where the client is gone: by the specification, Daphne, and uvicorn where it
has closed the connection by itself, or has not sent our accept."""


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


class Connection(ServerEnd):
    """A connection to an application, seen from the server: `sent` is all that came out.

    It is the test client's own server's end, as patient as Daphne with a client that has left: what
    is sent to it is noted. What an ASGI server would not take makes `end()` fail. `on_send` sees
    each message first, and may raise or wait.
    """

    most_unread = sys.maxsize

    def __init__(
        self,
        application: Application,
        path: str = "/",
        *,
        on_send: Callable[[Event], Awaitable[None]] | None = None,
        **scope: Any,
    ) -> None:
        super().__init__(application, make_scope(path, **scope))
        self.violations: list[Event] = []
        self.on_send = on_send

    def put(self, *messages: str | bytes) -> None:
        """The client sends messages."""
        for message in messages:
            kind = "text" if isinstance(message, str) else "bytes"
            self.put_event({"type": "websocket.receive", kind: message})

    def leave(self, code: int = 1001, reason: str = "") -> None:
        """The client is gone."""
        self.put_event({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def send(self, event: Event) -> None:
        """ASGI's send."""
        if self.on_send is not None:
            await self.on_send(event)
        try:
            await super().send(event)
        except (RuntimeError, ValueError):
            self.violations.append(event)
            raise

    async def next(self, timeout: float | None = TIMEOUT) -> Event:
        """Return what the application sends next."""
        if self.task is None:
            self.start()
        event = await super().next(timeout)
        assert event is not None, "the application has ended"
        return event

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


class TellingConnection(Connection):
    """A connection whose server knows its end before the application has read it, as Daphne."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope.setdefault("extensions", {})[END_EXTENSION] = {"ask": self.ask_for_end}

    def ask_for_end(self) -> tuple[int, str] | None:
        last = self._inbound[-1] if self._inbound else {"type": ""}
        return (last["code"], last["reason"]) if last["type"] == "websocket.disconnect" else None


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


def assert_nobody_is_left() -> None:
    """Fail if a connection or a room is left in any event loop of this process."""
    assert [hub for hub in _hubs.values() if hub.is_in_use] == []
