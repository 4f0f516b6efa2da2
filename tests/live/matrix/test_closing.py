"""How a connection is closed, by either side, and what the application is told of it."""

import asyncio

import pytest

from tests.live.server import Server

from .differences import expected
from .script import (
    ACCEPT,
    RECEIVE,
    RECEIVE_AGAIN,
    RECEIVE_UNTIL_GONE,
    close,
    event,
    kind_of,
    send,
    text,
)
from .wire import BINARY, CLOSE, FIN, TEXT, Wire, close_frame, frame, playing

CODES = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
LONGEST = "\N{SNOWMAN}" * 41  # 123 bytes


def told(event: dict[str, object]) -> tuple[object, object]:
    """What a disconnect says: the code and the reason, "" by default."""
    assert event["type"] == "websocket.disconnect"
    return event["code"], event.get("reason") or ""


# The application closes


@pytest.mark.parametrize("code", CODES)
async def test_the_application_closes(server: Server, code: int) -> None:
    sends = expected(server.kind, "close codes", {code: "sent"})[code]
    async with playing(server, RECEIVE, ACCEPT, close(code, "why"), RECEIVE_AGAIN) as wire:
        if sends == "sent":
            right = expected(server.kind, "close reasons", {"why": "why"})["why"]
            assert await wire.read_end() == (code, right)
        _, _, sent, _ = await wire.report()
        assert kind_of(sent) == sends


async def test_what_is_told_after_an_own_close(server: Server) -> None:
    async with playing(server, RECEIVE, ACCEPT, close(4000, "why"), RECEIVE) as wire:
        await wire.read_end()
        right = expected(server.kind, "reasons of clients", {"why": "why"})["why"]
        assert told((await wire.report())[-1]) == (4000, right)


@pytest.mark.parametrize("reason", ["", "\xe9", LONGEST, None])
async def test_the_reason_of_the_application(server: Server, reason: str | None) -> None:
    said = reason or ""
    right = expected(server.kind, "close reasons", {said: said})[said]
    async with playing(server, ACCEPT, close(4000, reason)) as wire:
        assert await wire.read_end() == (4000, right)


async def test_a_close_without_a_code_is_1000(server: Server) -> None:
    async with playing(server, ACCEPT, send("close")) as wire:
        assert await wire.read_end() == (1000, "")


async def test_what_comes_after_an_own_close(server: Server) -> None:
    """It does no harm, and is not for the application."""
    expected(server.kind, "what comes after an own close", "is dropped")
    script = (RECEIVE, ACCEPT, close(4000), RECEIVE, RECEIVE_AGAIN)
    async with playing(server, *script) as wire:
        assert (await wire.read_frame())[0] == FIN | CLOSE
        await wire.send(frame(TEXT, b"too late"), frame(BINARY, bytes(100_000)))
        await wire.send(close_frame(4000))
        async with asyncio.timeout(3):
            assert await wire.reader.read() == b""
        events = (await wire.report())[3:]
    found = {each["type"] for each in events if each != "no answer"}
    assert found == {"websocket.disconnect"}


async def test_both_close_at_once(server: Server) -> None:
    async with playing(server, RECEIVE, ACCEPT, RECEIVE, close(4000), RECEIVE_AGAIN) as wire:
        await wire.send(frame(TEXT, b"close"), close_frame(4001))
        first, payload = await wire.read_frame()
        assert first == FIN | CLOSE
        answer, _ = expected(server.kind, "answer to a close", (4001, ""))
        assert int.from_bytes(payload[:2], "big") in (4000, answer)
        last = (await wire.report())[-1]
    assert last["code"] in (4000, 4001)


async def test_the_application_refuses(server: Server) -> None:
    async with playing(server, RECEIVE, close(4000, "ignored"), RECEIVE_AGAIN) as wire:
        assert wire.status == 403
        await wire.read_body()
        assert await wire.reader.read() == b""
        _, sent, gone = await wire.report()
    assert sent == "sent"
    assert told(gone) == (1006, "")


# The client closes


async def closed_by_client(server: Server, sent: bytes) -> tuple[object, object]:
    """Return how the client saw the end, and how the application."""
    async with playing(server, RECEIVE, ACCEPT, RECEIVE) as wire:
        await wire.send(sent)
        end = await wire.read_end(answers=False)
        return end, told((await wire.report())[-1])


@pytest.mark.parametrize("code", CODES)
async def test_the_client_closes(server: Server, code: int) -> None:
    right = expected(server.kind, "answer to a close", (code, "why"))
    if code == 1014:
        right = expected(server.kind, "answer to a close with 1014", right)
    reason = expected(server.kind, "reasons of clients", {"why": "why"})["why"]
    end, found = await closed_by_client(server, close_frame(code, "why"))
    assert end == right
    if right != "reset":
        assert found == (code, reason)


