"""Where a token may come from: the query string, a header, the subprotocols, a cookie."""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.http.cookie import parse_cookie

from ..exceptions import AuthenticationFailed, DeclarationError
from ..handshake import Handshake
from ..markers import Source as ParameterMarker
from ..redaction import Marks

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_NEEDED: Final = ("connection", "cookie", "host", "origin", "upgrade")
# Asked for once, browsers repeat them for the whole site (RFC 7617 section 2.2; RFC 4559).
_KEPT_SCHEMES: Final = ("basic", "digest", "negotiate", "ntlm")


class Source(abc.ABC):
    """A place in the handshake that a credential is taken from."""

    @property
    def is_ambient(self) -> bool:
        """Whether a browser sends the credential by itself, for a page of any site."""
        return False

    @property
    def taken(self) -> frozenset[str]:
        """Names of the query parameters that are taken away."""
        return frozenset()

    @property
    def marks(self) -> Marks:
        """What a credential from here is known by in a log."""
        return Marks(parameters=self.taken)

    @abc.abstractmethod
    def take(self, websocket: Handshake) -> list[str]:
        """Return the credentials that are there, and remove them from the handshake."""


@dataclass(frozen=True, slots=True)
class Query(Source):
    """A query parameter, `?token=<credential>`."""

    name: str = "token"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise DeclarationError(f"Query(): a parameter's name is text, not {self.name!r}")

    @property
    def taken(self) -> frozenset[str]:
        """Names of the query parameters that are taken away."""
        return frozenset({self.name})

    def take(self, websocket: Handshake) -> list[str]:
        """Return the parameter's values, and cut them out of the query string."""
        return websocket.take_query_param(self.name)


@dataclass(frozen=True, slots=True)
class Header(Source):
    """A header, `Authorization: Bearer <credential>` (RFC 6750 section 2.1).

    A header of another scheme is no credential, and stays. With `scheme` None, the whole value is
    the credential.

    Credentials of some schemes are kept by browsers, which send them for a page of any site: such a
    connection must have an origin, as with a cookie.
    """

    name: str = "Authorization"
    scheme: str | None = "Bearer"

    @property
    def is_ambient(self) -> bool:
        """Whether browsers keep credentials of the scheme."""
        return self.scheme is not None and self.scheme.lower() in _KEPT_SCHEMES

    @property
    def marks(self) -> Marks:
        """What a credential from here is known by in a log."""
        return Marks(headers={self.name}, schemes={self.scheme} if self.scheme else ())

    def __post_init__(self) -> None:
        _check_token("Header(): a header's name", self.name)
        if self.scheme is not None:
            _check_token("Header(): a scheme", self.scheme)
        if self.name.lower() in _NEEDED or self.name.lower().startswith("sec-websocket-"):
            raise DeclarationError(
                f"Header(): {self.name} is no header for a credential; there are Cookie(name) and "
                "Subprotocol() too"
            )

    def take(self, websocket: Handshake) -> list[str]:
        """Return the header's values without their scheme, and remove it.

        Repeated, all of its values count, of whatever scheme: which one is meant, nobody can say.
        """
        kept = websocket.scope.get("headers") or ()
        found = [self._read(value) for value in websocket.take_header(self.name)]
        if all(each is None for each in found):
            if found:
                websocket.set_headers(kept)
            return []
        return [each or "" for each in found]

    def _read(self, value: str) -> str | None:
        if self.scheme is None:
            return value.strip()
        scheme, credential = [*value.split(None, 1), "", ""][:2]
        return credential.strip() if scheme.lower() == self.scheme.lower() else None


