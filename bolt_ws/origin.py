"""The page that a handshake comes from: browsers open WebSockets for any site (RFC 6455, 10.2)."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

from .exceptions import DeclarationError, Refusal
from .handshake import Handshake

ANY: Final = "*"
"""Among the named origins: any origin, for whoever does not come with a cookie."""

_MAX_LENGTH: Final = 512
"""Bytes of a header that are looked at: a host has at most 253 (RFC 1035 section 2.3.4)."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PAGE_SCHEMES: Final = {"ws": "http", "wss": "https"}
_WANTED: Final = frozenset({b"origin", b"host", b"x-forwarded-host"})
_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://"
    r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?"
    r"(?::([0-9]{1,5}))?"
)
_FORMS: Final = (
    'write "https://app.example.com", "https://app.example.com:8443", "https://*.example.com" '
    'or, for any origin, "*"'
)


class Origin(NamedTuple):
    """A page's scheme, host and port (RFC 6454 section 4), None for a scheme's unknown port.

    A named one with a host such as ".example.com" is `example.com` and whatever is below it.
    """

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        is_default = self.port == _DEFAULT_PORTS.get(self.scheme)
        return f"{self.scheme}://{self.host}{'' if is_default else f':{self.port}'}"

    def covers(self, other: Origin) -> bool:
        """Tell whether this one, a named one, allows `other`."""
        same = self.scheme == other.scheme and self.port == other.port
        return same and is_same_domain(other.host, self.host)


class _Verdict(enum.Enum):
    """What a handshake's headers say of the page that it comes from."""

    ALLOWED = "its own, or one that a setting names"
    ALLOWED_AS_ANY = 'covered by nothing but "*"'
    MISSING = "no Origin header"
    FOREIGN = "another one, or none that can be understood"
    BAD_HOST = "a host that is not in ALLOWED_HOSTS"


def check_origins(origins: Any) -> tuple[str, ...]:
    """Return the origins. Raises `DeclarationError` for what is none."""
    if not isinstance(origins, list | tuple) or not all(isinstance(each, str) for each in origins):
        raise DeclarationError(f"origins must be a list of texts, not {origins!r}; {_FORMS}")
    for each in origins:
        named = _parse_named(each)
        if each != ANY and named is None:
            raise DeclarationError(f"origins: {each!r} is no origin; {_FORMS}")
        if named is not None and named.scheme in _PAGE_SCHEMES:
            raise DeclarationError(
                f"origins: {each!r} is no page's; a page that connects to wss:// comes with "
                f"https://, so {_FORMS}"
            )
    return tuple(origins)


class Origins:
    """The origins that may connect to one endpoint: the site's own, and those named.

    Also allowed are `CSRF_TRUSTED_ORIGINS`, and the hosts of `ALLOWED_HOSTS` where the scheme and
    the port are the request's own; "*" in `ALLOWED_HOSTS` allows none.
    """

    def __init__(self, named: Sequence[str]) -> None:
        self.named = tuple(named)

    def check(self, websocket: Handshake) -> None:
        """Raise a `Refusal` for a handshake of a foreign page (403), and for a foreign host (400).

        The host is what stops DNS rebinding, where the page's origin and the host agree. One
        without an Origin header passes: browsers always send it (RFC 6455 section 4.1).
        """
        origin, host = _headers(websocket)
        verdict = _judge(self.named, origin, host, websocket._scheme)
        if verdict is _Verdict.FOREIGN:
            raise _refuse("origin_not_allowed", "Origin not allowed", _advice(websocket))
        if verdict is _Verdict.BAD_HOST:
            shown = ascii(_text(host)[:200])
            raise _refuse("bad_host", "Bad host", f"the host {shown} is not in ALLOWED_HOSTS", 400)

    def trust(self, websocket: Handshake) -> bool:
        """Tell whether a cookie counts: not for a page that nothing but "*" covers."""
        if ANY not in self.named:
            return True
        verdict = _judge(self.named, *_headers(websocket), websocket._scheme)
        return verdict is not _Verdict.ALLOWED_AS_ANY

    def require(self, websocket: Handshake) -> None:
        """Raise a `Refusal` unless the origin is known: the credential is a cookie.

        Browsers send cookies for any page, so neither a missing origin nor "*" will do, which
        does not cover credentials in CORS either (Fetch standard, "CORS protocol").
        """
        verdict = _judge(self.named, *_headers(websocket), websocket._scheme)
        if verdict is _Verdict.MISSING:
            raise _refuse(
                "origin_required",
                "Origin required",
                "the credential is a cookie, which a browser sends for any page; a client that is "
                "no browser sends the header Origin, or a credential that is no cookie",
            )
        if verdict is not _Verdict.ALLOWED:
            advice = f"the credential is a cookie, for which {ANY!r} does not count; {_named_in()}"
            raise _refuse("origin_not_allowed", "Origin not allowed", advice)


def _refuse(code: str, detail: str, advice: str, status: int = 403) -> Refusal:
    refusal = Refusal(status, code, detail)
    refusal.add_note(advice)  # for our log: the client gets the detail only
    return refusal


