"""What a handler can read of the handshake."""

import re
import uuid
from typing import Any

import pytest
from django.core.exceptions import TooManyFieldsSent
from django.http import QueryDict
from django.test import override_settings

from bolt_ws import WebSocket
from tests.support import make_scope


def handshake(**scope: Any) -> WebSocket:
    async def unused(*args: object) -> Any:
        raise AssertionError

    return WebSocket(make_scope(**scope), unused, unused)


def test_only_a_websocket_scope_will_do() -> None:
    with pytest.raises(ValueError, match="'http'"):
        handshake(type="http")


def test_query_params_are_a_querydict() -> None:
    params = handshake(query="a=1&a=2&b=%C3%A9+x&c=").query_params
    assert isinstance(params, QueryDict)
    assert params.getlist("a") == ["1", "2"]
    assert (params["a"], params["b"], params["c"]) == ("2", "é x", "")


def test_query_params_are_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        handshake(query="a=1").query_params["a"] = "2"


@pytest.mark.parametrize("query", [b"a=%ff", b"a=\xff", b"&&=&%", b"a=%00"])
def test_a_strange_query_is_read(query: bytes) -> None:
    websocket = handshake(query=query)
    assert isinstance(websocket.query_params, QueryDict)
    assert websocket.url.startswith("ws://testserver/?")


def test_headers_are_found_in_any_case() -> None:
    headers = handshake(headers=[(b"x-room", b"caf\xe9")]).headers
    assert headers["X-Room"] == headers["x-room"] == "café"
    assert "X-ROOM" in headers
    assert headers.get("x-other") is None


def test_repeated_headers_are_joined() -> None:
    headers = handshake(headers=[(b"x-a", b"1"), (b"x-b", b"-"), (b"X-A", b"2")]).headers
    assert headers["x-a"] == "1, 2"


def test_cookies() -> None:
    websocket = handshake(headers=[(b"cookie", b"a=1; b=x y"), (b"cookie", b"c=3")])
    assert websocket.cookies == {"a": "1", "b": "x y", "c": "3"}


def test_no_cookies() -> None:
    assert handshake().cookies == {}


def test_client() -> None:
    client = handshake(client=["10.0.0.1", 4242]).client
    assert client is not None
    assert (client.host, client.port) == ("10.0.0.1", 4242)
    assert tuple(client) == ("10.0.0.1", 4242)


@pytest.mark.parametrize("client", [None, []])
def test_no_client(client: object) -> None:
    assert handshake(client=client).client is None


def test_subprotocols() -> None:
    assert handshake(subprotocols=["chat", "json"]).subprotocols == ["chat", "json"]
    assert handshake(subprotocols=None).subprotocols == []


@pytest.mark.parametrize(
    ("scope", "url"),
    [
        ({}, "ws://testserver/"),
        ({"path": "/a", "query": "b=1"}, "ws://testserver/a?b=1"),
        ({"path": "/é x"}, "ws://testserver/%C3%A9%20x"),
        ({"path": "/a/b", "raw_path": b"/a%2Fb?c"}, "ws://testserver/a%2Fb"),
        ({"query": b"a=%C3%A9&b=+"}, "ws://testserver/?a=%C3%A9&b=+"),
        ({"scheme": "wss"}, "wss://testserver/"),
        ({"headers": [], "server": ["10.0.0.1", 8000]}, "ws://10.0.0.1:8000/"),
        ({"headers": [], "server": ["10.0.0.1", 80]}, "ws://10.0.0.1/"),
        ({"headers": [], "server": ["10.0.0.1", 443], "scheme": "wss"}, "wss://10.0.0.1/"),
        ({"headers": [], "server": ["::1", 8000]}, "ws://[::1]:8000/"),
        ({"headers": [], "server": None}, "ws://localhost/"),
        ({"headers": [(b"host", b"h:81")]}, "ws://h:81/"),
    ],
)
def test_url(scope: dict[str, Any], url: str) -> None:
    assert handshake(**scope).url == url


def test_the_parts_of_the_url() -> None:
    url = handshake(path="/a", query="b=1", headers=[(b"host", b"Example.org:81")]).url
    assert isinstance(url, str)
    assert (url.scheme, url.netloc, url.hostname, url.port, url.path, url.query) == (
        "ws",
        "Example.org:81",
        "example.org",
        81,
        "/a",
        "b=1",
    )


@pytest.mark.parametrize(
    ("said", "scheme"), [(b"https", "wss"), (b"https, http", "wss"), (b"http", "ws")]
)
def test_the_proxy_tells_the_scheme_where_it_is_trusted(said: bytes, scheme: str) -> None:
    headers = [(b"x-forwarded-proto", said)]
    assert handshake(headers=headers).url.scheme == "ws"
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert handshake(headers=headers).url.scheme == scheme


def test_the_proxy_tells_the_host_where_it_is_trusted() -> None:
    headers = [(b"host", b"inside"), (b"x-forwarded-host", b"example.org")]
    assert handshake(headers=headers).url.hostname == "inside"
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert handshake(headers=headers).url.hostname == "example.org"


def test_id_is_a_uuid4_of_its_own() -> None:
    one, other = handshake(), handshake()
    assert uuid.UUID(one.id).version == 4
    assert str(uuid.UUID(one.id)) == one.id
    assert one.id == one.id != other.id


def test_connections_are_equal_by_identity() -> None:
    one, other = handshake(), handshake()
    assert one != other
    assert {one, one, other} == {one, other}
    assert {one: 1}[one] == 1


def test_a_connection_reads_as_its_scope() -> None:
    websocket = handshake(path="/a")
    assert websocket["path"] == "/a"
    assert "path" in websocket
    assert "nothing" not in websocket
    assert set(websocket) == set(websocket.scope)
    assert len(websocket) == len(websocket.scope)
    assert websocket


def test_repr_shows_path_and_id_but_no_query() -> None:
    websocket = handshake(path="/a", query="token=secret")
    assert re.fullmatch(rf"<WebSocket '/a' {websocket.id}>", repr(websocket))


def test_path_params_are_empty_outside_of_a_route() -> None:
    assert handshake().path_params == {}


@pytest.mark.parametrize("looked_before", [True, False])
def test_a_parameter_is_taken_though_there_are_too_many(looked_before: bool) -> None:
    rest = "&".join(f"a{number}=1" for number in range(1100))
    websocket = handshake(query_string=f"token=SECRET&{rest}&%74oken=SECRET".encode())
    if looked_before:
        with pytest.raises(TooManyFieldsSent):
            _ = websocket.query_params
    with pytest.raises(TooManyFieldsSent):
        websocket.take_query_param("token")
    assert websocket.scope["query_string"] == rest.encode()
    assert "SECRET" not in str(websocket.url)
    assert websocket.taken == {"token"}
