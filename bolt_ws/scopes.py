"""Handshakes that no client sent: the scope that Daphne would make of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, unquote, urlencode

from .servers import DENIAL_EXTENSION

HOST = "testserver"
"""The host that is connected to, as Django's own test client has it."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
Query = Mapping[str, Any] | str


def make_scope(
    path: str,
    *,
    query: Query | None = None,
    headers: Headers = (),
    cookies: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    scope: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an ASGI connection scope (ASGI specification, "WebSocket Connection Scope").

    `path` may have a query behind `?`, and `query` is added to it. What `scope` holds stands in
    place of what is made here. Raises `TypeError` and `ValueError` for what could not be sent.
    """
    if isinstance(subprotocols, str):
        raise TypeError(f"subprotocols is a list of names, not {subprotocols!r}")
    if not path.startswith("/"):
        raise ValueError(f"a path begins with a slash, as in '/ws/chat', and {path!r} does not")
    raw_path, _, written = path.partition("?")
    queries = [written, query if isinstance(query, str) else urlencode(query or {}, doseq=True)]
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": unquote(raw_path),
        "raw_path": quote(raw_path, safe="/%:@!$&'()*+,;=~").encode(),
        "query_string": "&".join(filter(None, queries)).encode(),
        "root_path": "",
        "headers": list(_encode(headers, cookies or {}, subprotocols)),
        "client": ["127.0.0.1", 50000],
        "server": [HOST, 80],
        "subprotocols": list(subprotocols),
        "state": {},
        "extensions": {DENIAL_EXTENSION: {}},
        **(scope or {}),
    }


def _encode(
    headers: Headers, cookies: Mapping[str, str], subprotocols: Sequence[str]
) -> Iterable[tuple[bytes, bytes]]:
    given = list(headers.items() if isinstance(headers, Mapping) else headers)
    if cookies:
        morsels = SimpleCookie(dict(cookies)).values()
        given.append(("Cookie", "; ".join(f"{each.key}={each.coded_value}" for each in morsels)))
    if subprotocols:
        given.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if not any(isinstance(name, str) and name.lower() == "host" for name, _ in given):
        yield b"host", HOST.encode()
    for name, value in given:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers are text, not {name!r}: {value!r}")
        yield name.lower().encode("latin-1"), value.encode("latin-1")
