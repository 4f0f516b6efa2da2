"""Handshakes, as applications see them."""

from __future__ import annotations

from typing import Any

import pytest

from bolt_ws.daphne.frames import PreparedMessage
from bolt_ws.daphne.handshake import Handshake, make_scope


def make_handshake(**changes: Any) -> Handshake:
    return Handshake(
        **{
            "method": b"GET",
            "version": b"HTTP/1.1",
            "target": b"/caf%C3%A9/%2F?a=1&token=a-secret?b",
            "headers": [(b"host", b"testserver"), (b"x", b"1"), (b"x", b"2")],
            "scheme": "wss",
            "client": ("192.0.2.1", 50_000),
            "server": ("192.0.2.2", 443),
            "root_path": "/below",
            "has_body": False,
            **changes,
        }
    )


def test_the_scope() -> None:
    scope = make_scope(make_handshake())
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "wss",
        "path": "/caf\u00e9//",
        "raw_path": b"/caf%C3%A9/%2F",
        "query_string": b"a=1&token=a-secret?b",
        "root_path": "/below",
        "headers": [(b"host", b"testserver"), (b"x", b"1"), (b"x", b"2")],
        "client": ("192.0.2.1", 50_000),
        "server": ("192.0.2.2", 443),
        "subprotocols": [],
        "extensions": {
            "websocket.http.response": {},
            "bolt_ws.prepared": {"prepare": PreparedMessage},
        },
    }


def test_a_unix_socket_has_no_client() -> None:
    scope = make_scope(make_handshake(client=None, server=("/run/socket", None)))
    assert (scope["client"], scope["server"]) == (None, ("/run/socket", None))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([b"chat"], ["chat"]),
        ([b"chat, superchat"], ["chat", "superchat"]),
        ([b"chat,superchat", b"bearer"], ["chat", "superchat", "bearer"]),
        ([b" chat ,, ", b""], ["chat"]),
    ],
)
def test_subprotocols(values: list[bytes], expected: list[str]) -> None:
    headers = [(b"sec-websocket-protocol", value) for value in values]
    assert make_scope(make_handshake(headers=headers))["subprotocols"] == expected


def test_scopes_share_nothing_that_an_application_may_change() -> None:
    first, second = make_scope(make_handshake()), make_scope(make_handshake())
    first["extensions"]["websocket.http.response"]["changed"] = True
    first["extensions"]["bolt_ws.prepared"]["changed"] = True
    assert "changed" not in second["extensions"]["websocket.http.response"]
    assert "changed" not in second["extensions"]["bolt_ws.prepared"]


def test_no_secret_is_in_the_repr() -> None:
    assert "a-secret" not in repr(make_handshake())
