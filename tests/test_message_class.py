"""`Message`, and JSON in and out."""

from __future__ import annotations

import copy
import pickle

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from bolt_ws.exceptions import InvalidJSON
from bolt_ws.messages import Message, decode_json, encode_json, message_from


def test_a_text_message() -> None:
    message = Message.text("Grüße")
    assert message.text == message.content == "Grüße"
    assert message.data is None
    assert message.msg_type == "text"
    assert (message.is_text(), message.is_binary(), message.is_close()) == (True, False, False)
    assert message.as_event() == {"type": "websocket.send", "text": "Grüße"}


@pytest.mark.parametrize("data", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_a_binary_message(data: bytes) -> None:
    message = Message.binary(data)
    assert message.data == message.content == b"\x00\xff"
    assert type(message.data) is bytes
    assert message.text is None
    assert message.msg_type == "binary"
    assert (message.is_text(), message.is_binary(), message.is_close()) == (False, True, False)
    assert message.as_event() == {"type": "websocket.send", "bytes": b"\x00\xff"}


def test_empty_messages_are_messages() -> None:
    assert Message.text("").text == ""
    assert Message.binary(b"").data == b""
    assert Message.text("").as_event() == {"type": "websocket.send", "text": ""}
    assert Message.binary(b"").as_event() == {"type": "websocket.send", "bytes": b""}


def test_a_ping_has_no_event() -> None:
    message = Message.ping()
    assert message.msg_type == "ping"
    assert message.content is message.text is message.data is message.as_event() is None


def test_a_close_message() -> None:
    assert Message.close().as_event() == {"type": "websocket.close", "code": 1000, "reason": ""}
    message = Message.close(4001, "bye")
    assert message.is_close()
    assert message.msg_type == "close"
    assert (message.code, message.reason, message.content) == (4001, "bye", None)
    assert message.as_event() == {"type": "websocket.close", "code": 4001, "reason": "bye"}
    with pytest.raises(ValueError, match="close code 1006 must not be sent"):
        Message.close(1006)
    with pytest.raises(ValueError, match="close reason of 124 bytes"):
        Message.close(1000, "x" * 124)


def test_factories_refuse_the_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"Message.text\(\) takes str, not bytes"):
        Message.text(b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Message.binary("x")  # type: ignore[arg-type]


def test_messages_are_values() -> None:
    assert Message.text("a") == Message.text("a") != Message.text("b")
    assert Message.text("a") != Message.binary(b"a")
    assert Message.close(1000) != Message.close(1001)
    assert Message.text("a") != "a"
    assert len({Message.text("a"), Message.text("a"), Message.ping(), Message.close()}) == 3
    message = Message.text("a")
    with pytest.raises(AttributeError):
        message.content = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        message.text = "b"
    assert copy.copy(message) == pickle.loads(pickle.dumps(message)) == message


def test_repr_shows_no_long_content() -> None:
    assert repr(Message.text("hi")) == "<Message text 'hi'>"
    assert repr(Message.binary(b"\x00")) == r"<Message binary b'\x00'>"
    assert repr(Message.ping()) == "<Message ping>"
    assert repr(Message.close()) == "<Message close 1000>"
    assert repr(Message.close(4001, "bye")) == "<Message close 4001: bye>"
    long = repr(Message.text("a" * 40 + "secret"))
    assert "secret" not in long
    assert long.endswith("... (46 in all)>")


def test_what_came_as_a_message() -> None:
    assert message_from({"type": "websocket.receive", "text": "a"}) == Message.text("a")
    assert message_from({"type": "websocket.receive", "bytes": b"a"}) == Message.binary(b"a")
    # Servers may send both keys (ASGI specification, "Receive").
    both = {"type": "websocket.receive", "text": None, "bytes": b""}
    assert message_from(both) == Message.binary(b"")
    both = {"type": "websocket.receive", "text": "", "bytes": None}
    assert message_from(both) == Message.text("")


def test_json() -> None:
    assert encode_json({"a": [1, None]}) == b'{"a":[1,null]}'
    assert encode_json([mark_safe("<b>"), gettext_lazy("Yes")]) == b'["<b>","Yes"]'
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        encode_json(object())
    assert decode_json('{"a":1}') == decode_json(b'{"a":1}') == {"a": 1}


@pytest.mark.parametrize("data", ["{", b"\xff", "[" * 100_000, '"\ud800"', "NaN"])
def test_what_is_no_json(data: str | bytes) -> None:
    with pytest.raises(InvalidJSON) as raised:
        decode_json(data)
    assert raised.value.data == data
