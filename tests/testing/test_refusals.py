"""Handshakes that are refused, as the test clients tell of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from django.http import HttpResponse, StreamingHttpResponse

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.servers import Event, Receive, Send
from bolt_ws.testing import Unexpected, WebSocketRefused
from tests.testing import clients
from tests.testing.clients import ClientOf

client_of = clients.client_of
api = BoltAPI()


@api.websocket("/accepts")
async def accepts(websocket: WebSocket) -> None:
    await websocket.accept()


@api.websocket("/rejects")
async def rejects(websocket: WebSocket) -> None:
    await websocket.reject(429, "Slower")


@api.websocket("/plain-rejects")
def plain_rejects(websocket: BlockingWebSocket) -> None:
    websocket.reject(429, "Slower")


@api.websocket("/closes")
async def closes(websocket: WebSocket) -> None:
    await websocket.close(4003, "not you")


async def pieces() -> AsyncIterator[bytes]:
    yield b"in "
    yield b"pieces"


@api.websocket("/responds")
async def responds(websocket: WebSocket) -> None:
    response = StreamingHttpResponse(pieces(), status=409, headers={"X-Why": "because"})
    await websocket.send_denial_response(response)


@api.websocket("/redirects")
async def redirects(websocket: WebSocket) -> None:
    await websocket.send_denial_response(HttpResponse(status=302, headers={"Location": "/login"}))


@api.websocket("/only-ends")
async def only_ends(websocket: WebSocket) -> None:
    pass


def refusal(client_of: ClientOf, path: str, **options: object) -> WebSocketRefused:
    """Connect to `path`, and return the refusal that this raises."""
    with (
        pytest.raises(WebSocketRefused) as caught,
        client_of(api).websocket_connect(path, **options),
    ):
        pytest.fail("it was accepted")
    return caught.value


@pytest.mark.parametrize("path", ["/rejects", "/plain-rejects"])
def test_a_rejection(client_of: ClientOf, path: str) -> None:
    refused = refusal(client_of, path)
    assert (refused.path, refused.status) == (path, 429)
    assert refused.headers["content-type"] == "application/json"
    assert refused.json() == {"detail": "Slower", "code": "too_many_requests"}
    assert refused.body == b'{"detail":"Slower","code":"too_many_requests"}'
    assert (refused.close_code, refused.close_reason) == (None, "")
    assert str(refused) == f"{path!r} refused the handshake with 429 {refused.body.decode()!r}"


def test_a_response(client_of: ClientOf) -> None:
    refused = refusal(client_of, "/responds")
    assert (refused.status, refused.body) == (409, b"in pieces")
    assert refused.headers["x-why"] == "because"
    with pytest.raises(ValueError, match="Expecting value"):
        refused.json()
    refused = refusal(client_of, "/redirects")
    assert (refused.status, refused.headers["location"], refused.body) == (302, "/login", b"")
    assert str(refused) == "'/redirects' refused the handshake with 302"


def test_a_close_is_a_403(client_of: ClientOf) -> None:
    refused = refusal(client_of, "/closes")
    assert (refused.status, refused.close_code, refused.close_reason) == (403, 4003, "not you")
    assert (refused.headers, refused.body) == ({}, b"")
    assert str(refused) == "'/closes' refused the handshake with 403 (closed with 4003 not you)"


def test_a_server_that_cannot_send_a_response(client_of: ClientOf) -> None:
    refused = refusal(client_of, "/rejects", scope={"extensions": {}})
    assert (refused.status, refused.close_code) == (403, 4429)
    assert refused.close_reason == "too_many_requests"


def test_a_path_that_nothing_is_at(client_of: ClientOf) -> None:
    assert refusal(client_of, "/nowhere").status == 404
    client_of(api).assert_refused("/nowhere", 404)


def test_a_handler_that_only_ends(client_of: ClientOf) -> None:
    assert refusal(client_of, "/only-ends").status == 403


def test_an_application_that_only_ends(client_of: ClientOf) -> None:
    async def application(scope: Event, receive: Receive, send: Send) -> None:
        await receive()

    refused = client_of(application).assert_refused("/", 403)
    assert refused.close_code is None


def test_assert_refused(client_of: ClientOf) -> None:
    client = client_of(api)
    assert client.assert_refused("/rejects", 429).json()["detail"] == "Slower"
    assert client.assert_refused("/rejects").status == 429
    assert client.assert_refused("/closes", 403).close_code == 4003
    bare = client.assert_refused("/rejects", 403, scope={"extensions": {}})
    assert bare.close_code == 4429


def test_assert_refused_with_another_status(client_of: ClientOf) -> None:
    with pytest.raises(Unexpected) as caught:
        client_of(api).assert_refused("/rejects", 403)
    assert str(caught.value) == (
        "Expected 403, but '/rejects' refused the handshake with 429 "
        """'{"detail":"Slower","code":"too_many_requests"}'"""
    )


def test_assert_refused_of_what_is_accepted(client_of: ClientOf) -> None:
    with pytest.raises(Unexpected, match="Expected '/accepts' to be refused, but it was accepted"):
        client_of(api).assert_refused("/accepts", 403)


def test_a_failure_is_a_500_to_who_asks_for_a_refusal(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        raise KeyError("missing")

    client = client_of(api)
    assert client.assert_refused("/", 500).json()["code"] == "internal_error"
    with pytest.raises(KeyError), client.websocket_connect("/"):
        pass


def test_an_application_that_waits_after_its_response(client_of: ClientOf) -> None:
    ended_with = []

    async def application(scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"tea", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"pot"})
        ended_with.append(await receive())

    refused = client_of(application).assert_refused("/", 418)
    assert refused.body == b"teapot"
    assert ended_with == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


# Refused, or failed


def test_a_failure_is_no_refusal(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        raise LookupError("a mistake")

    client = client_of(api)
    with pytest.raises(Unexpected, match="but it failed with LookupError") as caught:
        client.assert_refused("/")
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(Unexpected, match=r"Expected 403, but '/' refused .* 500") as caught:
        client.assert_refused("/", 403)
    assert isinstance(caught.value.__cause__, LookupError)
    assert client.assert_refused("/", 500).status == 500
