"""What is known of a request when it becomes a WebSocket."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.web.http_headers import Headers

from bolt_ws.daphne.upgrade import handshake_of


def make_request(headers: dict[bytes, list[bytes]] | None = None, **changes: Any) -> Any:
    """A request, as Daphne has filled it in."""
    request = SimpleNamespace(
        method=b"GET",
        clientproto=b"HTTP/1.1",
        uri=b"/chat?token=a-secret",
        requestHeaders=Headers(headers or {b"Host": [b"testserver"]}),
        client_scheme="http",
        client_addr=["192.0.2.1", 50_000],
        server_addr=["192.0.2.2", 80],
        getHost=lambda: IPv4Address("TCP", "192.0.2.2", 80),
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def test_a_request() -> None:
    handshake = handshake_of(make_request(), "/below")
    assert (handshake.method, handshake.version) == (b"GET", b"HTTP/1.1")
    assert (handshake.target, handshake.path) == (b"/chat?token=a-secret", b"/chat")
    assert handshake.client == ("192.0.2.1", 50_000)
    assert handshake.server == ("192.0.2.2", 80)
    assert handshake.root_path == "/below"
    assert handshake.headers == [(b"host", b"testserver")]
    assert not handshake.has_body


def test_headers() -> None:
    """As they came; but what a WSGI server would take for another is dropped (CVE-2015-0219)."""
    headers = {b"X-One": [b"1", b"2"], b"X_One": [b"3"], b"Remote-User": [b"a"]}
    handshake = handshake_of(make_request(headers), "")
    assert sorted(handshake.headers) == [
        (b"remote-user", b"a"),
        (b"x-one", b"1"),
        (b"x-one", b"2"),
    ]
    assert handshake.values(b"x-one") == [b"1", b"2"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([b"/from/proxy"], "/from/proxy"), ([b"/a%20b"], "/a b"), ([b"/one", b"/two"], "/two")],
)
def test_a_root_path_of_the_proxy(values: list[bytes], expected: str) -> None:
    handshake = handshake_of(make_request({b"Daphne-Root-Path": values}), "/ours")
    assert handshake.root_path == expected
    assert handshake.headers == []


@pytest.mark.parametrize(
    ("scheme", "expected"), [("http", "ws"), ("https", "wss"), ("ws", "ws"), ("wss", "wss")]
)
def test_the_scheme(scheme: str, expected: str) -> None:
    assert handshake_of(make_request(client_scheme=scheme), "").scheme == expected


def test_a_unix_socket() -> None:
    host = UNIXAddress("/run/socket")
    request = make_request(client_addr=None, server_addr=None, getHost=lambda: host)
    handshake = handshake_of(request, "")
    assert (handshake.client, handshake.server) == (None, ("/run/socket", None))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({b"content-length": [b"0"]}, False),
        ({b"content-length": [b"00"]}, False),
        ({b"content-length": [b"1"]}, True),
        ({b"content-length": [b"10"]}, True),
        ({b"transfer-encoding": [b"chunked"]}, True),
        ({b"x-content-length": [b"1"]}, False),
    ],
)
def test_a_body(headers: dict[bytes, list[bytes]], expected: bool) -> None:
    assert handshake_of(make_request(headers), "").has_body is expected