@pytest.mark.parametrize("reason", ["\xe9", LONGEST])
async def test_the_reason_of_the_client(server: Server, reason: str) -> None:
    _, found = await closed_by_client(server, close_frame(1000, reason))
    right = expected(server.kind, "reasons of clients", {reason: reason})[reason]
    assert found == (1000, right)


async def test_the_client_closes_without_a_code(server: Server) -> None:
    end, (code, reason) = await closed_by_client(server, frame(CLOSE))
    assert end == expected(server.kind, "answer to a close without a code", (None, ""))
    assert code == expected(server.kind, "event of a close without a code", 1005)
    assert reason == ""


async def test_what_came_before_the_close_comes_first(server: Server) -> None:
    async with playing(server, ACCEPT, RECEIVE_UNTIL_GONE) as wire:
        await wire.send(frame(TEXT, b"one"), frame(BINARY, b"two"), close_frame(1001))
        await wire.read_end(answers=False)
        received = (await wire.report())[-1]
    assert [each.get("text", each.get("bytes")) for each in received[1:3]] == ["one", b"two"]
    assert received[3]["code"] == 1001


async def vanish(wire: Wire, how: str) -> None:
    """Go without a word, or with a close frame."""
    if how == "abort":
        wire.abort()
    elif how == "end of stream":
        wire.end_stream()
    else:
        await wire.send(close_frame(1001))


@pytest.mark.parametrize("how", ["abort", "end of stream"])
async def test_the_client_vanishes(server: Server, how: str) -> None:
    async with playing(server, RECEIVE, ACCEPT, RECEIVE) as wire:
        await vanish(wire, how)
        found = told((await wire.report())[-1])[0]
    assert found == expected(server.kind, "the client vanishes", {how: 1006})[how]


# After the end


@pytest.mark.parametrize("how", ["close", "abort", "end of stream"])
async def test_receive_keeps_answering(server: Server, how: str) -> None:
    script = (RECEIVE, ACCEPT, RECEIVE, RECEIVE_AGAIN, RECEIVE_AGAIN)
    async with playing(server, *script) as wire:
        await vanish(wire, how)
        _, _, first, second, third = await wire.report()
    right = expected(server.kind, "receive after the end", {how: "the same"})[how]
    assert compared(first, second, third) == right


def compared(first: object, second: object, third: object) -> str:
    """What receiving again gives: the same, another event or no answer at all."""
    if second == first:
        return "the same" if third == first else "no answer"
    return "no answer" if second == "no answer" else "another"


async def test_receive_keeps_answering_after_an_own_close(server: Server) -> None:
    script = (RECEIVE, ACCEPT, close(4000, "why"), RECEIVE, RECEIVE_AGAIN, RECEIVE_AGAIN)
    async with playing(server, *script) as wire:
        await wire.read_end()
        *_, first, second, third = await wire.report()
    right = expected(server.kind, "receive after the end", {"own close": "the same"})["own close"]
    assert compared(first, second, third) == right


@pytest.mark.parametrize("how", ["close", "abort", "end of stream"])
async def test_send_after_the_client_has_gone(server: Server, how: str) -> None:
    script = (RECEIVE, ACCEPT, RECEIVE, text("late"), close(1000))
    async with playing(server, *script) as wire:
        await vanish(wire, how)
        found = [kind_of(each) for each in (await wire.report())[3:]]
    right = expected(server.kind, "send after the client has gone", {how: ["OSError", "OSError"]})
    assert found == right[how]


@pytest.mark.parametrize("how", ["close", "abort", "end of stream"])
async def test_an_application_that_only_sends_learns_it(server: Server, how: str) -> None:
    right = expected(server.kind, "only sending", "OSError")
    tick = ("send_until_it_fails", event("send", text="tick"), 1.0)
    async with playing(server, RECEIVE, ACCEPT, tick) as wire:
        assert await wire.read_text() == "tick"
        await vanish(wire, how)
        found = kind_of((await wire.report())[-1])
    assert found == right


async def test_send_after_an_own_close(server: Server) -> None:
    script = (RECEIVE, ACCEPT, close(1000), text("late"), close(1001))
    async with playing(server, *script) as wire:
        assert await wire.read_end() == (1000, "")
        found = [kind_of(each) for each in (await wire.report())[3:]]
    right = expected(server.kind, "send after an own close", ["OSError", "OSError"])
    assert found == right
