"""Receiving: in order, nothing lost, and no more read than the application takes."""

from __future__ import annotations

import asyncio

import pytest

from bolt_ws.daphne.inbox import MAX_HELD, MAX_MESSAGES, MAX_SIZE
from bolt_ws.daphne.order import PATIENCE
from bolt_ws.daphne.writer import TURNS

from .client import connected, masked
from .fakes import KIB, settle


async def test_events() -> None:
    async with connected() as client:
        client.put("text", b"bytes", "", b"")
        assert [await client.receive() for _ in range(4)] == [
            {"type": "websocket.receive", "text": "text"},
            {"type": "websocket.receive", "bytes": b"bytes"},
            {"type": "websocket.receive", "text": ""},
            {"type": "websocket.receive", "bytes": b""},
        ]


async def test_the_end_is_told_again_and_again() -> None:
    async with connected() as client:
        waiting = [await client.idle() for _ in range(3)]
        client.close(4001, "bye")
        expected = {"type": "websocket.disconnect", "code": 4001, "reason": "bye"}
        assert [await each for each in waiting] == [expected] * 3
        assert [await client.receive() for _ in range(3)] == [expected] * 3
        client.transport.lose()  # the first end counts
        assert await client.receive() == expected


async def test_what_came_before_the_end_is_received() -> None:
    async with connected() as client:
        client.put("one", "two")
        client.transport.lose()
        assert (await client.receive())["text"] == "one"
        assert (await client.receive())["text"] == "two"
        assert await client.receive() == {
            "type": "websocket.disconnect",
            "code": 1006,
            "reason": "",
        }


async def test_nothing_is_received_after_the_application_has_closed() -> None:
    async with connected() as client:
        client.put("one")
        await client.send({"type": "websocket.close", "code": 4001, "reason": "enough"})
        client.put("two")
        assert await client.receive() == {
            "type": "websocket.disconnect",
            "code": 4001,
            "reason": "enough",
        }


# Nothing is lost


async def test_a_receiver_that_is_cancelled_takes_nothing() -> None:
    async with connected() as client:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.connection.receive(), 0.001)
        assert client.connection._waiters == []
        client.put("one")
        assert (await client.receive())["text"] == "one"


async def test_a_receiver_that_is_woken_and_cancelled_takes_nothing() -> None:
    async with connected() as client:
        waiting = await client.idle()
        client.put("one")
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        assert (await client.receive())["text"] == "one"


async def test_who_is_woken_and_cancelled_wakes_the_next() -> None:
    async with connected() as client:
        first, second = await client.idle(), await client.idle()
        client.put("one")
        first.cancel()
        assert (await second)["text"] == "one"
        assert first.cancelled()


async def test_who_is_cancelled_is_not_woken() -> None:
    async with connected() as client:
        first, second = await client.idle(), await client.idle()
        first.cancel()
        client.put("one")
        assert (await second)["text"] == "one"
        assert first.cancelled()


async def test_a_timeout_at_the_moment_of_the_message() -> None:
    async with connected() as client:

        async def receive() -> str | None:
            try:
                async with asyncio.timeout(0):
                    return str((await client.connection.receive())["text"])
            except TimeoutError:
                return None

        received = []
        for number in range(20):
            task = asyncio.create_task(receive())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            client.put(f"{number}")
            received.append(await task)
        while client.connection._queue:
            received.append((await client.receive())["text"])
        assert [each for each in received if each is not None] == [f"{n}" for n in range(20)]


async def test_receivers_get_different_messages() -> None:
    async with connected() as client:
        waiting = [await client.idle() for _ in range(3)]
        client.put("one", "two", "three")
        assert [(await each)["text"] for each in waiting] == ["one", "two", "three"]


async def test_a_receiver_that_comes_first_to_the_message_of_another() -> None:
    async with connected() as client:
        waiting = await client.idle()
        client.put("one")
        assert (await client.receive())["text"] == "one"
        await settle()
        assert not waiting.done()
        client.put("two")
        assert (await waiting)["text"] == "two"


