"""Sending: it waits while the client does not read, and fails when the client is gone."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
from websockets.frames import Opcode

from bolt_ws.daphne.ending import UNAWARE
from bolt_ws.daphne.order import PATIENCE
from bolt_ws.daphne.writer import TURNS
from bolt_ws.sockets import undelivered

from .client import Client, connected, connecting
from .fakes import Server, settle

ENDS: dict[str, Callable[[Client], object]] = {
    "lost": lambda client: client.transport.lose(),
    "closed by the client": lambda client: client.close(4001),
    "bad data": lambda client: client.put_frame(Opcode.CONT, b"of nothing"),
    "aborted": lambda client: client.transport.abort(),
    "too long open": lambda client: client.connection.look(client.clock.time() + 100_000),
}


async def test_nobody_waits_for_a_client_that_reads() -> None:
    async with connected() as client:
        await client.send("one")
        await client.send(b"two")
        client.look()
        assert client.messages == ["one", b"two"]


async def test_a_sender_waits_for_a_client_that_does_not_read() -> None:
    async with connected() as client:
        client.transport.fill()
        sending = asyncio.create_task(client.send("one"))
        await settle()
        assert not sending.done()
        client.transport.drain()
        await sending
        client.look()
        assert client.messages == ["one"]


async def test_all_senders_go_on() -> None:
    async with connected() as client:
        client.transport.fill()
        tasks = [asyncio.create_task(client.send(f"{number}")) for number in range(3)]
        await settle()
        client.transport.drain()
        await asyncio.gather(*tasks)
        client.look()
        assert client.messages == ["0", "1", "2"]


async def test_a_sender_waits_on_where_it_is_full_again() -> None:
    async with connected() as client:
        client.transport.fill()
        sending = asyncio.create_task(client.send("one"))
        await settle()
        client.transport.drain()
        client.transport.fill()  # before the sender ran
        await settle()
        assert not sending.done()
        client.transport.drain()
        await sending


async def test_a_sender_that_is_cancelled_holds_nobody() -> None:
    async with connected() as client:
        client.transport.fill()
        first, second = (asyncio.create_task(client.connection.send(text(n))) for n in range(2))
        await settle()
        first.cancel()
        await settle()
        assert first.cancelled()
        assert len(client.connection._drain_waiters) == 1
        client.transport.drain()
        await second
        assert client.connection._drain_waiters == []


def text(number: int) -> dict[str, str]:
    return {"type": "websocket.send", "text": str(number)}


@pytest.mark.parametrize("how", ENDS)
async def test_a_waiting_sender_is_told_of_the_end(how: str) -> None:
    async with connected() as client:
        client.transport.fill()
        tasks = [asyncio.create_task(client.send("one")) for _ in range(2)]
        await settle()
        ENDS[how](client)
        client.clock.move(PATIENCE)
        await settle()
        for task in tasks:
            with pytest.raises(OSError, match="while this waited"):
                await task


@pytest.mark.parametrize("how", ENDS)
async def test_sending_after_the_end(how: str) -> None:
    async with connected() as client:
        ENDS[how](client)
        client.clock.move(PATIENCE)
        await settle()
        for _ in range(2):
            await fails_to_send(client)
            assert (await client.receive())["type"] == "websocket.disconnect"


async def fails_to_send(client: Client) -> None:
    for event in (
        {"type": "websocket.send", "text": "late"},
        {"type": "websocket.close", "code": 1000},
        {"type": "websocket.accept"},
        {"type": "websocket.http.response.body"},
    ):
        with pytest.raises(OSError, match="came too late"):
            await client.connection.send(event)
    assert client.transport.lost == []
    client.look()
    assert "late" not in client.messages


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("how", ENDS)
async def test_sending_beside_a_task_that_was_told_of_the_end(how: str, is_full: bool) -> None:
    """Who cannot know of it yet sends what is lost, as it were a moment before."""
    async with connected() as client:
        waiting = await client.idle()
        if is_full:
            client.transport.fill()
            sending = asyncio.create_task(client.send("before"))
            await settle()
        ENDS[how](client)
        assert (await waiting)["type"] == "websocket.disconnect"
        if is_full:
            await sending
        written = list(client.transport.written)
        await client.send("late")
        await client.send({"type": "websocket.close", "code": 4001})
        assert client.transport.written == written
        with pytest.raises(OSError, match="too late"):
            await client.send({"type": "websocket.accept"})
        client.clock.move(UNAWARE)
        await fails_to_send(client)


@pytest.mark.parametrize("how", ENDS)
async def test_sending_where_others_receive(how: str) -> None:
    """A consumer of Channels is told of the end only when it has sent its answer."""
    async with connected(receives_apart=True) as client:
        client.transport.fill()
        sending = asyncio.create_task(client.send("before"))
        await settle()
        ENDS[how](client)
        client.clock.move(PATIENCE)
        await settle()
        await sending
        await client.send("late")
        await client.send({"type": "websocket.close", "code": 4001})
        client.clock.move(client.server.application_close_timeout)
        await fails_to_send(client)


async def test_sending_twice_where_others_receive() -> None:
    """The first message meets the end; `connection_lost` tells of it only later."""
    async with connected(receives_apart=True) as client:
        client.transport.begin_closing()
        await client.send("late")
        client.transport.lose()
        assert (await client.receive())["code"] == 1006


async def test_accepting_where_others_receive() -> None:
    async with connecting(receives_apart=True) as client:
        client.transport.lose()
        await client.send({"type": "websocket.accept"})
        assert (await client.receive())["code"] == 1006


async def test_who_has_waited_goes_first() -> None:
    """Whoever sends much fills the transport anew each time, and others have their turn too."""
    async with connected() as client:

        async def send_much() -> None:
            while True:
                client.transport.fill()
                await client.send("much")

        much = asyncio.create_task(send_much())
        await settle()
        little = asyncio.create_task(client.send("little"))
        await settle()
        for _ in range(3):
            client.transport.drain()
            await settle()
        assert little.done()
        much.cancel()


async def test_who_was_told_knows() -> None:
    async with connected() as client:

        async def receive_and_send() -> None:
            assert (await client.connection.receive())["type"] == "websocket.disconnect"
            await client.connection.send({"type": "websocket.send", "text": "late"})

        task = asyncio.create_task(receive_and_send())
        await settle()
        client.transport.lose()
        with pytest.raises(OSError, match="too late"):
            await task


async def test_sending_to_a_transport_that_is_closing() -> None:
    """An error in a write is told by `connection_lost` only later."""
    async with connected() as client:
        client.transport.begin_closing()
        with pytest.raises(OSError, match="lost"):
            await client.send("late")
        assert client.transport.lost == []


def test_what_the_system_holds() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert undelivered(ours.fileno()) == 0
        ours.send(bytes(10_000))
        held = undelivered(ours.fileno())
        assert held >= 10_000  # with what it needs itself
        theirs.recv(10_000, socket.MSG_WAITALL)
        assert undelivered(ours.fileno()) < held
    file = os.open(os.devnull, os.O_RDONLY)
    assert undelivered(file) == 0
    os.close(file)


@pytest.mark.parametrize("has_ended", [False, True])
async def test_others_run_while_an_application_only_sends(has_ended: bool) -> None:
    """Also where it goes on after the end, whatever that raises."""
    async with connected() as client:
        turns = 0
        if has_ended:
            client.transport.lose()

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count())
        for _ in range(20 * TURNS):
            with suppress(OSError):
                await client.connection.send({"type": "websocket.send", "text": "more"})
        assert turns >= 15
        other.cancel()


async def test_a_dropped_connection_is_no_error_in_the_answer_to_a_ping() -> None:
    async with connected(Server()) as client:
        waiting = await client.idle()
        client.transport.begin_closing()
        client.ping()
        client.close()
        assert client.transport.calls == []
        await waiting
