"""`Endpoint`: what a decorated handler becomes."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import functools
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from .admission import Admission, check_auth, check_guards
from .auth.backends import Authentication
from .auth.guards import Guard
from .bounds import compile_bounds
from .consumer import BoltConsumer, compile_consumer
from .exceptions import DeclarationError
from .handshake import Reverser
from .options import (
    EndpointOptions,
    check_codes,
    check_middleware,
    check_options,
    compile_outbox,
    compile_types,
    merged,
)
from .origin import check_origins
from .peers import Peers
from .plan import GAP, Call, Plan, check_handler
from .rooms.names import RESERVED
from .rooms.room import Exclude
from .routing import Application, Pattern

Handler = Callable[..., Any]
_Callback = TypeVar("_Callback", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Inherited:
    """What an endpoint takes over from the APIs around it."""

    app: Reverser
    auth: Sequence[Authentication] = ()
    guards: Sequence[Guard] = ()
    origins: Sequence[str] = ()
    refuse: str = "deny"
    exception_handlers: tuple[Mapping[type[Exception], Handler], ...] = ()
    dependency_overrides: tuple[Mapping[Handler, Handler], ...] = ()


class _Shared:
    """What the endpoints of one function have in common."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.on_connect: list[Handler] = []
        self.on_close: list[Handler] = []
        self.heard: list[tuple[str, Handler]] = []