@dataclass(frozen=True, slots=True)
class Subprotocol(Source):
    """A subprotocol beside a label: `Sec-WebSocket-Protocol: chat.v1, bearer.<credential>`.

    It is what a browser can send besides the URL and cookies: `new WebSocket(url, ["chat.v1",
    "bearer." + token])`. The label is answered, the credential never.
    """

    prefix: str = "bearer"

    @property
    def marks(self) -> Marks:
        """What a credential from here is known by in a log."""
        return Marks(prefixes={self.prefix})

    def __post_init__(self) -> None:
        _check_token("Subprotocol(): a prefix", self.prefix)

    def take(self, websocket: Handshake) -> list[str]:
        """Return what follows the prefix, and remove it from the subprotocols.

        Raises `AuthenticationFailed` if there is no label to answer: a browser fails a connection
        whose server chooses none of the subprotocols that it offered (RFC 6455 section 4.1).
        """
        start, offered = f"{self.prefix}.", websocket.subprotocols
        found = [each[len(start) :] for each in offered if _begins(each, start)]
        if not found:
            return []
        labels = [each for each in offered if not _begins(each, start)]
        websocket.scope["subprotocols"] = labels
        websocket.set_headers(_without(start, websocket.scope.get("headers") or ()))
        websocket.answer = next(filter(None, labels), None)
        if websocket.answer is None:
            raise AuthenticationFailed(
                "A subprotocol besides the token is needed, for the server to answer",
                code="subprotocol_needed",
            )
        return found


def _begins(subprotocol: str, start: str) -> bool:
    # In any case of its letters: a token must not stay for how its prefix is spelled.
    return subprotocol[: len(start)].lower() == start.lower()


def _without(start: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers:
        if name.lower() != b"sec-websocket-protocol":
            yield name, value
            continue
        offered = [each.strip() for each in value.decode("latin-1").split(",")]
        if labels := [each for each in offered if each and not _begins(each, start)]:
            yield name, ", ".join(labels).encode("latin-1")


@dataclass(frozen=True, slots=True)
class Cookie(Source):
    """A cookie. It stays in the handshake, for it is the browser's.

    A browser sends it for a page of any site, so such a connection must have an origin.
    """

    name: str

    @property
    def is_ambient(self) -> bool:
        """True: browsers send it for a page of any site."""
        return True

    @property
    def marks(self) -> Marks:
        """What a credential from here is known by in a log."""
        return Marks(parameters={self.name})

    def __post_init__(self) -> None:
        _check_token("Cookie(): a cookie's name", self.name)

    def take(self, websocket: Handshake) -> list[str]:
        """Return the cookie's values: a second one may have been put there by a sister domain."""
        # `websocket.cookies` has one value a name.
        pairs = map(parse_cookie, websocket.headers.get("cookie", "").split(";"))
        return [pair[self.name] for pair in pairs if self.name in pair]


def check_sources(sources: Any) -> tuple[Source, ...]:
    """Return the sources. Raises `DeclarationError` for what is none."""
    if not isinstance(sources, list | tuple) or not sources:
        raise DeclarationError(f"sources must be a list such as [Query('token')], not {sources!r}")
    for each in sources:
        if isinstance(each, Source):
            continue
        name = each.__name__ if isinstance(each, type) else type(each).__name__
        if isinstance(each, ParameterMarker) or each in ParameterMarker.__subclasses__():
            raise DeclarationError(
                f"sources: bolt_ws.{name} marks a handler's parameter; "
                f"write from bolt_ws.auth import {name}"
                if name in globals()
                else f"sources: bolt_ws.{name} marks a handler's parameter, and holds no token"
            )
        if isinstance(each, type) and issubclass(each, Source):
            raise DeclarationError(f"sources: {name} is a class; write {name}()")
        raise DeclarationError(f"sources: {each!r} is no place for a token, as Query('token') is")
    return tuple(sources)


def take_credential(sources: Sequence[Source], websocket: Handshake) -> tuple[str, Source] | None:
    """Return the one credential and where it was, or None. All of them are taken.

    Raises `AuthenticationFailed` if there are two: they need not be of the same user.
    """
    # All sources are emptied before one may complain.
    found, error = take_all(sources, websocket)
    if error is not None:
        raise error
    if len(found) > 1:
        raise AuthenticationFailed("More than one token")
    return found[0] if found else None


def take_all(
    sources: Sequence[Source], websocket: Handshake
) -> tuple[list[tuple[str, Source]], AuthenticationFailed | None]:
    """Take every credential out of the handshake, and return them and the last complaint."""
    found, error = [], None
    for source in sources:
        try:
            found += [(credential, source) for credential in source.take(websocket)]
        except AuthenticationFailed as raised:
            error = raised
    return found, error


def _check_token(what: str, value: Any) -> None:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise DeclarationError(f"{what} is a word of RFC 9110 section 5.6.2, not {value!r}")
