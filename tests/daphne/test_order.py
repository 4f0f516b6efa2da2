"""Who answers first: the application, but not for ever. And who reads next."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Frame, Opcode

from bolt_ws.daphne.order import FRAMES_A_TURN

from .client import Client, connected, masked
from .fakes import KIB, MIB, Server, settle

# What waits for what


@pytest.mark.parametrize("is_together", [False, True])
async def test_a_ping_waits_for_the_answer(is_together: bool) -> None:
    async with connected() as client:
        message = Frame(Opcode.TEXT, b"work").serialize(mask=True)
        ping = Frame(Opcode.PING, b"!").serialize(mask=True)
        if is_together:
            client.put_bytes(message + ping)
        else:
            client.put_bytes(message)
            client.put_bytes(ping)
        assert (await client.receive())["text"] == "work"
        await client.send("done")
        client.clock.move(0.09)
        assert not client.raw.endswith(b"\x8a\x01!")
        waiting = await client.idle()
        assert client.raw.endswith(b"\x81\x04done\x8a\x01!")
        waiting.cancel()


async def test_a_ping_does_not_wait_for_ever() -> None:
    async with connected() as client:
        client.put("work")
        client.ping(b"!")
        await client.receive()
        client.clock.move(0.11)
        client.look()
        assert client.pongs == [b"!"]
        client.ping(b"again")
        client.clock.move(0.11)
        client.look()
        assert client.pongs == [b"!", b"again"]


async def test_patience_is_anew_for_each_message() -> None:
    async with connected() as client:
        client.put("one")
        client.ping(b"1")
        await client.receive()
        client.clock.move(0.11)
        waiting = await client.idle()
        client.put("two")
        assert (await waiting)["text"] == "two"
        client.ping(b"2")
        client.look()
        assert client.pongs == [b"1"]


async def test_patience_that_was_not_needed_is_forgotten() -> None:
    async with connected() as client:
        client.put("one")
        client.ping(b"1")
        await client.receive()
        waiting = await client.idle()
        client.look()
        assert client.pongs == [b"1"]
        client.clock.move(0.2)
        client.put("two")
        await waiting
        client.ping(b"2")
        client.look()
        assert client.pongs == [b"1"]


async def test_a_close_waits_for_the_answer() -> None:
    async with connected() as client:
        client.put("work")
        client.close(4001, "bye")
        await client.receive()
        await client.send("done")
        client.look()
        assert (client.messages, client.closes) == (["done"], [])
        assert await client.receive() == {
            "type": "websocket.disconnect",
            "code": 4001,
            "reason": "bye",
        }
        client.look()
        assert client.closes == [(4001, "bye")]


async def test_a_close_does_not_wait_for_ever() -> None:
    async with connected() as client:
        client.put("work")
        client.close(4001)
        client.clock.move(0.11)
        client.look()
        assert client.closes == [(4001, "")]
        assert (await client.receive())["text"] == "work"  # what came before it is not lost
        with pytest.raises(OSError, match="too late"):
            await client.send("done")
        assert (await client.receive())["code"] == 4001


async def test_a_ping_behind_what_is_not_received_yet() -> None:
    async with connected() as client:
        waiting = await client.idle()
        client.put("work")
        client.ping(b"!")
        client.look()
        assert client.pongs == []
        await waiting
        await client.send("done")
        waiting = await client.idle()
        assert client.raw.endswith(b"\x81\x04done\x8a\x01!")
        waiting.cancel()


@pytest.mark.parametrize("first", [0xC1, 0x80, 0x83])
async def test_what_fails_waits_for_the_answer(first: int) -> None:
    async with connected() as client:
        client.put("work")
        client.put_bytes(masked(first))
        await client.receive()
        await client.send("done")
        client.look()
        assert (client.messages, client.closes) == (["done"], [])
        assert (await client.receive())["code"] == 1002


async def test_a_waiting_application_is_not_waited_for() -> None:
    async with connected() as client:
        waiting = await client.idle()
        client.ping(b"!")
        client.look()
        assert client.pongs == [b"!"]
        assert client.clock.timers == []
        waiting.cancel()


async def test_patience_ends_with_the_connection() -> None:
    async with connected() as client:
        client.put("work")
        client.ping()
        (timer,) = client.clock.timers
        client.transport.lose()
        assert timer.is_cancelled


async def test_what_is_pending_at_the_end_is_read() -> None:
    async with connected() as client:
        client.put("one")
        client.ping()
        client.put("two")
        client.close(4001, "bye")
        client.transport.lose()
        events = [await client.receive() for _ in range(3)]
        assert [event.get("text") for event in events] == ["one", "two", None]
        assert (events[-1]["code"], events[-1]["reason"]) == (4001, "bye")


async def test_a_close_inside_a_message() -> None:
    async with connected() as client:
        waiting = await client.idle()
        client.put_frame(Opcode.TEXT, b"begun", fin=False)
        client.close(4001, "bye")
        client.look()
        assert client.closes == [(4001, "bye")]
        assert (await waiting)["code"] == 4001


async def test_nothing_is_read_behind_a_close() -> None:
    async with connected() as client:
        waiting = await client.idle()
        close = Frame(Opcode.CLOSE, b"").serialize(mask=True)
        client.put_bytes(close + Frame(Opcode.TEXT, b"late").serialize(mask=True))
        assert await waiting == {"type": "websocket.disconnect", "code": 1005, "reason": ""}
        client.put_bytes(b"\xff" * 100)
        client.look()
        assert client.closes == [(1005, "")]
        # To close while there is something unread would reset the connection.
        assert client.transport.calls == ["write_eof"]


async def test_the_stream_is_closed_after_both_have_said_goodbye() -> None:
    async with connected() as client:
        waiting = await client.idle()
        client.close()
        assert client.transport.calls == ["close"]
        await waiting
    async with connected() as client:
        await client.send({"type": "websocket.close", "code": 1000})
        assert client.transport.calls == []
        client.close()
        client.look()
        assert client.closes == [(1000, "")]
        assert client.transport.calls == ["close"]


async def test_only_the_newest_ping_is_answered_where_the_client_does_not_read() -> None:
    async with connected() as client:
        waiting = await client.idle()
        client.transport.fill()
        for number in range(3):
            client.ping(b"%d" % number)
        client.look()
        assert client.pongs == []
        client.transport.drain()
        client.transport.drain()
        client.look()
        assert client.pongs == [b"2"]
        waiting.cancel()


async def test_pings_are_answered_after_the_server_has_closed() -> None:
    async with connected() as client:
        client.put("work")
        await client.receive()
        await client.send({"type": "websocket.close", "code": 1000})
        client.put("not read any more")
        client.close()
        assert client.transport.calls == ["close"]
        assert (await client.receive())["type"] == "websocket.disconnect"


# Reading stops while the application lags behind


async def test_reading_goes_on_when_patience_is_lost() -> None:
    """What was held back and is read then leaves the application nothing to take."""
    async with connected() as client:
        client.put("work")
        await client.receive()
        client.ping(b"!")
        frame = Frame(Opcode.BINARY, bytes(200 * KIB)).serialize(mask=True)
        client.put_bytes(frame[: 70 * KIB])
        assert not client.transport.is_reading
        client.clock.move(0.11)
        client.look()
        assert client.pongs == [b"!"]
        assert client.transport.is_reading
        waiting = await client.idle()
        client.put_bytes(frame[70 * KIB :])
        assert (await waiting)["bytes"] == bytes(200 * KIB)


async def test_reading_goes_on_when_the_application_has_answered() -> None:
    async with connected() as client:
        client.put("work")
        await client.receive()
        client.ping(b"!")
        client.put_bytes(Frame(Opcode.BINARY, bytes(200 * KIB)).serialize(mask=True)[: 70 * KIB])
        assert not client.transport.is_reading
        waiting = await client.idle()
        assert client.transport.is_reading
        waiting.cancel()


async def test_what_waits_behind_a_ping_is_bounded() -> None:
    async with connected() as client:
        client.put("work")
        await client.receive()
        client.ping(b"!")
        client.put_bytes(Frame(Opcode.BINARY, bytes(60 * KIB)).serialize(mask=True))
        assert client.transport.is_reading
        client.put_bytes(Frame(Opcode.BINARY, bytes(10 * KIB)).serialize(mask=True))
        assert client.transport.calls == ["pause_reading"]
        assert len((await client.receive())["bytes"]) == 60 * KIB
        assert client.transport.calls == ["pause_reading", "resume_reading"]


async def test_early_bytes_are_read_when_the_application_accepts() -> None:
    early = Frame(Opcode.TEXT, b"early").serialize(mask=True)
    async with connected(early=early) as client:
        assert (await client.receive())["text"] == "early"


async def test_early_bytes_are_bounded() -> None:
    server = Server()
    client = Client(server)
    await client.connect()
    client.put_bytes(Frame(Opcode.BINARY, bytes(70 * KIB)).serialize(mask=True))
    assert client.transport.calls == ["pause_reading"]
    await client.send({"type": "websocket.accept"})
    assert client.transport.calls == ["pause_reading", "resume_reading"]
    assert len((await client.receive())["bytes"]) == 70 * KIB
    await client.end()


# Others have a turn


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (b"", masked(0x89, b"!")),
        (b"", masked(0x81, b"!")),
        (masked(0x01, b"!"), masked(0x00, b"!")),
    ],
    ids=["pings", "messages", "fragments"],
)
async def test_many_frames_at_once_take_turns(first: bytes, others: bytes) -> None:
    turns, count = 0, 20 * FRAMES_A_TURN

    async def take_turns() -> None:
        nonlocal turns
        while client.connection._pending:
            turns += 1
            await asyncio.sleep(0)

    async with connected() as client:
        waiting = await client.idle()
        client.put_bytes(first + others * count)
        await asyncio.wait_for(take_turns(), 5)
        assert turns >= 15
        client.look()
        assert client.pongs == ([b"!"] * count if others[0] == 0x89 else [])
        waiting.cancel()


async def test_the_order_stays_where_others_have_a_turn() -> None:
    count = 3 * FRAMES_A_TURN
    async with connected() as client:
        client.put_bytes(b"".join(client.frames(f"{number}") for number in range(count)))
        client.put("and one more")
        received = [(await client.receive())["text"] for _ in range(count + 1)]
        assert received == [*(f"{number}" for number in range(count)), "and one more"]


async def test_what_is_read_ahead_is_bounded() -> None:
    """Also where it came compressed: a thousand bytes may be a megabyte."""
    async with connected(Server(deflate=True), compress=True) as client:
        client.protocol.data_to_send()
        bombs = b"".join(client.frames(bytes(MIB)) for _ in range(20))
        client.put_bytes(bombs)
        assert client.connection._queue_size < 3 * MIB
        received = 0
        for _ in range(20):
            received += len((await client.receive())["bytes"])
            assert client.connection._queue_size < 3 * MIB
        assert received == 20 * MIB


@pytest.mark.parametrize("deflate", [False, True])
async def test_what_is_behind_a_long_message_is_not_forgotten(deflate: bool) -> None:
    server = Server(deflate=deflate)
    server.limits = (None, None)
    async with connected(server, compress=deflate) as client:
        client.put_bytes(client.frames(bytes(2 * MIB)) + masked(0x89, b"!"))
        await client.receive()
        await settle()
        client.clock.move(0.11)
        client.look()
        assert client.pongs == [b"!"]


async def test_what_is_behind_a_long_message_is_read_at_the_end() -> None:
    server = Server()
    server.limits = (None, None)
    async with connected(server) as client:
        frames = client.frames(bytes(2 * MIB)) + client.frames("last words")
        client.put_bytes(frames + masked(0x88, b"\x0f\xa1"))
        client.transport.lose()
        await client.receive()
        assert (await client.receive()).get("text") == "last words"
        assert (await client.receive())["code"] == 4001
