"""All that is decided about an endpoint before anybody connects."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channels.db import database_sync_to_async
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404

from .admission import Admission, Arguments
from .blocking import BlockingWebSocket, twin_of
from .bounded import BoundedWebSocket
from .bounds import Bounds
from .dependencies import unbroken
from .exceptions import (
    DeclarationError,
    InvalidJSON,
    Refusal,
    UnexpectedFrame,
    WebSocketException,
    WebSocketRejected,
)
from .handshake import Reverser, Scope
from .lending import call_with_lent
from .outbox import OutboxPolicy
from .parameters import Binder, compile_binder
from .peers import Peers
from .servers import Receive, Send
from .signatures import Signature
from .threads import Slot
from .values import ValueType
from .websocket import WebSocket

_WITH_AN_ENDING_OF_THEIR_OWN = frozenset(
    {
        InvalidJSON,
        UnexpectedFrame,
        WebSocketException,
        Http404,
        PermissionDenied,
        SuspiciousOperation,
        ValidationError,
    }
)


GAP = "bolt_ws.gap"
"""The type of what `on_gap` callbacks are for."""

_in_any_thread = database_sync_to_async(call_with_lent, thread_sensitive=False)


class Call:
    """A function of an endpoint and what fills its arguments.

    A coroutine function is awaited. A plain one gets the connection's blocking twin and runs in a
    thread.
    """

    __slots__ = ("binder", "function", "given", "is_blocking", "is_stream", "taken")

    def __init__(
        self,
        function: Callable[..., Any],
        path_names: Collection[str],
        taken: Collection[str] = (),
        given: Collection[str] = (),
        *,
        is_stream: bool = False,
    ) -> None:
        self.function = function
        self.is_stream = is_stream
        """Whether the function is a generator, and what it yields is to be sent."""
        self.taken = taken
        self.given = {
            name for name in given if name in inspect.signature(function).parameters
        } - set(path_names)
        self.binder: Binder = compile_binder(
            function, path_names, taken, self.given, needs_connection=not is_stream
        )
        self.is_blocking = not (is_coroutine_function(function) or is_async_generator(function))
        connection = self.binder.connection or ""
        if not self.is_blocking and Signature(function, self.given).asks_for_blocking(connection):
            raise DeclarationError(
                f"an `async def` gets the WebSocket: annotate {connection!r} with it"
            )

    async def run(
        self, websocket: WebSocket, arguments: Arguments, slot: Slot | None = None, **given: Any
    ) -> Any:
        """Call the function and return what it returns. A blocking one runs in `slot`, if any."""
        positional, named = arguments
        named = {**named, **{name: given[name] for name in self.given}}
        if not self.is_blocking:
            return await self.function(*positional, **named)
        twin = twin_of(websocket)
        positional = [twin if each is websocket else each for each in positional]
        named = {name: twin if each is websocket else each for name, each in named.items()}
        if slot is not None:
            function = self._sent_by(twin) if self.is_stream else self.function
            return _checked(await slot.run(function, positional, named, twin))
        # Not in the one thread of Django's synchronous code: a callback may wait for its client.
        return _checked(await unbroken(_in_any_thread(self.function, *positional, **named)))

    def _sent_by(self, twin: BlockingWebSocket) -> Callable[..., None]:
        def send_all(*positional: Any, **named: Any) -> None:
            twin.send_stream(self.function(*positional, **named))

        return send_all


@dataclass(slots=True)
class Plan:
    """One endpoint at one path, compiled. Callbacks may be added until it is served."""

    name: str
    path: str
    handler: Call
    admission: Admission
    app: Reverser
    peers: Peers
    endpoint: object = None
    """Whose plan it is: the sender of signals."""
    on_connect: list[Call] = field(default_factory=list)
    on_close: list[Call] = field(default_factory=list)
    heard: list[tuple[str, Call]] = field(default_factory=list)
    """Callbacks for what others send, each with the type that it is for."""
    outbox_policy: OutboxPolicy = field(default_factory=OutboxPolicy)
    bounds: Bounds = field(default_factory=Bounds)
    refuse: str = "deny"
    opt: Mapping[str, Any] = field(default_factory=dict)
    closes_at_expiry: bool = True
    auto_accept: bool | None = None
    receive_type: ValueType | None = None
    send_type: ValueType | None = None
    caught_close_codes: frozenset[int] | None = None
    exception_handlers: Sequence[Mapping[type[Exception], Callable[..., Any]]] = ()
    """Of each API around the endpoint, the innermost first."""
    dependency_overrides: Mapping[Callable[..., Any], Callable[..., Any]] = field(
        default_factory=dict
    )

    @property
    def calls(self) -> list[Call]:
        """The handler and the callbacks, all of whose arguments are bound in admission."""
        heard = [call for _, call in self.heard]
        return [self.handler, *self.on_connect, *self.on_close, *heard]

    def make_websocket(self, scope: Scope, receive: Receive, send: Send) -> WebSocket:
        """Return a connection that is as the endpoint says, `websocket.connect` being received."""
        kind = BoundedWebSocket if self.bounds.are_for_messages else WebSocket
        websocket = kind(
            scope,
            receive,
            send,
            auto_accept=self.auto_accept,
            receive_type=self.receive_type,
            send_type=self.send_type,
            caught_close_codes=self.caught_close_codes,
            peers=self.peers,
            outbox_policy=self.outbox_policy,
        )
        websocket.opt = self.opt
        websocket.closes_to_refuse = self.refuse == "close"
        websocket.read_ahead_limit = self.bounds.read_ahead
        if isinstance(websocket, BoundedWebSocket):
            websocket.bound_by(self.bounds)
        websocket.serve_for(self.app)
        return websocket

    def _handles(self, kind: type[BaseException]) -> bool:
        return any(kind in handlers for handlers in self.exception_handlers)

    def exception_handler(self, error: BaseException) -> Callable[..., Awaitable[Any]] | None:
        """Return the handler for an exception: that of the most specific class, then API.

        It is to be called with the connection and the exception. A refusal has none: it is no
        failure, and nothing must come between it and the client.
        """
        if isinstance(error, Refusal | WebSocketRejected) or not isinstance(error, Exception):
            return None
        for kind in type(error).__mro__:
            if kind in _WITH_AN_ENDING_OF_THEIR_OWN and not self._handles(kind):
                return None  # ours is more specific than a handler for Exception
            for handlers in self.exception_handlers:
                if kind in handlers:
                    return _as_coroutine_function(handlers[kind])
        return None


def _checked(result: Any) -> Any:
    if inspect.iscoroutine(result):
        result.close()
        raise RuntimeError(
            f"a plain function returned the coroutine {result!r}, which nobody awaits: "
            "declare the function with `async def`"
        )
    return result


def _as_coroutine_function(handler: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if is_coroutine_function(handler):
        return handler

    async def handle(websocket: WebSocket, error: Exception) -> Any:
        return await database_sync_to_async(handler)(twin_of(websocket), error)

    return handle


def is_coroutine_function(function: Any) -> bool:
    """Tell whether calling `function`, a partial or a callable object too, gives a coroutine."""
    return inspect.iscoroutinefunction(_innermost(function))


def is_async_generator(function: Any) -> bool:
    """Tell whether calling `function`, a partial or a callable object too, yields to coroutines."""
    return inspect.isasyncgenfunction(_innermost(function))


def is_generator(function: Any) -> bool:
    """Tell whether calling `function`, a partial or a callable object too, yields."""
    return is_async_generator(function) or inspect.isgeneratorfunction(_innermost(function))


def _innermost(function: Any) -> Any:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    return inspect.unwrap(function)


def check_handler(handler: Any, *, is_stream: bool = False) -> None:
    """Raise `DeclarationError` for what is no handler."""
    if not callable(handler) or isinstance(handler, type):
        raise DeclarationError(f"{handler!r} is no function")
    if hasattr(handler, "consumer_class"):
        raise DeclarationError(f"{handler!r} is an ASGI application: use add_websocket_route()")
    if is_stream and not is_generator(handler):
        name = getattr(handler, "__qualname__", handler)
        raise DeclarationError(f"{name} is no generator: it yields nothing to send")
    if not is_stream and is_generator(handler):
        raise DeclarationError("the handler has a `yield`: declare it with websocket_stream()")
