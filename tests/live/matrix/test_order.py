"""Applications that break the protocol (ASGI): told so by an exception, and all goes on."""

from typing import Any

import pytest

from tests.live.server import Server

from .differences import expected
from .script import ACCEPT, RECEIVE, body, close, send, start, text
from .wire import dialled, handshake, playing


def unusual(**keys: Any) -> tuple[str, dict[str, Any]]:
    return ("send_one", keys)


BEFORE_ACCEPT = {
    "send": (text("early"), "websocket.send"),
    "an unknown type": (send("nonsense"), "websocket.nonsense"),
    "another protocol's type": (unusual(type="http.response.start", status=200), "http.response"),
    "no type": (unusual(text="x"), "type"),
    "a body without a start": (body(b"x"), "websocket.http.response.body"),
    "a status that is none": (start(99), "99"),
    "a status that is text": (unusual(type="websocket.http.response.start", status="403"), "403"),
    "a status of 101": (start(101), "101"),
    "a denial's header of text": (start(403, ("x-text", "x")), "x-text"),  # type: ignore[arg-type]
    "a denial's header with CR LF": (start(403, (b"x-bad", b"a\r\nx-evil: b")), "x-bad"),
    "a header of text": (send("accept", headers=[("x-text", "x")]), "x-text"),
    "a value of text": (send("accept", headers=[(b"x-text", "x")]), "x-text"),
    "a header with CR LF": (send("accept", headers=[(b"x-bad", b"a\r\nx-evil: b")]), "x-bad"),
    "a header with LF": (send("accept", headers=[(b"x-bad", b"a\nx-evil: b")]), "x-bad"),
    "a header with CR": (send("accept", headers=[(b"x-bad", b"a\rb")]), "x-bad"),
    "a header with NUL": (send("accept", headers=[(b"x-bad", b"a\0b")]), "x-bad"),
    "a name with CR LF": (send("accept", headers=[(b"x-bad\r\nx-evil", b"a")]), "x-bad"),
    "a name with a colon": (send("accept", headers=[(b"x-bad: x", b"a")]), "x-bad"),
    "a name with a space": (send("accept", headers=[(b"x bad", b"a")]), "x bad"),
    "a name that is empty": (send("accept", headers=[(b"", b"a")]), "header"),
    "a pseudo-header": (send("accept", headers=[(b":status", b"200")]), ":status"),
    "a header of the server's": (
        send("accept", headers=[(b"Sec-WebSocket-Accept", b"x")]),
        "Sec-WebSocket-Accept",
    ),
    "a subprotocol in the headers": (
        send("accept", headers=[(b"sec-websocket-protocol", b"x")]),
        "sec-websocket-protocol",
    ),
    "a subprotocol that was not offered": (send("accept", subprotocol="nope"), "nope"),
    "a subprotocol with CR LF": (send("accept", subprotocol="a\r\nx-evil: b"), "subprotocol"),
    "a subprotocol of bytes": (send("accept", subprotocol=b"a"), "subprotocol"),
}

AFTER_ACCEPT = {
    "a second accept": (ACCEPT, "websocket.accept"),
    "an unknown type": (send("nonsense"), "websocket.nonsense"),
    "a denial": (start(403), "websocket.http.response.start"),
    "a body": (body(b"x"), "websocket.http.response.body"),
    "text and bytes": (send("send", text="t", bytes=b"b"), "bytes"),
    "neither text nor bytes": (send("send"), "bytes"),
    "neither, but None": (send("send", text=None, bytes=None), "bytes"),
    "bytes as text": (send("send", text=b"b"), "bytes"),
    "text as bytes": (send("send", bytes="t"), "str"),
    "a number as text": (send("send", text=1), "int"),
    "a lone surrogate": (text("\ud800"), "surrogate"),
    **{
        f"close code {code!r}": (close(code), str(code))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, "x", "1000", 1000.0)
    },
    "close code True": (close(True), "True"),
    "a reason of 124 bytes": (close(1000, "x" * 124), "123"),
    "a reason of 42 snowmen": (close(1000, "\N{SNOWMAN}" * 42), "123"),
    "a reason of bytes": (close(1000, b"why"), "reason"),  # type: ignore[arg-type]
    "a reason with a lone surrogate": (close(1000, "\ud800"), "surrogate"),
}


def judged(outcome: Any, named: str) -> str:
    """Whether an exception was raised, and names what is wrong."""
    if outcome == "sent":
        return "sent"
    names, told = outcome
    if "OSError" in names:
        return "OSError"
    return "raised" if named in told else "unclear"


@pytest.mark.parametrize("name", BEFORE_ACCEPT)
async def test_before_accept(server: Server, name: str) -> None:
    right = expected(server.kind, "nonsense before accept", {name: "raised"})[name]
    step, named = BEFORE_ACCEPT[name]
    async with dialled(server) as wire:
        script = (RECEIVE, step, ACCEPT, text("goes on"), close(4000))
        await wire.send(handshake(wire, *script))
        outcomes = (await wire.report())[1:]
        assert judged(outcomes[0], named) == right, outcomes
        if right == "raised":
            assert outcomes[1:] == ["sent"] * 3
            await wire.read_head()
            assert wire.status == 101
            assert wire.header("x-evil") == wire.header("x-bad") == []
            assert await wire.read_text() == "goes on"
            assert (await wire.read_end())[0] == 4000


@pytest.mark.parametrize("name", AFTER_ACCEPT)
async def test_after_accept(server: Server, name: str) -> None:
    right = expected(server.kind, "nonsense after accept", {name: "raised"})[name]
    step, named = AFTER_ACCEPT[name]
    async with playing(server, RECEIVE, ACCEPT, step, text("goes on"), close(4000)) as wire:
        outcomes = (await wire.report())[2:]
        assert judged(outcomes[0], named) == right, outcomes
        if right == "raised":
            assert outcomes[1:] == ["sent"] * 2
            assert await wire.read_text() == "goes on"
            assert (await wire.read_end())[0] == 4000


@pytest.mark.parametrize("name", ["websocket.accept", "websocket.send", "websocket.close"])
async def test_within_a_denial(server: Server, name: str) -> None:
    expected(server.kind, "denial responses", "sent")
    script = (RECEIVE, start(403), unusual(type=name, text="x"), body(b"refused"))
    async with playing(server, *script) as wire:
        assert wire.status == 403
        assert await wire.read_body() == b"refused"
    _, began, outcome, ended = await wire.report()
    assert (began, judged(outcome, name), ended) == ("sent", "raised", "sent")


async def test_accept_before_receive(server: Server) -> None:
    """That an application does not look at `websocket.connect` first, is allowed."""
    async with playing(server, ACCEPT, text("first"), RECEIVE, close(1000)) as wire:
        assert await wire.read_text() == "first"
        assert await wire.read_end() == (1000, "")
    assert (await wire.report())[2] == {"type": "websocket.connect"}
