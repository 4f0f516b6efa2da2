"""What the client asked for: a connection's scope, in Django's own types."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import quote, unquote_plus

from django.conf import settings
from django.http import QueryDict
from django.http.cookie import parse_cookie
from django.utils.datastructures import CaseInsensitiveMapping

from .context import ConnectionContext, Identity
from .urls import URL, Address
from .users import load_user, load_user_blocking

Scope = MutableMapping[str, Any]
"""An ASGI connection scope (ASGI specification, "WebSocket Connection Scope")."""

_DEFAULT_PORTS = {"ws": 80, "wss": 443}


class Reverser(Protocol):
    """What finds paths by endpoint names: a `BoltAPI`."""

    def reverse(self, name: str, /, **params: Any) -> str:
        """Return the path of an endpoint."""


class Handshake:
    """The request that opened a connection, read only.

    Two handshakes are equal only if they are the same one: a connection can stand in a set.
    """

    __slots__ = (
        "__weakref__",
        "_app",
        "_cache",
        "answer",
        "auth",
        "context",
        "opt",
        "scope",
        "taken",
    )

    def __init__(self, scope: Scope) -> None:
        if scope["type"] != "websocket":
            raise ValueError(f'Expected a scope of type "websocket", but got {scope["type"]!r}')
        self.scope = scope
        self.context = ConnectionContext()
        self.auth: Identity | None = None
        """What the authentication backend found out, None while anonymous."""
        self.opt: Mapping[str, Any] = {}
        """What the endpoint's declaration says of it, `opt={...}`, for guards to see."""
        self.answer: str | None = None
        """The subprotocol that `accept()` answers with where none is named: the label that came
        with a credential among the subprotocols, which a browser insists on."""
        self._app: Reverser | None = None
        self.taken: frozenset[str] = frozenset()
        """Names of the query parameters that an authentication backend took."""
        self._cache: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def __contains__(self, key: object) -> bool:
        return key in self.scope

    def __iter__(self) -> Iterator[str]:
        return iter(self.scope)

    def __len__(self) -> int:
        return len(self.scope)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} {self.id}>"

    @property
    def id(self) -> str:
        """A UUID4 as text, this connection's own."""
        found: str | None = self._cache.get("id")
        if found is None:
            found = self._cache["id"] = str(uuid.uuid4())
        return found

    @property
    def path(self) -> str:
        """The requested path, decoded."""
        path: str = self.scope.get("path", "")
        return path

    @property
    def path_params(self) -> Mapping[str, Any]:
        """The path's parameters, as the path's converters made them."""
        params: Mapping[str, Any] = self.scope.get("url_route", {}).get("kwargs", {})
        return params

    @property
    def query_params(self) -> QueryDict:
        """The query string. A token that an authentication backend took is not in it."""
        found: QueryDict | None = self._cache.get("query_params")
        if found is None:
            raw = self.scope.get("query_string", b"")
            found = self._cache["query_params"] = QueryDict(raw, encoding="utf-8")
        return found

    @property
    def query_parameters(self) -> QueryDict:
        """Bocadillo's name for `query_params`."""
        return self.query_params

    @property
    def headers(self) -> CaseInsensitiveMapping[str]:
        """The headers, by name in any case. Repeated ones are joined with a comma."""
        found: CaseInsensitiveMapping[str] | None = self._cache.get("headers")
        if found is None:
            joined: dict[str, str] = {}
            for raw_name, raw_value in self.scope.get("headers", ()):
                name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
                # RFC 9110 section 5.3; cookies alone are joined otherwise (RFC 9113, 8.2.3).
                separator = "; " if name == "cookie" else ", "
                joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
            found = self._cache["headers"] = CaseInsensitiveMapping(joined)
        return found

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies, by name."""
        found: dict[str, str] | None = self._cache.get("cookies")
        if found is None:
            found = self._cache["cookies"] = parse_cookie(self.headers.get("cookie", ""))
        return found

    @property
    def client(self) -> Address | None:
        """The peer's address, None where the server gives none (a Unix socket, a test)."""
        client = self.scope.get("client")
        return Address(client[0], client[1]) if client else None

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offered, in its order of preference."""
        return list(self.scope.get("subprotocols") or ())

    @property
    def url(self) -> URL:
        """The requested URL, without a token that an authentication backend took."""
        query = self.scope.get("query_string", b"").decode("latin-1")
        return URL(f"{self._origin}{self._raw_path}{'?' if query else ''}{query}")

    @property
    def base_url(self) -> URL:
        """The URL that the application is mounted at, with a slash at its end."""
        root_path = self.scope.get("root_path", "").rstrip("/")
        return URL(f"{self._origin}{quote(root_path)}/")

    def url_for(self, name: str, /, **params: Any) -> URL:
        """Return the absolute URL of an endpoint.

        Raises `django.urls.NoReverseMatch`, and `RuntimeError` outside of an API.
        """
        return URL(f"{self.base_url.rstrip('/')}{quote(self.app.reverse(name, **params))}")

    @property
    def app(self) -> Any:
        """The API that serves the connection, the outermost one. `RuntimeError` outside of one."""
        if self._app is None:
            raise RuntimeError("this connection is not served by a BoltAPI")
        return self._app

    @property
    def session(self) -> Any:
        """Django's session, where `channels.sessions.SessionMiddlewareStack` put one."""
        if "session" not in self.scope:
            raise RuntimeError(
                "websocket.session needs a middleware that fills the scope, "
                "channels.sessions.SessionMiddlewareStack for instance"
            )
        return self.scope["session"]

    @property
    def user(self) -> Any:
        """Django's user: who authenticated, else the one of `channels.auth.AuthMiddlewareStack`.

        Else an `AnonymousUser`. It is loaded at the first use, and that is a query: in a coroutine
        it raises `SynchronousOnlyOperation` where `auser()` was not awaited before. Raises
        `AuthenticationFailed` for a user who is not in the database, or inactive.
        """
        return load_user_blocking(self)

    async def auser(self) -> Any:
        """Return `user`, loaded at the first use. Raises `AuthenticationFailed`."""
        return await load_user(self)

    @property
    def _origin(self) -> str:
        scheme = self._scheme
        host = None
        if settings.USE_X_FORWARDED_HOST:
            host = self.headers.get("x-forwarded-host")
        host = host or self.headers.get("host")
        if not host:
            server = self.scope.get("server") or ("localhost", None)
            host = f"[{server[0]}]" if ":" in server[0] else server[0]
            if server[1] and server[1] != _DEFAULT_PORTS[scheme]:
                host = f"{host}:{server[1]}"
        return f"{scheme}://{host}"

    @property
    def _scheme(self) -> str:
        # As django.http.HttpRequest.scheme does: the proxy's word counts where a setting says so.
        if settings.SECURE_PROXY_SSL_HEADER:
            name, secure_value = settings.SECURE_PROXY_SSL_HEADER
            value = self.headers.get(name.removeprefix("HTTP_").replace("_", "-"))
            if value is not None:
                return "wss" if value.split(",", 1)[0].strip() == secure_value else "ws"
        # Daphne's scope has no scheme.
        return "wss" if self.scope.get("scheme") in ("wss", "https") else "ws"

    @property
    def _raw_path(self) -> str:
        raw: bytes | None = self.scope.get("raw_path")
        if raw is not None:
            return raw.decode("latin-1").partition("?")[0]
        return quote(self.path)

    def take_query_param(self, name: str) -> list[str]:
        """Return the values of a query parameter, and remove it from the scope.

        For authentication backends: a credential that was read is seen by nobody after it.
        """
        raw: bytes = self.scope.get("query_string", b"")
        # Cut out of the raw text, so that all other parameters stay as they were sent; and before
        # it is parsed, which Django may refuse: no error leaves the credential where it was.
        parts = raw.split(b"&")
        kept = [part for part in parts if _name_of(part) != name]
        if len(kept) < len(parts):
            self.scope["query_string"] = b"&".join(kept)
            self.taken |= {name}
            found = self._cache.pop("query_params", None) or QueryDict(raw, encoding="utf-8")
        else:
            found = self.query_params
        values: list[str] = found.getlist(name)
        return values

    def take_header(self, name: str) -> list[str]:
        """Return the values of a header, and remove it from the scope.

        For authentication backends, as `take_query_param`.
        """
        wanted, headers = name.lower().encode("latin-1"), self.scope.get("headers") or ()
        values = [value.decode("latin-1") for each, value in headers if each.lower() == wanted]
        if values:
            self.set_headers(each for each in headers if each[0].lower() != wanted)
        return values

    def drop_ambient(self) -> None:
        """Forget what a browser sends by itself, and what middleware has made of that.

        The page is then nobody's, as with "*" in CORS, which does not cover credentials either.
        """
        headers = self.scope.get("headers") or ()
        self.set_headers(each for each in headers if each[0].lower() != b"cookie")
        for name in ("cookies", "user"):
            self._cache.pop(name, None)
        for name in ("user", "session", "cookies"):
            self.scope.pop(name, None)

    def set_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Replace the scope's headers, for what takes a credential out of them."""
        self.scope["headers"] = list(headers)  # a new one: the server keeps its own
        for name in ("headers", "request"):
            self._cache.pop(name, None)


def _name_of(part: bytes) -> str:
    return unquote_plus(part.partition(b"=")[0].decode("latin-1"))
