"""`WebSocketSession`: what `TestClient` gives, an `AsyncWebSocketSession` that is waited for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..exceptions import WebSocketDisconnect
from ..servers import Event
from ..states import WebSocketState
from .runtime import Runtime
from .session import AsyncWebSocketSession

__tracebackhide__ = True  # pytest shows the test's line and the handler's

P = ParamSpec("P")
R = TypeVar("R")


def _waits_for(
    method: Callable[Concatenate[AsyncWebSocketSession, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[WebSocketSession, P], R]:
    """Return a method of the asynchronous session, waited for."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(self: WebSocketSession, /, *args: P.args, **kwargs: P.kwargs) -> R:
        coroutine = method(self._session, *args, **kwargs)
        timeout = signature.bind(self._session, *args, **kwargs).arguments.get("timeout")
        return self._runtime.run(coroutine, self._session.patience(timeout))

    del call.__wrapped__  # it is a coroutine function, and this is not
    return call


class WebSocketSession:
    """One connection of a `TestClient`: entered, it is open; left, its handler has ended."""

    def __init__(self, session: AsyncWebSocketSession, runtime: Runtime) -> None:
        self._session = session
        self._runtime = runtime

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} {self.state.name}>"

    send_text = _waits_for(AsyncWebSocketSession.send_text)
    send_bytes = _waits_for(AsyncWebSocketSession.send_bytes)
    send_json = _waits_for(AsyncWebSocketSession.send_json)
    receive = _waits_for(AsyncWebSocketSession.receive)
    receive_text = _waits_for(AsyncWebSocketSession.receive_text)
    receive_bytes = _waits_for(AsyncWebSocketSession.receive_bytes)
    receive_json = _waits_for(AsyncWebSocketSession.receive_json)
    receive_nothing = _waits_for(AsyncWebSocketSession.receive_nothing)
    close = _waits_for(AsyncWebSocketSession.close)
    assert_closed = _waits_for(AsyncWebSocketSession.assert_closed)

    def vanish(self) -> None:
        """Be gone without a close frame, and wait for nothing."""
        self._runtime.run(_call(self._session.vanish), self._session.patience())

    def cancel(self) -> None:
        """Cancel the application, as a server does that shuts down."""
        self._runtime.run(_call(self._session.cancel), self._session.patience())

    def iter_text(self) -> Iterator[str]:
        """Yield texts until the application closes. Each is waited for as in `receive_text`."""
        return _until_end(self.receive_text)

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield binary messages until the application closes."""
        return _until_end(self.receive_bytes)

    def iter_json(self) -> Iterator[Any]:
        """Yield what JSON messages say until the application closes."""
        return _until_end(self.receive_json)

    # What is known without waiting

    @property
    def path(self) -> str:
        """The requested path."""
        return self._session.path

    @property
    def scope(self) -> Event:
        """The ASGI scope that the application got."""
        return self._session.scope

    @property
    def sent(self) -> list[Event]:
        """All ASGI messages that the application has sent so far, those not received too."""
        return self._session.sent

    @property
    def state(self) -> WebSocketState:
        """Where the connection stands, for what the client has seen of it."""
        return self._session.state

    @property
    def client_state(self) -> WebSocketState:
        """What the client has done: DISCONNECTED when it has closed, or seen the end."""
        return self._session.client_state

    @property
    def application_state(self) -> WebSocketState:
        """What the application has done: DISCONNECTED as soon as it has closed, seen or not."""
        return self._session.application_state

    @property
    def accepted_subprotocol(self) -> str | None:
        """The subprotocol that the application chose."""
        return self._session.accepted_subprotocol

    @property
    def extra_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that came with the accept."""
        return self._session.extra_headers

    @property
    def close_code(self) -> int | None:
        """The code of the first end that the client saw or caused. None while there was no end."""
        return self._session.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason that came with `close_code`."""
        return self._session.close_reason

    @property
    def error(self) -> BaseException | None:
        """What left the application, if it failed."""
        return self._session.error


async def _call(function: Callable[[], None]) -> None:
    function()


def _until_end(receive: Callable[[], R]) -> Iterator[R]:
    while True:
        try:
            message = receive()
        except WebSocketDisconnect:
            return
        yield message
