"""What a test client connects with: each option of a handshake, and what paths may be."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from django.test import override_settings

from bolt_ws import BlockingWebSocket, BoltAPI, Cookie, Header, WebSocket
from bolt_ws.testing import TestClient, WebSocketTestClient
from tests.testing import clients
from tests.testing.clients import ClientOf

client_of = clients.client_of
api = BoltAPI()


@api.websocket("/scope")
async def scope_of(websocket: WebSocket) -> None:
    """Send what the handshake had."""
    scope = websocket.scope
    await websocket.send_json(
        {
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": [
                [name.decode(), value.decode("latin-1")] for name, value in scope["headers"]
            ],
            "subprotocols": scope["subprotocols"],
            "client": scope["client"],
            "extensions": list(scope["extensions"]),
        }
    )


@api.websocket("/parameters/{room}")
async def parameters(
    websocket: WebSocket,
    room: str,
    n: int,
    user_agent: Annotated[str, Header()] = "",
    theme: Annotated[str, Cookie()] = "",
) -> None:
    await websocket.send_json([room, n, user_agent, theme])


def handshake(client: Any, path: str = "/scope", **options: Any) -> dict[str, Any]:
    """Connect, and return what the handshake had."""
    with client.websocket_connect(path, **options) as ws:
        had: dict[str, Any] = ws.receive_json()
        had["headers"] = dict(had["headers"])
    return had


# Paths and queries


def test_a_handler_gets_its_parameters(client_of: ClientOf) -> None:
    client = client_of(api, headers={"User-Agent": "me"}, cookies={"theme": "dark"})
    with client.websocket_connect("/parameters/a%20b?n=7") as ws:
        assert ws.receive_json() == ["a b", 7, "me", "dark"]


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/scope", None, ""),
        ("/scope?a=1", None, "a=1"),
        ("/scope?a=1", {"b": 2}, "a=1&b=2"),
        ("/scope", {"a": [1, 2], "b": "x y&z"}, "a=1&a=2&b=x+y%26z"),
        ("/scope?a=1", "b=2&c", "a=1&b=2&c"),
    ],
)
def test_the_query(client_of: ClientOf, path: str, query: Any, expected: str) -> None:
    had = handshake(client_of(api), path, query=query)
    assert (had["path"], had["query"]) == ("/scope", expected)


def test_a_path_is_as_a_server_gives_it(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/{name}")
    async def handler(websocket: WebSocket, name: str) -> None:
        await websocket.send_json([name, websocket.path, websocket.scope["raw_path"].decode()])

    client = client_of(api)
    for path in ("/h%C3%A9", "/hé"):
        with client.websocket_connect(path) as ws:
            assert ws.receive_json() == ["hé", "/hé", "/h%C3%A9"]


@pytest.mark.parametrize("path", ["scope", "", "ws://testserver/scope", "?a=1"])
def test_a_path_without_a_slash(client_of: ClientOf, path: str) -> None:
    with (
        pytest.raises(ValueError, match="a path begins with a slash, as in '/ws/chat'"),
        client_of(api).websocket_connect(path),
    ):
        pass


# Headers, cookies, subprotocols


def test_what_every_handshake_has(client_of: ClientOf) -> None:
    had = handshake(client_of(api))
    assert had["headers"] == {"host": "testserver", "origin": "http://testserver"}
    assert had["extensions"] == ["websocket.http.response"]
    assert had["subprotocols"] == []


def test_headers_of_a_connection_stand_in_place_of_the_clients(client_of: ClientOf) -> None:
    client = client_of(api, headers={"X-One": "1", "X-Two": "2"})
    own = {"x-one": "own", "X-Three": "3"}
    with client.websocket_connect("/scope", headers=own) as ws:
        headers = ws.receive_json()["headers"]
    ours = [each for each in headers if each[0].startswith("x-")]
    assert ours == [["x-two", "2"], ["x-one", "own"], ["x-three", "3"]]
    assert handshake(client)["headers"]["x-one"] == "1"


def test_headers_may_repeat(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/scope", headers=[("X-A", "1"), ("X-A", "2")]) as ws:
        headers = ws.receive_json()["headers"]
    assert [value for name, value in headers if name == "x-a"] == ["1", "2"]


@override_settings(CSRF_TRUSTED_ORIGINS=["https://other.example", "https://third.example"])
def test_the_origin(client_of: ClientOf) -> None:
    assert "origin" not in handshake(client_of(api, origin=None))["headers"]
    other = client_of(api, origin="https://other.example")
    assert handshake(other)["headers"]["origin"] == "https://other.example"
    third = "https://third.example"
    own = {"Origin": third}
    assert handshake(other, headers=own)["headers"]["origin"] == third
    assert handshake(client_of(api, headers=own))["headers"]["origin"] == third
    with client_of(api).websocket_connect("/scope", headers=own) as ws:
        headers = ws.receive_json()["headers"]
    assert [value for name, value in headers if name == "origin"] == [third]


@override_settings(ALLOWED_HOSTS=["shop", "testserver"])
def test_a_host_of_ones_own(client_of: ClientOf) -> None:
    assert handshake(client_of(api, headers={"Host": "shop"}))["headers"]["host"] == "shop"


def test_cookies(client_of: ClientOf) -> None:
    client = client_of(api, cookies={"a": "1", "b": "2"})
    assert handshake(client)["headers"]["cookie"] == "a=1; b=2"
    assert handshake(client, cookies={"b": "3", "c": "4"})["headers"]["cookie"] == "a=1; b=3; c=4"
    client.cookies["a"] = "5"
    assert handshake(client)["headers"]["cookie"] == "a=5; b=2"


def test_subprotocols(client_of: ClientOf) -> None:
    had = handshake(client_of(api), subprotocols=["v2", "v1"])
    assert had["subprotocols"] == ["v2", "v1"]
    assert had["headers"]["sec-websocket-protocol"] == "v2, v1"
    with (
        pytest.raises(TypeError, match="subprotocols is a list of names, not 'chat'"),
        client_of(api).websocket_connect("/scope", subprotocols="chat"),
    ):
        pass


def test_a_scope_of_ones_own(client_of: ClientOf) -> None:
    had = handshake(client_of(api), scope={"client": ("10.0.0.1", 5000), "extensions": {}})
    assert had["client"] == ["10.0.0.1", 5000]
    assert had["extensions"] == []


def test_a_token(client_of: ClientOf) -> None:
    assert handshake(client_of(api), token="abc")["query"] == "token=abc"
    assert handshake(client_of(api), "/scope?a=1", token="abc")["query"] == "a=1&token=abc"
    # Whatever is sent as a token arrives as one.
    assert handshake(client_of(api), token="a&b=c d")["query"] == "token=a%26b%3Dc+d"


def test_an_option_that_is_none_of_them(client_of: ClientOf) -> None:
    with (
        pytest.raises(TypeError, match="subprotocol"),
        client_of(api).websocket_connect("/scope", subprotocol="chat"),
    ):
        pass


# The shortest form


@pytest.mark.parametrize("path", ["/async", "/plain"])
def test_one_connection_in_one_line(path: str) -> None:
    with WebSocketTestClient(make_echo(), path) as ws:
        ws.send_text("hello")
        assert ws.receive_text() == "hello"


@pytest.mark.parametrize("path", ["/async", "/plain"])
async def test_one_connection_in_one_line_awaited(path: str) -> None:
    async with WebSocketTestClient(make_echo(), path) as ws:
        await ws.send_text("hello")
        assert await ws.receive_text() == "hello"


async def test_the_shortest_form_has_the_options() -> None:
    one_line = WebSocketTestClient(api, "/scope", query={"a": 1}, headers={"X-A": "2"})
    async with one_line as ws:
        had = await ws.receive_json()
    assert had["query"] == "a=1"
    assert ["x-a", "2"] in had["headers"]


def make_echo() -> BoltAPI:
    api = BoltAPI()

    @api.websocket("/async")
    async def echo(websocket: WebSocket) -> None:
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @api.websocket("/plain")
    def plain_echo(websocket: BlockingWebSocket) -> None:
        for text in websocket.iter_text():
            websocket.send_text(text)

    return api


# In a coroutine


async def test_the_synchronous_client_in_a_coroutine() -> None:
    names_the_other = "a coroutine called it: use AsyncTestClient"
    with pytest.raises(RuntimeError, match=names_the_other), TestClient(api) as client:
        client.websocket_connect("/scope").__enter__()
    with (
        pytest.raises(RuntimeError, match=names_the_other),
        TestClient(api).websocket_connect("/scope"),
    ):
        pass
    with pytest.raises(RuntimeError, match=names_the_other):
        TestClient(api).assert_refused("/scope")
