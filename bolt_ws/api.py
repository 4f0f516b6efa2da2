"""`BoltAPI`: where endpoints are declared and included."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, Unpack

from django.urls import URLPattern

from .admission import check_auth, check_guards
from .applications import as_handler, is_asgi
from .auth.backends import Authentication
from .auth.guards import Guard
from .defaults import defaults_of
from .endpoint import Endpoint, Handler, Inherited
from .exceptions import DeclarationError
from .options import EndpointOptions, Middleware, check_refuse
from .origin import check_origins
from .routing import Application, Pattern, Route, Router, check_unique, reverse

_Function = TypeVar("_Function", bound=Callable[..., Any])


class WebSocketRoute(NamedTuple):
    """An endpoint for `BoltAPI(routes=[...])`: a handler or an ASGI application at a path."""

    path: str
    endpoint: Any
    name: str | None = None
    middleware: Sequence[Middleware] | None = None


class BoltAPI:
    """A router of WebSocket endpoints.

    `prefix` stands before each path. `auth`, `guards`, `origins` and `refuse` are those of each
    endpoint, own or included, that names none itself. `routes` are endpoints to begin with.
    """

    def __init__(
        self,
        prefix: str = "",
        *,
        auth: Sequence[Authentication] | None = None,
        guards: Sequence[Guard] | None = None,
        origins: Sequence[str] | None = None,
        refuse: Literal["deny", "close"] | None = None,
        routes: Sequence[WebSocketRoute] = (),
    ) -> None:
        self.prefix = prefix
        Pattern(prefix)  # says now what is wrong with it
        self.auth = None if auth is None else check_auth(auth)
        self.guards = None if guards is None else check_guards(guards)
        self.origins = None if origins is None else check_origins(origins)
        check_refuse(refuse)
        self.refuse = refuse
        self.dependency_overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        """What to call in place of a dependency, in tests."""
        self._exception_handlers: dict[type[Exception], Handler] = {}
        self._endpoints: list[Endpoint] = []
        self._included: list[tuple[str, BoltAPI]] = []
        self._includers: list[BoltAPI] = []
        for route in routes:
            if not isinstance(route, WebSocketRoute):
                raise DeclarationError(
                    f"routes takes WebSocketRoute(path, endpoint), not {route!r}"
                )
            self.add_websocket_route(
                route.path, route.endpoint, name=route.name, middleware=route.middleware
            )

    def __repr__(self) -> str:
        return f"<BoltAPI {self.prefix!r} with {len(self._endpoints)} endpoints>"

    def websocket(
        self, path: str, **options: Unpack[EndpointOptions]
    ) -> Callable[[Handler | Endpoint], Endpoint]:
        """Declare an endpoint: `@api.websocket("/ws/room/{room_id}")`.

        The options are those of `EndpointOptions`. `auth` without guards asks for a valid
        credential. Raises `DeclarationError`.
        """

        def declare(handler: Handler | Endpoint) -> Endpoint:
            return self._add(Endpoint(handler, path, options))

        return declare

    def _add(self, endpoint: Endpoint) -> Endpoint:
        self._endpoints.append(endpoint)
        try:
            self._check()
        except DeclarationError:
            self._endpoints.remove(endpoint)
            endpoint.withdraw()
            raise
        return endpoint

    def websocket_stream(
        self, path: str, **options: Unpack[EndpointOptions]
    ) -> Callable[[Handler | Endpoint], Endpoint]:
        """Declare an endpoint whose handler is a generator: each value that it yields is sent.

        An `async def` is cancelled when the client leaves. What the client sends is dropped, unless
        the handler takes the connection. The options are those of `EndpointOptions`.
        """

        def declare(handler: Handler | Endpoint) -> Endpoint:
            return self._add(Endpoint(handler, path, options, is_stream=True))

        return declare

    def websocket_route(
        self, path: str, **options: Unpack[EndpointOptions]
    ) -> Callable[[Handler | Endpoint], Endpoint]:
        """Declare an endpoint whose `receive()` and `send()` deal in text, or its `value_type`."""
        with_text = options.copy()
        with_text.setdefault("value_type", "text")

        def declare(handler: Handler | Endpoint) -> Endpoint:
            # One that was declared before keeps its types.
            chosen = options if isinstance(handler, Endpoint) else with_text
            return self.websocket(path, **chosen)(handler)

        return declare

    def add_websocket_route(
        self, path: str, endpoint: Any, **options: Unpack[EndpointOptions]
    ) -> Endpoint:
        """Declare a handler, or an ASGI application, `WebSocketClose(...)` or a consumer say.

        An application of three arguments named `scope`, `receive` and `send` is ASGI.
        """
        if is_asgi(endpoint):
            endpoint = as_handler(endpoint)
            options["auto_accept"] = False
        return self.websocket(path, **options)(endpoint)

    def exception_handler(self, kind: type[Exception]) -> Callable[[_Function], _Function]:
        """Have a function called with the connection and an exception that leaves a handler.

        Sync or async; the most specific class wins, then the innermost API. It may close the
        connection; if it does not, that is closed with 1011. A Django response that it returns
        answers a handshake that was not accepted.
        """
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise DeclarationError(f"exception_handler() takes an exception class, not {kind!r}")

        def declare(handler: _Function) -> _Function:
            try:
                inspect.signature(handler).bind(None, None)
            except TypeError:
                raise DeclarationError(
                    f"{handler!r} must take the connection and the exception"
                ) from None
            if kind in self._exception_handlers:
                raise DeclarationError(f"{kind.__name__} has an exception handler already")
            self._exception_handlers[kind] = handler
            return handler

        return declare

    def include(self, api: BoltAPI, prefix: str = "") -> None:
        """Serve the endpoints of another API too, behind `prefix`.

        They take over this API's `auth` and `guards` where they and their own API name none, and
        its exception handlers. Endpoints that are declared there later are served as well. Raises
        `DeclarationError`.
        """
        if not isinstance(api, BoltAPI):
            raise DeclarationError(f"include() takes a BoltAPI, not {api!r}")
        if api is self or self in api.included():
            raise DeclarationError(f"{api!r} would include itself")
        Pattern(prefix)
        self._included.append((prefix, api))
        api._includers.append(self)
        try:
            self._check()
        except DeclarationError:
            self._included.pop()
            api._includers.pop()
            raise

    @property
    def is_included(self) -> bool:
        """Whether another API includes this one."""
        return bool(self._includers)

    def included(self) -> Iterator[BoltAPI]:
        """Yield the included APIs, and those that they include."""
        for _, api in self._included:
            yield api
            yield from api.included()

    @property
    def routes(self) -> list[Route]:
        """All endpoints, own and included, with their full paths.

        Paths without a parameter come first, so that `/room/new` is not taken for a `/room/{id}`.
        """
        routes = list(self._walk("", defaults_of(self)))
        return sorted(routes, key=lambda route: bool(route.pattern.names))

    @property
    def urlpatterns(self) -> list[URLPattern]:
        """The endpoints for a Channels `URLRouter`, to stand beside other consumers."""
        return [route.as_url_pattern() for route in self.routes]

    def as_asgi(self) -> Application:
        """Return an ASGI application that serves the endpoints and refuses all other paths."""
        return Router(self.routes)

    def reverse(self, name: str, /, **params: Any) -> str:
        """Return the path of an endpoint by its name.

        Raises `django.urls.NoReverseMatch` for an unknown or ambiguous name, and for parameters
        that do not fit.
        """
        return reverse(self.routes, name, params)

    def _walk(self, prefix: str, outer: Inherited) -> Iterator[Route]:
        prefix = prefix.rstrip("/") + (f"/{self.prefix.strip('/')}" if self.prefix else "")
        inherited = Inherited(
            app=outer.app,
            auth=outer.auth if self.auth is None else self.auth,
            guards=outer.guards if self.guards is None else self.guards,
            origins=outer.origins if self.origins is None else self.origins,
            refuse=outer.refuse if self.refuse is None else self.refuse,
            exception_handlers=(self._exception_handlers, *outer.exception_handlers),
            dependency_overrides=(self.dependency_overrides, *outer.dependency_overrides),
        )
        for endpoint in self._endpoints:
            pattern = endpoint.pattern.under(prefix)
            consumer = endpoint.compile(pattern, inherited)
            yield Route(
                pattern,
                endpoint.name,
                endpoint.is_name_explicit,
                consumer,
                functools.partial(endpoint.application, consumer) if endpoint.middleware else None,
            )
        for inner, api in self._included:
            yield from api._walk(f"{prefix}/{inner.strip('/')}", inherited)

    def _check(self) -> None:
        check_unique(self.routes)
        for includer in self._includers:
            includer._check()
