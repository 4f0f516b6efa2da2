"""How a session of a test client ends, and where it stands meanwhile, by both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketDisconnect, WebSocketState
from bolt_ws.testing import Unexpected, WebSocketTimeout
from tests.testing import clients
from tests.testing.clients import ClientOf
from tests.testing.test_session import api

client_of = clients.client_of


def test_the_handler_sees_the_close_of_the_client(client_of: ClientOf) -> None:
    seen = []
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as end:
            seen.append((end.code, end.reason))

    client = client_of(api)
    with client.websocket_connect("/") as ws:
        ws.close(4321, "bye")
        assert seen == [(4321, "bye")]  # it has ended
        assert (ws.close_code, ws.close_reason) == (4321, "bye")
    with client.websocket_connect("/") as ws:
        ws.close()
    with client.websocket_connect("/"):
        pass
    with client.websocket_connect("/") as ws:
        ws.close(1001)
    assert seen == [(4321, "bye"), (1000, ""), (1000, ""), (1001, "")]


@pytest.mark.parametrize("code", [999, 1004, 1015, 2999, 5000])
def test_a_code_that_no_client_may_send(client_of: ClientOf, code: int) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        with pytest.raises(ValueError, match=str(code)):
            ws.close(code)
        assert ws.state is WebSocketState.CONNECTED


def test_after_the_end_of_the_client(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        ws.close(4000, "bye")
        for call in (
            ws.receive,
            ws.receive_text,
            ws.receive_nothing,
            lambda: ws.send_text("more"),
            lambda: ws.send_bytes(b"more"),
            lambda: ws.send_json("more"),
        ):
            with pytest.raises(WebSocketDisconnect) as caught:
                call()
            assert (caught.value.code, caught.value.reason) == (4000, "bye")
        ws.close(4001)
        assert (ws.close_code, ws.close_reason) == (4000, "bye")


def test_after_the_end_of_the_application(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/closes") as ws:
        for call in (ws.receive_text, ws.receive_bytes, lambda: ws.send_text("more")):
            with pytest.raises(WebSocketDisconnect) as caught:
                call()
            assert (caught.value.code, caught.value.reason) == (4001, "enough")


def test_the_states_through_a_life_that_the_client_ends(client_of: ClientOf) -> None:
    _, connected, disconnected, _ = WebSocketState
    with client_of(api).websocket_connect("/echo") as ws:
        assert (ws.state, ws.client_state, ws.application_state) == (connected,) * 3
        assert (ws.close_code, ws.close_reason, ws.error) == (None, None, None)
        assert repr(ws).endswith("WebSocketSession '/echo' CONNECTED>")
        ws.close(4000)
        assert (ws.state, ws.client_state) == (disconnected, disconnected)
    assert repr(ws).endswith("WebSocketSession '/echo' DISCONNECTED>")


def test_the_states_through_a_life_that_the_application_ends(client_of: ClientOf) -> None:
    _, connected, disconnected, _ = WebSocketState
    with client_of(api).websocket_connect("/says") as ws:
        ws.receive_text()
        assert (ws.state, ws.client_state) == (connected, connected)
        for _ in range(5):
            ws.receive()
        assert ws.state is connected  # the close has not been seen
        assert ws.application_state is disconnected
        with pytest.raises(WebSocketDisconnect):
            ws.receive()
        assert (ws.state, ws.client_state, ws.application_state) == (disconnected,) * 3
        assert (ws.close_code, ws.close_reason) == (4000, "done")
        assert [event["type"] for event in ws.sent] == [
            "websocket.accept",
            *["websocket.send"] * 6,
            "websocket.close",
        ]


def test_assert_closed(client_of: ClientOf) -> None:
    client = client_of(api)
    with client.websocket_connect("/closes") as ws:
        ws.assert_closed(4001, "enough")
        ws.assert_closed(4001)  # and once more
        ws.assert_closed()
        ws.assert_closed(reason="enough")
    for wrong, expected in [
        ((4000,), "4000, null"),
        ((4001, "more"), '4001, "more"'),
        ((4000, "enough"), '4000, "enough"'),
    ]:
        with client.websocket_connect("/closes") as ws:
            with pytest.raises(Unexpected) as caught:
                ws.assert_closed(*wrong)
            assert str(caught.value) == (
                f"Expected '/closes' to be closed with {expected}, but it was closed with 4001, "
                '"enough"'
            )


def test_assert_closed_of_a_connection_that_goes_on(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        with pytest.raises(WebSocketTimeout, match="No close came from '/echo' within"):
            ws.assert_closed(1000, timeout=0.01)
        ws.send_text("hello")
        with pytest.raises(
            Unexpected,
            match="Expected the close of '/echo', but it is open and sent text 'hello'",
        ):
            ws.assert_closed(1000)


# A server that shuts down


@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_server_that_shuts_down(client_of: ClientOf, is_blocking: bool) -> None:
    ran: list[Any] = []
    api = BoltAPI()

    async def handler(websocket: WebSocket) -> None:
        try:
            await websocket.receive_text()
        except asyncio.CancelledError:
            ran.append("cancelled")
            raise

    def blocking_handler(websocket: BlockingWebSocket) -> None:
        try:
            websocket.receive_text()
        except WebSocketDisconnect:
            ran.append("cancelled")
            raise

    endpoint = api.websocket("/", auto_accept=True)(blocking_handler if is_blocking else handler)

    @endpoint.on_close
    async def gone(websocket: WebSocket, code: int) -> str:
        ran.append(code)
        return "goodbye"

    with client_of(api).websocket_connect("/") as ws:
        ws.cancel()
        assert ws.receive_text() == "goodbye"
        ws.assert_closed(1012)
    assert ran == ["cancelled", 1012]
    assert ws.error is None


# What came with the accept


def test_the_accept(client_of: ClientOf) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept("chat.v2", headers=[("X-Served-By", "me"), ("Set-Cookie", "a=1")])

    with client_of(api).websocket_connect("/", subprotocols=["chat.v1", "chat.v2"]) as ws:
        assert ws.accepted_subprotocol == "chat.v2"
        assert ws.extra_headers == [(b"x-served-by", b"me"), (b"set-cookie", b"a=1")]
        assert ws.path == "/"
        assert ws.scope["subprotocols"] == ["chat.v1", "chat.v2"]


def test_a_plain_accept(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        assert ws.accepted_subprotocol is None
        assert ws.extra_headers == []