class Endpoint:
    """A handler at a path. Calling it calls the handler.

    Raises `DeclarationError` for a handler that could never be called.
    """

    __name__: str

    def __init__(
        self,
        handler: Handler | Endpoint,
        path: str,
        options: EndpointOptions,
        *,
        is_stream: bool = False,
    ) -> None:
        self._shared = _Shared()
        self.is_stream = is_stream
        """Whether the handler is a generator, and what it yields is sent."""
        if isinstance(handler, Endpoint):  # one function under several paths
            # What the new path does not say is as the function's declaration said it. What an API
            # says, counts for the paths in that API.
            options = merged(handler.options, options)
            self.is_stream = is_stream or handler.is_stream
            self._shared, handler = handler._shared, handler.handler
        self.options: EndpointOptions = options
        self.handler: Handler = handler
        name = options.get("name")
        self.is_name_explicit = name is not None
        self.name: str = name or str(getattr(handler, "__name__", type(handler).__name__))
        self.pattern = Pattern(path)
        self._peers = Peers(self.name, _unique_key(self.handler, path))
        self._plans: dict[object, tuple[Inherited, Plan, type[BoltConsumer]]] = {}
        functools.update_wrapper(self, handler, updated=())
        with self._named_in_errors():
            check_options(options)
            auth, guards = options.get("auth"), options.get("guards")
            self.auth = None if auth is None else check_auth(auth)
            self.guards = None if guards is None else check_guards(guards)
            origins = options.get("origins")
            self.origins = None if origins is None else check_origins(origins)
            self.middleware = check_middleware(options.get("middleware"))
            self._types = compile_types(options)
            self._auto_accept = options.get("auto_accept")
            self._outbox_policy = compile_outbox(options, repr(self))
            self._bounds = compile_bounds(options)
            self._caught = check_codes(options.get("caught_close_codes", builtins.all))
            check_handler(handler, is_stream=self.is_stream)
        self._shared.endpoints.append(self)

    def withdraw(self) -> None:
        """Forget an endpoint whose declaration failed."""
        self._shared.endpoints.remove(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the handler."""
        return self.handler(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Endpoint {self.name!r} at {self.pattern.path!r}>"

    def on_connect(self, callback: _Callback) -> _Callback:
        """Have `callback` called when a client connects, before the handler starts.

        It has the handler's kinds of parameters; what it returns is the first message.
        """
        return self._add(callback, "on_connect")

    def on_close(self, callback: _Callback) -> _Callback:
        """Have `callback` called once when the connection ends, whichever way.

        It has the handler's kinds of parameters, and `code` and `reason` if it asks for them; what
        it returns is the last message if the server closes.
        """
        return self._add(callback, "on_close")

    def on(self, kind: str) -> Callable[[_Callback], _Callback]:
        """Have a function called with what Channels' `group_send` sends to a connection's room.

        `kind` is the message's `type`. The function has the handler's kinds of parameters, and
        `event`, the message, and `room`, the room's name, if it asks for them. It is called for
        each connection in the room, one message after the other, beside the handler.
        """
        with self._named_in_errors():
            if not isinstance(kind, str) or not kind or kind.startswith(RESERVED):
                raise DeclarationError(f"on() takes the type of a message, not {kind!r}")

        def add(callback: _Callback) -> _Callback:
            return self._add_heard(kind, callback)

        return add

    def on_gap(self, callback: _Callback) -> _Callback:
        """Have `callback` called when messages to a connection may have been lost.

        Once the channel layer is back, for instance. It has the handler's kinds of parameters, and
        `rooms`, the names of the rooms concerned, if it asks for that; it is the place to load
        again what the client has to know.
        """
        return self._add_heard(GAP, callback)

    async def broadcast(self, data: Any, *, exclude: Exclude = ()) -> None:
        """Send text, bytes, or JSON for anything else, to all connections, in all processes.

        At all paths of the endpoint. `exclude` is a connection or its `id`, or several. Raises
        `RoomUnavailable` if the channel layer fails for `BOLT_WS["ROOM_TIMEOUT"]` seconds.
        """
        await self._peers.broadcast(data, exclude)

    def compile(self, pattern: Pattern, inherited: Inherited) -> type[BoltConsumer]:
        """Return the consumer class that serves the handler at `pattern`, made once."""
        inherited = self._with_own(inherited)
        around = (inherited.exception_handlers, inherited.dependency_overrides)
        key = (
            pattern.route,
            id(inherited.app),
            tuple(map(id, inherited.auth)),
            tuple(map(id, inherited.guards)),
            tuple(inherited.origins),
            inherited.refuse,
            tuple(tuple(map(id, each)) for each in around),
        )
        if key not in self._plans:
            with self._named_in_errors():
                plan = self._make_plan(pattern, inherited)
            self._plans[key] = (inherited, plan, compile_consumer(plan))
        return self._plans[key][2]

    def _with_own(self, inherited: Inherited) -> Inherited:
        return dataclasses.replace(
            inherited,
            auth=inherited.auth if self.auth is None else self.auth,
            guards=inherited.guards if self.guards is None else self.guards,
            origins=inherited.origins if self.origins is None else self.origins,
            refuse=self.options.get("refuse") or inherited.refuse,
        )

    def application(self, consumer: type[BoltConsumer]) -> Application:
        """Return the ASGI application of a compiled endpoint, its middleware around it."""
        application: Application = consumer.as_asgi()
        for middleware in reversed(self.middleware):
            application = middleware(application)
            if not callable(application):
                raise DeclarationError(
                    f"{self!r}: middleware {middleware!r} returned {application!r}, which is no "
                    "ASGI application"
                )
        return application

    def _make_plan(self, pattern: Pattern, inherited: Inherited) -> Plan:
        taken = {name for backend in inherited.auth for name in backend.taken}
        names = pattern.names
        receive_type, send_type = self._types
        return Plan(
            name=self.name,
            path=pattern.path,
            handler=Call(self.handler, names, taken, is_stream=self.is_stream),
            admission=Admission(inherited.auth, inherited.guards, inherited.origins),
            refuse=inherited.refuse,
            opt=self.options.get("opt") or {},
            closes_at_expiry=self.options.get("close_at_expiry") is not False,
            app=inherited.app,
            peers=self._peers,
            endpoint=self,
            on_connect=[Call(each, names, taken) for each in self._shared.on_connect],
            on_close=[Call(each, names, taken, _GIVEN) for each in self._shared.on_close],
            heard=[
                (kind, Call(each, names, taken, _given_with(kind)))
                for kind, each in self._shared.heard
            ],
            outbox_policy=self._outbox_policy,
            bounds=self._bounds,
            auto_accept=self._auto_accept,
            receive_type=receive_type,
            send_type=send_type,
            caught_close_codes=self._caught,
            exception_handlers=inherited.exception_handlers,
            dependency_overrides=ChainMap(
                *(cast("dict[Any, Any]", each) for each in inherited.dependency_overrides)
            ),
        )

    def _add(self, callback: _Callback, event: str) -> _Callback:
        for plan, call in self._compiled(callback, _GIVEN if event == "on_close" else ()):
            getattr(plan, event).append(call)
        getattr(self._shared, event).append(callback)
        return callback

    def _add_heard(self, kind: str, callback: _Callback) -> _Callback:
        for plan, call in self._compiled(callback, _given_with(kind)):
            plan.heard.append((kind, call))
        self._shared.heard.append((kind, callback))
        return callback

    def _compiled(self, callback: Handler, given: Sequence[str]) -> list[tuple[Plan, Call]]:
        """Return a callback, compiled for all paths of the function; an error changes nothing."""
        with self._named_in_errors():
            check_handler(callback)
        calls: list[tuple[Plan, Call]] = []
        for endpoint in self._shared.endpoints:
            with endpoint._named_in_errors():
                for _, plan, _ in endpoint._plans.values():
                    pattern = Pattern(plan.path)
                    calls.append((plan, Call(callback, pattern.names, plan.handler.taken, given)))
        return calls

    @contextlib.contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        try:
            yield
        except DeclarationError as error:
            raise DeclarationError(f"{self!r}: {error}") from None


_GIVEN = ("code", "reason")


def _given_with(kind: str) -> tuple[str, ...]:
    return ("rooms",) if kind == GAP else ("event", "room")


_keys: Counter[str] = Counter()


def _unique_key(handler: Handler, path: str) -> str:
    """Return what names an endpoint in all processes, which declare the same in the same order."""
    qualname = getattr(handler, "__qualname__", type(handler).__qualname__)
    key = f"{getattr(handler, '__module__', '')}.{qualname} {path}"
    _keys[key] += 1
    return key if _keys[key] == 1 else f"{key} {_keys[key]}"
