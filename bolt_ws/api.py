"""`BoltAPI`: where endpoints are declared and included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from django.urls import URLPattern

from .admission import check_auth, check_guards
from .auth.backends import Authentication
from .auth.guards import Guard
from .endpoint import Endpoint, Handler
from .exceptions import DeclarationError
from .routing import Application, Route, Router, check_unique


class BoltAPI:
    """A router of WebSocket endpoints.

    `prefix` stands before each path. `auth` and `guards` are those of each endpoint, own or
    included, that names none itself.
    """

    def __init__(
        self,
        prefix: str = "",
        *,
        auth: Sequence[Authentication] | None = None,
        guards: Sequence[Guard] | None = None,
    ) -> None:
        self.prefix = prefix
        self.auth = None if auth is None else check_auth(auth)
        self.guards = None if guards is None else check_guards(guards)
        self._endpoints: list[Endpoint] = []
        self._included: list[tuple[str, BoltAPI]] = []
        self._includers: list[BoltAPI] = []

    def __repr__(self) -> str:
        return f"<BoltAPI {self.prefix!r} with {len(self.routes)} endpoints>"

    def websocket(
        self,
        path: str,
        *,
        name: str | None = None,
        auth: Sequence[Authentication] | None = None,
        guards: Sequence[Guard] | None = None,
    ) -> Callable[[Handler | Endpoint], Endpoint]:
        """Declare an endpoint: `@api.websocket("/ws/room/{room_id}")`.

        `auth` without guards asks for a valid credential. Raises `DeclarationError`.
        """

        def declare(handler: Handler | Endpoint) -> Endpoint:
            endpoint = Endpoint(
                handler,
                path,
                name=name,
                auth=None if auth is None else check_auth(auth),
                guards=None if guards is None else check_guards(guards),
            )
            self._endpoints.append(endpoint)
            try:
                self._check()
            except DeclarationError:
                self._endpoints.remove(endpoint)
                raise
            return endpoint

        return declare

    def include(self, api: BoltAPI, prefix: str = "") -> None:
        """Serve the endpoints of another API too, behind `prefix`.

        They take over this API's `auth` and `guards` where they and their own API name none.
        Endpoints that are declared there later are served as well. Raises `DeclarationError`.
        """
        if not isinstance(api, BoltAPI):
            raise DeclarationError(f"include() takes a BoltAPI, not {api!r}")
        if api is self or self in api.included():
            raise DeclarationError(f"{api!r} would include itself")
        self._included.append((prefix, api))
        api._includers.append(self)
        try:
            self._check()
        except DeclarationError:
            self._included.pop()
            api._includers.pop()
            raise

    def included(self) -> Iterator[BoltAPI]:
        """Yield the included APIs, and those that they include."""
        for _, api in self._included:
            yield api
            yield from api.included()

    def backends(self) -> Iterator[Authentication]:
        """Yield the authentication backends in use here and in included APIs."""
        yield from self.auth or ()
        for endpoint in self._endpoints:
            yield from endpoint.auth or ()
        for _, api in self._included:
            yield from api.backends()

    @property
    def routes(self) -> list[Route]:
        """All endpoints, own and included, with their full paths.

        Paths without a parameter come first, so that `/room/new` is not taken for a `/room/{id}`.
        """
        routes = list(self._walk("", (), ()))
        return sorted(routes, key=lambda route: bool(route.pattern.names))

    @property
    def urlpatterns(self) -> list[URLPattern]:
        """The endpoints for a Channels `URLRouter`, to stand beside other consumers."""
        return [route.as_url_pattern() for route in self.routes]

    def as_asgi(self) -> Application:
        """Return an ASGI application that serves the endpoints and refuses all other paths."""
        return Router(self.routes)

    def _walk(
        self, prefix: str, auth: Sequence[Authentication], guards: Sequence[Guard]
    ) -> Iterator[Route]:
        prefix = prefix.rstrip("/") + (f"/{self.prefix.strip('/')}" if self.prefix else "")
        auth = auth if self.auth is None else self.auth
        guards = guards if self.guards is None else self.guards
        for endpoint in self._endpoints:
            pattern = endpoint.pattern.under(prefix)
            consumer = endpoint.compile(
                pattern,
                auth if endpoint.auth is None else endpoint.auth,
                guards if endpoint.guards is None else endpoint.guards,
            )
            yield Route(pattern, endpoint.name, endpoint.explicit_name is not None, consumer)
        for inner, api in self._included:
            yield from api._walk(f"{prefix}/{inner.strip('/')}", auth, guards)

    def _check(self) -> None:
        routes = self.routes
        check_unique(routes)
        for includer in self._includers:
            includer._check()
