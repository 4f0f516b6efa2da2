"""The client of a live server: that of the `websockets` library, with a bound on all that waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from websockets.sync import client
from websockets.sync.client import ClientConnection

from ..scopes import Headers, Query


def connect(
    ws_url: str,
    path: str,
    *,
    token: str | None = None,
    headers: Headers | None = None,
    cookies: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] | None = None,
    query: Query | None = None,
    timeout: float | None = 5.0,
    **options: Any,
) -> ClientConnection:
    """Connect to `path` of the server at `ws_url`: see `LiveServer.connect`."""
    defaults: dict[str, Any] = {
        "additional_headers": _headers(headers, cookies),
        "subprotocols": subprotocols,
        "open_timeout": timeout,
        "close_timeout": timeout,
        "create_connection": _patient(ClientConnection, timeout),
        "proxy": None,  # the environment's knows nothing of this machine's loopback
    }
    connection: ClientConnection = client.connect(
        _url(ws_url, path, query, token), **{**defaults, **options}
    )
    # Since websockets 17.1 it warns when it is used without `with`; it is closed here anyway.
    connection.pending_legacy_warning = False
    return connection


def _url(ws_url: str, path: str, query: Query | None, token: str | None) -> str:
    if not path.startswith("/"):
        raise ValueError(f"a path begins with a slash, as in '/ws/chat', and {path!r} does not")
    raw_path, _, written = path.partition("?")
    more = query if isinstance(query, str) else urlencode(query or {}, doseq=True)
    secret = urlencode({"token": token}) if token is not None else ""
    queries = "&".join(filter(None, [written, more, secret]))
    return f"{ws_url}{raw_path}" + (f"?{queries}" if queries else "")


def _headers(headers: Headers | None, cookies: Mapping[str, str] | None) -> list[tuple[str, str]]:
    given = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    if cookies:
        given.append(("Cookie", "; ".join(f"{name}={value}" for name, value in cookies.items())))
    return given


def _patient(base: type[ClientConnection], timeout: float | None) -> type[ClientConnection]:
    """Return `base` with a default for the timeout of `recv()`, which has none of its own."""

    class PatientConnection(base):  # type: ignore[misc, valid-type]
        def recv(self, timeout: float | None = timeout, decode: bool | None = None) -> Any:
            return super().recv(timeout, decode)

    return PatientConnection