def _headers(websocket: Handshake) -> tuple[bytes | None, bytes | None]:
    """Return the Origin and the Host, no longer than it takes to see that they are too long."""
    found: dict[bytes, bytes] = {}
    # Of the raw headers: to make `websocket.headers` takes ten times as long.
    for raw_name, value in websocket.scope.get("headers", ()):
        name = raw_name.lower()
        if name in _WANTED:  # joined as in RFC 9110 section 5.3, and then no origin and no host
            before = found.get(name)
            if before is None or len(before) <= _MAX_LENGTH:  # else it is too long already
                found[name] = value if before is None else b"%b, %b" % (before, value)
    origin, host = found.get(b"origin"), found.get(b"host")
    if settings.USE_X_FORWARDED_HOST:  # as django.http.HttpRequest.get_host does
        host = found.get(b"x-forwarded-host", host)
    return origin and origin[: _MAX_LENGTH + 1], host and host[: _MAX_LENGTH + 1]


# It takes nothing but texts of bounded length, so that the cache is at most some megabyte.
@functools.lru_cache(maxsize=1024)
def _judge(
    named: tuple[str, ...], origin: bytes | None, host: bytes | None, scheme: str
) -> _Verdict:
    own = None if host is None else _parse_own(host, scheme)
    if own is None and host is not None:
        return _Verdict.BAD_HOST
    if origin is None:
        return _Verdict.MISSING
    page = _parse(_text(origin))
    if page is None:
        return _Verdict.FOREIGN
    if own is not None and (page == own or _is_own_host(page, own)):
        return _Verdict.ALLOWED
    if any(each.covers(page) for each in _named(named)):
        return _Verdict.ALLOWED
    return _Verdict.ALLOWED_AS_ANY if ANY in named else _Verdict.FOREIGN


def _parse_own(host: bytes, scheme: str) -> Origin | None:
    """Return the origin of the site itself, None if Django would refuse its host."""
    if len(host) > _MAX_LENGTH:
        return None
    domain, port = split_domain_port(_text(host))
    if not domain or not validate_host(domain, _allowed_hosts()):
        return None
    normal, page_scheme = _normal_host(domain), _PAGE_SCHEMES[scheme]
    number = int(port) if port else _DEFAULT_PORTS[page_scheme]
    return Origin(page_scheme, normal, number) if normal and number <= 65535 else None


def _is_own_host(page: Origin, own: Origin) -> bool:
    hosts = [each for each in _allowed_hosts() if each != ANY]
    return page[::2] == own[::2] and validate_host(page.host, hosts)


def _parse(text: str) -> Origin | None:
    """Return the origin that a browser's header names, None for "null" and all else."""
    if len(text) > _MAX_LENGTH:
        return None
    match = _ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    host = _normal_host(match[2]) if match else None
    if match is None or host is None:
        return None
    port = int(match[3]) if match[3] else _DEFAULT_PORTS.get(match[1])
    if port is not None and not 0 < port <= 65535:
        return None
    return Origin(match[1], host, port)


def _normal_host(host: str) -> str | None:
    if not host.startswith("["):
        return host
    try:
        return f"[{IPv6Address(host[1:-1]).compressed}]"
    except ValueError:
        return None


def _parse_named(text: str) -> Origin | None:
    """Return what an entry of `origins` or `CSRF_TRUSTED_ORIGINS` allows, None if it is none."""
    scheme, _, rest = text.partition("://")
    is_wildcard = rest.startswith("*.")
    rest = rest.removeprefix("*.")
    if not rest.isascii():
        host, colon, port = rest.partition(":")
        rest = f"{_to_ascii(host)}{colon}{port}"
    origin = _parse(f"{scheme}://{rest}")
    if origin is None or (is_wildcard and origin.host.startswith("[")):
        return None
    return origin._replace(host=f".{origin.host}") if is_wildcard else origin


def _to_ascii(host: str) -> str:
    """Return a host's form in headers (RFC 5891), "" where it is not the only one.

    Python's codec and browsers disagree on some letters: it makes "strasse" of "straße".
    """
    try:
        encoded = host.lower().encode("idna")
        return encoded.decode() if encoded.decode("idna") == host.lower() else ""
    except UnicodeError:
        return ""


@functools.lru_cache
def _named(origins: tuple[str, ...]) -> tuple[Origin, ...]:
    entries = map(_parse_named, (*origins, *settings.CSRF_TRUSTED_ORIGINS))
    # Django's own check reports trusted origins that are none; here they allow nothing.
    return tuple(each for each in entries if each is not None)


def _allowed_hosts() -> Sequence[str]:
    if settings.DEBUG and not settings.ALLOWED_HOSTS:
        return [".localhost", "127.0.0.1", "[::1]"]  # django.http.HttpRequest.get_host
    return settings.ALLOWED_HOSTS


def _text(header: bytes | None) -> str:
    return (header or b"").decode("latin-1")


def _named_in(page: Origin | str = "it") -> str:
    return f'name {page} in CSRF_TRUSTED_ORIGINS, BOLT_WS["ORIGINS"] or origins= to allow it'


def _advice(websocket: Handshake) -> str:
    """Return what our log says of a foreign origin."""
    origin, host = _headers(websocket)
    page = _parse(_text(origin))
    if page is None:
        return f"the origin {_text(origin)[:200]!a} names no page"
    own = None if host is None else _parse_own(host, websocket._scheme)
    if own is None:
        return f"the request has no host that {page} could be the origin of; {_named_in(page)}"
    if page.host == own.host and page.scheme == "https" and own.scheme == "http":
        return (
            f"{page} is not this site's {own}; if a proxy speaks TLS for this server, set "
            f"SECURE_PROXY_SSL_HEADER, else {_named_in(page)}"
        )
    return f"{page} is not this site's {own}; {_named_in(page)}"


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting in ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "DEBUG"):
        _judge.cache_clear()
        _named.cache_clear()


setting_changed.connect(_reset, dispatch_uid="bolt_ws.origin")
