"""A session of a test client: what it sends, receives and knows, by both clients."""

from __future__ import annotations

from typing import Any

import pytest

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.testing import Unexpected, WebSocketTimeout
from tests.testing import clients
from tests.testing.clients import TIMEOUT, ClientOf

client_of = clients.client_of
api = BoltAPI()


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async for message in websocket:
        await websocket.send_event(_as_event(message))


@api.websocket("/blocking-echo")
def blocking_echo(websocket: BlockingWebSocket) -> None:
    for message in websocket:
        websocket.send_event(_as_event(message))


def _as_event(message: str | bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message}


@api.websocket("/says")
async def says(websocket: WebSocket) -> None:
    """Send three messages of each kind, and close."""
    for number in (1, 2, 3):
        await websocket.send_text(f'{{"n": {number}}}')
    for number in (1, 2, 3):
        await websocket.send_bytes(b'{"n": %d}' % number)
    await websocket.close(4000, "done")


@api.websocket("/closes")
async def closes(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4001, "enough")


# Messages


@pytest.mark.parametrize("path", ["/echo", "/blocking-echo"])
def test_every_way_to_send_and_receive(client_of: ClientOf, path: str) -> None:
    with client_of(api).websocket_connect(path) as ws:
        ws.send_text("héllo")
        assert ws.receive_text() == "héllo"
        ws.send_bytes(b"\x00\xff")
        assert ws.receive_bytes() == b"\x00\xff"
        ws.send_bytes(bytearray(b"ab"))
        ws.send_bytes(memoryview(b"cd"))
        assert (ws.receive_bytes(), ws.receive_bytes()) == (b"ab", b"cd")
        ws.send_json({"a": [1, None]})
        assert ws.receive_text() == '{"a":[1,null]}'
        ws.send_json({"a": 1}, mode="binary")
        assert ws.receive_bytes() == b'{"a":1}'
        ws.send_json([1])
        assert ws.receive_json() == [1]
        ws.send_json([2], mode="binary")
        assert ws.receive_json(mode="binary") == [2]
        ws.send_text("")
        ws.send_bytes(b"")
        assert (ws.receive(), ws.receive()) == ("", b"")


def test_receive_gives_the_message_as_it_came(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/says") as ws:
        assert [ws.receive() for _ in range(6)] == [
            *(f'{{"n": {number}}}' for number in (1, 2, 3)),
            *(b'{"n": %d}' % number for number in (1, 2, 3)),
        ]


def test_iterating_ends_with_the_close(client_of: ClientOf) -> None:
    client = client_of(api)
    with client.websocket_connect("/says") as ws:
        texts = ws.iter_text()
        assert next(texts) == '{"n": 1}'
        assert next(texts) == '{"n": 2}'
        assert ws.receive_json() == {"n": 3}
        assert list(ws.iter_bytes()) == [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}']
        assert (ws.close_code, ws.close_reason) == (4000, "done")
        assert list(ws.iter_json()) == []


def test_iterating_over_json(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/says") as ws:
        messages = ws.iter_json()
        assert [next(messages) for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_iterating_waits_no_longer_than_receiving(client_of: ClientOf) -> None:
    with client_of(api, timeout=TIMEOUT).websocket_connect("/echo") as ws:
        ws.send_text("one")
        texts = ws.iter_text()
        assert next(texts) == "one"
        with pytest.raises(WebSocketTimeout, match="No text came"):
            next(texts)


def test_another_kind_of_message_than_expected(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        ws.send_bytes(b"\x00")
        with pytest.raises(Unexpected, match=r"Expected a text from '/echo', but got bytes b'\\x"):
            ws.receive_text()
        ws.send_text("hello")
        with pytest.raises(Unexpected, match="Expected bytes from '/echo', but got text 'hello'"):
            ws.receive_bytes()
        ws.send_text("{")
        with pytest.raises(Unexpected, match=r"Expected JSON from '/echo', but got '\{'"):
            ws.receive_json()
        ws.send_text("[]")
        with pytest.raises(Unexpected, match=r"Expected bytes from '/echo', but got text '\[\]'"):
            ws.receive_json(mode="binary")


def test_what_cannot_be_sent(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        with pytest.raises(TypeError, match=r"send_text\(\) takes str, not bytes"):
            ws.send_text(b"")
        with pytest.raises(TypeError):
            ws.send_bytes("text")
        with pytest.raises(TypeError):
            ws.send_json(object())
        ws.receive_nothing(TIMEOUT)


def test_nothing_comes(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        ws.receive_nothing()
        ws.receive_nothing(timeout=0)
        ws.send_text("something")
        with pytest.raises(
            Unexpected, match="Expected nothing from '/echo', but got text 'something'"
        ):
            ws.receive_nothing(timeout=5)


# Timeouts


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("receive", "message"),
        ("receive_text", "text"),
        ("receive_bytes", "binary message"),
        ("receive_json", "text"),
        ("assert_closed", "close"),
    ],
)
def test_every_wait_has_a_timeout(client_of: ClientOf, method: str, what: str) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        with pytest.raises(WebSocketTimeout, match=f"No {what} came from '/echo' within 0.01 s"):
            getattr(ws, method)(timeout=0.01)
        ws.send_text("later")
        assert ws.receive_text() == "later"  # a timeout ends nothing


def test_the_timeout_of_a_client_and_of_a_connection(client_of: ClientOf) -> None:
    client = client_of(api, timeout=0.02)
    with (
        client.websocket_connect("/echo") as ws,
        pytest.raises(WebSocketTimeout, match=r"within 0\.02 s"),
    ):
        ws.receive_text()
    with (
        client.websocket_connect("/echo", timeout=0.03) as ws,
        pytest.raises(WebSocketTimeout, match=r"within 0\.03 s"),
    ):
        ws.receive_text()


def test_a_timeout_is_a_failed_assertion_and_a_timeout(client_of: ClientOf) -> None:
    with client_of(api).websocket_connect("/echo") as ws:
        with pytest.raises(TimeoutError):
            ws.receive(timeout=0.01)
        with pytest.raises(AssertionError):
            ws.receive(timeout=0.01)
