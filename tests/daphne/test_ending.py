"""How connections end: codes and reasons, and who is told what."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.frames import Opcode

from .client import connected
from .fakes import KIB

CLOSE = "websocket.close"


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
)
@pytest.mark.parametrize("reason", ["", "because", "\u00e9" * 61 + "x", None])
async def test_closing(code: int, reason: str | None) -> None:
    async with connected() as client:
        await client.send({"type": CLOSE, "code": code, "reason": reason})
        client.look()
        assert client.closes == [(code, reason or "")]
        client.close(code)
        assert client.transport.calls == ["close"]
        assert await client.receive() == {
            "type": "websocket.disconnect",
            "code": code,
            "reason": reason or "",
        }


@pytest.mark.parametrize("event", [{}, {"code": None}, {"code": 1000, "reason": None}])
async def test_closing_without_saying_why(event: dict[str, Any]) -> None:
    async with connected() as client:
        await client.send({"type": CLOSE, **event})
        client.look()
        assert client.closes == [(1000, "")]


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (999, "", "close code 999 must not be sent"),
        (0, "", "close code 0 must not be sent"),
        (-1, "", "close code -1 must not be sent"),
        (1004, "", "close code 1004 must not be sent"),
        (1005, "", "close code 1005 must not be sent"),
        (1006, "", "close code 1006 must not be sent"),
        (1015, "", "close code 1015 must not be sent"),
        (1016, "", "close code 1016 must not be sent"),
        (2999, "", "close code 2999 must not be sent"),
        (5000, "", "close code 5000 must not be sent"),
        ("1000", "", "close code '1000' is no number"),
        (1000.0, "", "close code 1000.0 is no number"),
        (True, "", "close code True is no number"),
        (1000, b"bytes", "close reason b'bytes' is no text"),
        (1000, 7, "close reason 7 is no text"),
        (1000, "x" * 124, "at most 123 bytes"),
        (1000, "\u00e9" * 62, "at most 123 bytes"),
        (1000, "\ud800", "surrogates not allowed"),
    ],
)
async def test_what_no_close_says(code: Any, reason: Any, message: str) -> None:
    async with connected() as client:
        with pytest.raises(ValueError, match=message):
            await client.send({"type": CLOSE, "code": code, "reason": reason})
        await client.send("still open")
        client.look()
        assert (client.messages, client.closes) == (["still open"], [])


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [(b"", 1005, ""), (b"\x03\xe8", 1000, ""), (b"\x0f\xa1caf\xc3\xa9", 4001, "caf\u00e9")],
)
@pytest.mark.parametrize("is_inside", [False, True])
async def test_the_client_closes(payload: bytes, code: int, reason: str, is_inside: bool) -> None:
    async with connected() as client:
        waiting = await client.idle()
        if is_inside:
            client.put_frame(Opcode.BINARY, b"begun", fin=False)
        client.put_frame(Opcode.CLOSE, payload)
        assert await waiting == {
            "type": "websocket.disconnect",
            "code": code,
            "reason": reason,
        }
        client.look()
        assert client.closes == [(code, reason)]
        assert client.raw.endswith(bytes((0x88, len(payload))) + payload)
        assert client.transport.calls == ["close"]


async def test_the_first_end_counts() -> None:
    async with connected() as client:
        await client.send({"type": CLOSE, "code": 4001, "reason": "ours"})
        client.close(4002, "the client's")
        client.transport.lose()
        event = await client.receive()
        assert (event["code"], event["reason"]) == (4001, "ours")
        client.look()
        assert client.closes == [(4001, "ours")]


async def test_a_close_inside_a_message_that_was_closed() -> None:
    async with connected() as client:
        client.put_frame(Opcode.TEXT, b"begun", fin=False)
        await client.send({"type": CLOSE, "code": 4001})
        client.put_frame(Opcode.CONT, b"end")
        client.close()
        client.look()
        assert client.closes == [(4001, "")]
        assert client.transport.calls == ["close"]


async def test_bad_data_after_a_close_of_ours() -> None:
    async with connected() as client:
        await client.send({"type": CLOSE, "code": 4001})
        client.put_frame(Opcode.CONT, b"of nothing")
        client.look()
        assert client.closes == [(4001, "")]
        assert client.transport.calls == ["write_eof"]


async def test_what_comes_after_the_end_is_discarded() -> None:
    """For the end of the stream is behind it."""
    async with connected() as client:
        waiting = await client.idle()
        client.put_frame(Opcode.CONT, b"of nothing")
        for _ in range(10):
            assert client.transport.is_reading
            client.put_bytes(bytes(70 * KIB))
        assert client.transport.is_reading
        client.look()
        assert [code for code, _ in client.closes] == [1002]
        await waiting


async def test_messages_after_a_close_of_ours_are_discarded() -> None:
    async with connected() as client:
        await client.send({"type": CLOSE})
        for _ in range(10):
            client.put(bytes(100 * KIB))
        assert client.transport.is_reading
        client.close()
        assert client.transport.calls == ["close"]
