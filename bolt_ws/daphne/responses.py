"""HTTP's part in it: the bytes that accept a handshake, or refuse it."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .negotiation import Agreement

RawHeaders = list[tuple[bytes, bytes]]

_OURS: Final = (b"connection", b"upgrade", b"transfer-encoding")
_WITHOUT_BODY: Final = (204, 304)
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_FORBIDDEN: Final = frozenset(b"\r\n\0")


def accept_head(
    agreement: Agreement, subprotocol: str | None, headers: RawHeaders, server_name: str
) -> bytes:
    """Return the bytes that accept a handshake."""
    items = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", agreement.accept_key.encode()),
    ]
    if agreement.extensions_header is not None:
        items.append((b"Sec-WebSocket-Extensions", agreement.extensions_header.encode()))
    if subprotocol is not None:
        items.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
    return _head(101, "Switching Protocols", items + headers, server_name)


def refusal_head(status: int, headers: RawHeaders, server_name: str, size: int | None) -> bytes:
    """Return the head of a response that refuses.

    `size` is that of its body. Where it is None and the headers do not say it, chunks follow.
    """
    items = [item for item in headers if item[0].lower() not in _OURS]
    if size is not None and status not in _WITHOUT_BODY:
        items = [item for item in items if item[0].lower() != b"content-length"]
        items.append((b"Content-Length", b"%d" % size))
    elif size is None and has_chunks(status, items):
        items.append((b"Transfer-Encoding", b"chunked"))
    items.append((b"Connection", b"close"))
    return _head(status, phrase(status), items, server_name)


def has_chunks(status: int, headers: RawHeaders) -> bool:
    """Tell whether a body of unknown size is sent in chunks, and not told by the headers."""
    named = {name.lower() for name, _ in headers}
    return status not in _WITHOUT_BODY and b"content-length" not in named


def chunk(data: bytes) -> bytes:
    """Return a piece of a body whose size was not known (RFC 9112 section 7.1); none ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def phrase(status: int) -> str:
    """Return the words that go with a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _head(status: int, words: str, items: RawHeaders, server_name: str) -> bytes:
    names = {name.lower() for name, _ in items}
    if b"date" not in names:
        items = [(b"Date", _date(int(time.time()))), *items]
    if server_name and b"server" not in names:
        items = [*items, (b"Server", server_name.encode("latin-1"))]
    lines = [b"HTTP/1.1 %d %s" % (status, words.encode())]
    lines += [b"%s: %s" % item for item in items]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def checked_headers(headers: Iterable[Any], *, accepts: bool) -> RawHeaders:
    """Return the headers of an event. Raises `TypeError` or `ValueError` for a bad one."""
    checked = []
    for name, value in headers:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"header {name!r}: names and values must be bytes")
        if not _NAME.fullmatch(name) or _FORBIDDEN.intersection(value):
            raise ValueError(f"header {name!r}: no valid name, or a value that breaks a line")
        if accepts and (name.lower() in _OURS or name.lower().startswith(b"sec-websocket-")):
            raise ValueError(f"header {name!r} is the server's own: see `subprotocol`")
        checked.append((name, value))
    return checked


@functools.lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()
