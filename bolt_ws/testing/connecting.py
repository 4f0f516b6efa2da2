"""What both test clients know of the connections that they make."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict
from urllib.parse import parse_qs, urlencode

from django.conf import settings

from ..api import BoltAPI
from ..endpoint import Endpoint
from ..lending import Lender
from ..scopes import HOST, Headers, Query, make_scope
from .login import token_for
from .server_end import Application, ServerEnd
from .session import AsyncWebSocketSession
from .stacks import LeftBehind

__tracebackhide__ = True  # pytest shows the test's line and the handler's

ORIGIN = f"http://{HOST}"
"""The page that a client belongs to, unless it says otherwise."""

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class ConnectOptions(TypedDict, total=False):
    """What one handshake has besides its path."""

    token: str | None
    """Sent as `?token=`, in place of one for the client's user."""
    subprotocols: Sequence[str]
    """Offered, in this order."""
    headers: Headers | None
    """They stand in place of the client's own of the same name."""
    cookies: Mapping[str, str] | None
    query: Query | None
    """Added to the path's query."""
    scope: Mapping[str, Any] | None
    """Replaces parts of the ASGI scope: `{"client": ("10.0.0.1", 5000)}`."""
    timeout: float | None
    """Seconds for each wait of the session. None waits for ever, for a debugger."""


class Connecting:
    """An application, and what each handshake with it has.

    `api_or_application` is a `BoltAPI` or any ASGI application; None is the project's, which
    `ASGI_APPLICATION` names, else all APIs of the project.
    """

    def __init__(
        self,
        api_or_application: BoltAPI | Application | None = None,
        *,
        user: AbstractBaseUser | None = None,
        headers: Headers | None = None,
        cookies: Mapping[str, str] | None = None,
        origin: str | None = ORIGIN,
        timeout: float | None = 1.0,
        raise_exceptions: bool = True,
        report_leaks: bool = True,
    ) -> None:
        """Take `origin=None` for a client that sends no Origin header.

        `timeout` is in seconds and for each wait of a session; None waits for ever. Without
        `raise_exceptions`, a failing application is only seen as a client sees it. Without
        `report_leaks`, what a handler leaves behind is ended and not reported.
        """
        self.cookies: dict[str, str] = dict(cookies or {})
        """What is sent with each handshake, as of a browser."""
        self.user = user
        self._application = _application_of(api_or_application)
        self._headers = _as_items(headers)
        self._origin = origin
        self._timeout = timeout
        self._raises = raise_exceptions
        self._reports = report_leaks
        self._entered: list[Any] = []
        """What each `with` of the client has opened, the last one last."""

    @property
    def user(self) -> AbstractBaseUser | None:
        """Who is logged in, None while anonymous."""
        return self._user

    @user.setter
    def user(self, user: AbstractBaseUser | None) -> None:
        self._user = None if getattr(user, "is_anonymous", False) else user
        self._session_cookie: dict[str, str] | None = None  # the next connection makes one

    def token_for(self, user: AbstractBaseUser, **claims: Any) -> str:
        """Return a token for `user`, signed with `BOLT_WS["JWT_KEY"]`, else `SECRET_KEY`.

        `claims` stand in place of the usual ones; None omits one.
        """
        return token_for(user, **claims)

    def _report(self, left: list[str], error: BaseException | None) -> None:
        """Raise `LeftBehind` for what the last connection has left, unless the test has failed."""
        if left and error is None and self._reports:
            raise LeftBehind(f"Connections have ended, and left behind: {'; '.join(left)}")

    def _session(
        self, lends: Lender | None, path: str, options: ConnectOptions, *, raises: bool
    ) -> AsyncWebSocketSession:
        unknown = sorted(options.keys() - ConnectOptions.__annotations__.keys())
        if unknown:
            raise TypeError(f"a connection has no option {unknown[0]!r}")
        token = options.get("token")
        if token is None and self.user is not None and not _has_token(path, options.get("query")):
            token = self.token_for(self.user)
        if token is not None:
            path += f"{'&' if '?' in path else '?'}{urlencode({'token': token})}"
        cookies = options.get("cookies") or {}
        made = make_scope(
            path,
            query=options.get("query"),
            headers=self._all_headers(options.get("headers")),
            cookies={**(self._session_cookie or {}), **self.cookies, **cookies},
            subprotocols=options.get("subprotocols", ()),
            scope=options.get("scope"),
        )
        return AsyncWebSocketSession(
            ServerEnd(self._application, made, lends),
            timeout=options.get("timeout", self._timeout),
            raises=self._raises and raises,
            reports=self._reports,
        )

    def _all_headers(self, headers: Headers | None) -> list[tuple[str, str]]:
        own = _as_items(headers)
        named = {name.lower() for name, _ in own}
        common = [item for item in self._headers if item[0].lower() not in named]
        if self._origin is not None and "origin" not in named | {n.lower() for n, _ in common}:
            common.append(("Origin", self._origin))
        return common + own


class Pending:
    """A connection to be made when it is entered."""

    _session_class: ClassVar[type]
    _with: ClassVar[str]
    """How it is entered."""

    def __init__(self, path: str, options: ConnectOptions, *, raises: bool = True) -> None:
        self._path = path
        self._options = options
        self._raises = raises
        self.error: BaseException | None = None
        """What left the application, if it failed while this connected."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if hasattr(self._session_class, name):
                raise RuntimeError(
                    f"not connected yet: `{self._with} client.websocket_connect({self._path!r}) "
                    f"as ws`, then ws.{name}"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _has_token(path: str, query: Query | None) -> bool:
    written = query if isinstance(query, str) else urlencode(query or {}, doseq=True)
    return "token" in parse_qs(f"{path.partition('?')[2]}&{written}", keep_blank_values=True)


def _as_items(headers: Headers | None) -> list[tuple[str, str]]:
    if headers is None:
        return []
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def _application_of(given: BoltAPI | Application | None) -> Application:
    if isinstance(given, BoltAPI):
        served: Application = given.as_asgi()
        return served
    if given is not None:
        _check_application(given)
        return given
    if getattr(settings, "ASGI_APPLICATION", None):
        from channels.routing import get_default_application

        named: Application = get_default_application()
        return named
    from ..asgi import get_asgi_application

    project: Application = get_asgi_application()
    return project


def _check_application(given: Any) -> None:
    """Raise `TypeError` for what is none, as far as that can be told before it is called."""
    hint = None
    if isinstance(given, Endpoint):
        hint = "pass the BoltAPI that the endpoint is declared in"
    elif isinstance(given, type) and issubclass(given, BoltAPI):
        hint = f"pass a {given.__name__}, not its class"
    elif isinstance(given, type) and hasattr(given, "as_asgi"):  # a consumer of Channels
        hint = f"pass {given.__name__}.as_asgi()"
    elif inspect.ismethod(given) and given.__name__ == "as_asgi":
        hint = "call as_asgi()"
    elif callable(given):
        return
    raise TypeError(
        f"a test client drives a BoltAPI or an ASGI application, not {given!r}"
        + (f": {hint}" if hint else "")
    )