# No more than the application takes


async def test_messages_read_ahead_are_counted() -> None:
    async with connected() as client:
        client.put(*["more"] * MAX_MESSAGES)
        assert client.transport.is_reading
        client.put("one too many")
        assert client.transport.calls == ["pause_reading"]
        for _ in range(MAX_MESSAGES // 2):
            await client.receive()
        assert client.transport.calls == ["pause_reading"]
        await client.receive()
        assert client.transport.calls == ["pause_reading", "resume_reading"]


async def test_messages_read_ahead_are_measured() -> None:
    size = 60 * KIB
    async with connected() as client:
        for _ in range(MAX_SIZE // size):
            client.put(bytes(size))
        assert client.transport.is_reading
        client.put("x" * size)
        assert client.transport.calls == ["pause_reading"]
        for _ in range(2):
            await client.receive()
            assert client.transport.calls == ["pause_reading"]
        await client.receive()
        assert client.transport.calls == ["pause_reading", "resume_reading"]


async def test_messages_that_come_together_are_counted() -> None:
    async with connected() as client:
        count = 3 * MAX_MESSAGES
        client.put_bytes(b"".join(client.frames(f"{number}") for number in range(count)))
        assert client.transport.calls == ["pause_reading"]
        received = [(await client.receive())["text"] for _ in range(count)]
        assert received == [f"{number}" for number in range(count)]
        assert client.transport.calls == ["pause_reading", "resume_reading"]


async def test_one_message_over_the_bound() -> None:
    async with connected() as client:
        client.put(bytes(MAX_SIZE + 1))
        assert client.transport.calls == ["pause_reading"]
        await client.receive()
        assert client.transport.calls == ["pause_reading", "resume_reading"]


async def test_reading_goes_on_to_see_the_client_leave() -> None:
    """Whatever was not received: the end of the stream stands behind it."""
    async with connected() as client:
        client.put(*["more"] * (MAX_MESSAGES + 1))
        await client.send({"type": "websocket.close", "code": 1000})
        assert client.transport.calls == ["pause_reading", "resume_reading"]


async def test_reading_goes_on_after_bad_data() -> None:
    """Whatever was not received."""
    async with connected() as client:
        client.put_bytes(client.frames("more") * (MAX_MESSAGES + 1) + masked(0x80))
        assert client.transport.calls == ["pause_reading"]
        client.clock.move(PATIENCE)
        assert client.transport.calls == ["pause_reading", "write_eof", "resume_reading"]
        for _ in range(MAX_MESSAGES + 1):
            assert (await client.receive())["text"] == "more"
        assert (await client.receive())["code"] == 1002


async def test_a_transport_that_closes_is_neither_paused_nor_resumed() -> None:
    async with connected() as client:
        client.put(*["more"] * (MAX_MESSAGES + 1))
        client.transport.begin_closing()
        for _ in range(MAX_MESSAGES + 1):
            await client.receive()
        client.put(*["more"] * (MAX_MESSAGES + 1))
        assert client.transport.calls == ["pause_reading"]


@pytest.mark.parametrize("has_ended", [False, True])
async def test_others_run_while_an_application_only_receives(has_ended: bool) -> None:
    """Also where it does not look at what it receives, and goes on for ever after the end."""
    async with connected() as client:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        client.put(*["more"] * (20 * TURNS))
        if has_ended:
            await client.send({"type": "websocket.close"})
        other = asyncio.create_task(count())
        for _ in range(20 * TURNS):
            await client.connection.receive()
        assert turns >= 15
        other.cancel()


async def test_what_has_been_read_does_not_lag() -> None:
    """A small message, and behind it so much in one piece that more would have to wait."""
    async with connected() as client:
        message = client.frames("small")
        large = client.frames(b"x" * (MAX_HELD + KIB))
        client.put_bytes(message + large[:-1])
        assert "pause_reading" not in client.transport.calls
        assert await client.receive() == {"type": "websocket.receive", "text": "small"}
