"""Value types: what `receive()` and `send()` deal in."""

import json
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from bolt_ws import BoltAPI, DeclarationError, InvalidMessage, Message, WebSocket
from tests.support import ACCEPT, close, serve, talk, text


@dataclass
class Data:
    n: int


class Typed(TypedDict):
    n: int


class Struct(msgspec.Struct):
    n: int


class Model(pydantic.BaseModel):
    n: int


async def echo(websocket: WebSocket) -> None:
    async for message in websocket:
        await websocket.send(message)


@pytest.mark.parametrize("kind", [Data, Typed, Struct, Model, dict[str, int]])
async def test_a_type_validates_both_ways(kind: Any) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        value = await websocket.receive()
        seen.append(value)
        with pytest.raises(TypeError, match="to send"):
            await websocket.send({"n": "three"})
        await websocket.send(value)

    assert await talk(serve(handler, value_type=kind), "/", '{"n":3}') == [
        ACCEPT,
        text('{"n":3}'),
        close(),
    ]
    assert isinstance(seen[0], dict if kind in (Typed, dict[str, int]) else kind)


@pytest.mark.parametrize("kind", [Data, Typed, Struct, Model, list[int]])
@pytest.mark.parametrize("sent", ['{"n":"x"}', "[null]", "7"])
async def test_another_type_closes_with_1007(kind: Any, sent: str) -> None:
    *_, last = await talk(serve(echo, receive_type=kind), "/", sent)
    assert last["code"] == 1007


async def test_invalid_messages_leave_the_connection_usable() -> None:
    async def handler(websocket: WebSocket) -> None:
        for _ in range(2):
            with pytest.raises(InvalidMessage) as caught:
                await websocket.receive()
            await websocket.send_text(str(caught.value.data))

    sent = await talk(serve(handler, receive_type=Data), "/", '{"n":""}', '{"m":1}')
    assert sent[1:3] == [text('{"n":""}'), text('{"m":1}')]


@pytest.mark.parametrize(
    ("kind", "message"), [("text", "a"), ("bytes", b"a"), ("json", '{"a":[1]}')]
)
async def test_named_types(kind: str, message: str | bytes) -> None:
    sent = await talk(serve(echo, value_type=kind), "/", message)
    assert message in (sent[1].get("text"), sent[1].get("bytes"))


async def test_events() -> None:
    async def handler(websocket: WebSocket) -> None:
        event = await websocket.receive()
        await websocket.send({"type": "websocket.send", "text": event["text"]})

    assert (await talk(serve(handler, value_type="event"), "/", "a"))[1] == text("a")


async def test_without_a_type_iteration_yields_what_came() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        seen.extend([message async for message in websocket])

    await talk(serve(handler), "/", "a", b"b", "", b"")
    assert seen == ["a", b"b", "", b""]


@pytest.mark.parametrize(("kind", "wrong"), [("text", b"a"), ("bytes", "a"), ("json", object())])
async def test_sending_what_the_type_does_not_hold_sends_nothing(kind: str, wrong: Any) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(TypeError):
            await websocket.send(wrong)

    assert await talk(serve(handler, send_type=kind)) == [ACCEPT, close()]


async def test_a_message_is_sent_whatever_the_type() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send(Message.text("a"))
        await websocket.send(Message.binary(b"b"))
        await websocket.send(Message.ping())
        await websocket.send(Message.close(4000, "c"))

    assert await talk(serve(handler, send_type="json")) == [
        ACCEPT,
        text("a"),
        {"type": "websocket.send", "bytes": b"b"},
        close(4000, "c"),
    ]


async def test_receive_and_send_may_differ() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send([await websocket.receive()])

    sent = await talk(serve(handler, receive_type="text", send_type="json"), "/", "a")
    assert json.loads(sent[1]["text"]) == ["a"]


async def test_events_are_raw_whatever_the_type() -> None:
    async def handler(websocket: WebSocket) -> None:
        event = await websocket.receive_event()
        await websocket.send_event({"type": "websocket.send", "text": event["text"]})

    assert (await talk(serve(handler, value_type="json"), "/", "a"))[1] == text("a")


async def test_websocket_route_deals_in_text() -> None:
    api = BoltAPI()
    api.websocket_route("/")(echo)
    assert (await talk(api.as_asgi(), "/", "a"))[1] == text("a")


@pytest.mark.parametrize("unknown", ["xml", object, object(), 5, complex])
@pytest.mark.parametrize("option", ["value_type", "receive_type", "send_type"])
def test_an_unknown_type_is_an_error_at_declaration(unknown: Any, option: str) -> None:
    with pytest.raises(DeclarationError, match="unknown value type"):
        BoltAPI().websocket("/", **{option: unknown})(echo)
