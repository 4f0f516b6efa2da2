"""What time does to a connection: Daphne's timeouts, on a clock of the test."""

from __future__ import annotations

import logging

import pytest
from websockets.frames import Opcode

from bolt_ws.daphne.timed import LINGER

from .client import Client, connected, connecting
from .fakes import KIB, MIB, Server, no_system, settle

__all__ = ["no_system"]

pytestmark = pytest.mark.usefixtures("no_system")

START = {"type": "websocket.http.response.start", "status": 401}


async def tick(client: Client, seconds: float) -> None:
    """Let time pass, and the server look once a second."""
    for _ in range(int(seconds)):
        client.clock.move(1.0)
        client.connection.look(client.clock.time())
        await settle()
    if client.response is not None:
        client.look()


def server_with(**options: float) -> Server:
    server = Server()
    for name, value in options.items():
        assert hasattr(server, name)
        setattr(server, name, value)
    return server


# The handshake


async def test_a_handshake_that_is_not_answered() -> None:
    async with connecting() as client:
        waiting = await client.idle()
        client.clock.move(5.0)
        client.connection.look(client.clock.time())
        assert client.transport.written == []
        client.clock.move(0.1)
        client.connection.look(client.clock.time())
        assert client.raw.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert await waiting == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        assert client.server.logged == ["connecting", "rejected"]


async def test_handshakes_may_take_any_time() -> None:
    async with connecting(server_with(handshake_timeout=-1)) as client:
        client.connection.look(client.clock.time() + 1_000_000)
        assert client.transport.written == []


async def test_a_denial_that_is_not_begun_in_time() -> None:
    async with connecting() as client:
        await client.send(START)
        client.connection.look(client.clock.time() + 5.1)
        assert client.raw.startswith(b"HTTP/1.1 403 ")


async def test_a_denial_that_is_not_finished_in_time() -> None:
    async with connecting() as client:
        await client.send(START)
        body = {"type": "websocket.http.response.body", "body": b"begun", "more_body": True}
        await client.send(body)
        client.connection.look(client.clock.time() + 5.1)
        assert client.transport.calls == ["abort"]


# Pings


async def test_an_idle_client_is_pinged() -> None:
    async with connected() as client:
        await tick(client, 20)
        assert client.pings == []
        await tick(client, 1)
        assert client.pings == [b""]
        await tick(client, 29)
        assert client.pings == [b""]
        client.put_frame(Opcode.PONG)
        await tick(client, 21)
        assert client.pings == [b""]
        await tick(client, 1)
        assert client.pings == [b"", b""]


async def test_a_client_that_talks_is_not_pinged() -> None:
    async with connected() as client:
        for _ in range(10):
            await tick(client, 15)
            client.put("here")
        assert client.pings == []


async def test_a_client_that_does_not_answer_is_dropped() -> None:
    async with connected() as client:
        waiting = await client.idle()
        await tick(client, 21 + 30)
        assert client.transport.calls == []
        await tick(client, 1)
        assert client.transport.calls == ["abort"]
        assert (await waiting)["code"] == 1006


async def test_clients_need_not_answer() -> None:
    async with connected(server_with(ping_timeout=0)) as client:
        await tick(client, 21 * 5)
        assert client.pings == [b""] * 5
        assert client.transport.calls == []


async def test_no_silence_counts_while_reading_is_paused() -> None:
    """A ping goes out nevertheless: its answer is not seen, but a client that is gone is."""
    async with connected() as client:
        await tick(client, 21)
        assert client.pings == [b""]
        client.put(bytes(300 * KIB))
        assert not client.transport.is_reading
        await tick(client, 200)
        assert client.transport.calls == ["pause_reading"]
        assert len(client.pings) > 5
        await client.receive()
        await tick(client, 30)
        assert client.transport.calls == ["pause_reading", "resume_reading"]


async def test_no_silence_counts_while_there_is_something_to_read() -> None:
    async with connected() as client:
        await tick(client, 21)
        client.transport.fill(1_000_000)
        for size in range(900_000, 0, -100_000):
            await tick(client, 25)
            client.transport.unsent = size
        assert (client.pings, client.transport.calls) == ([b""], [])


# What is not read


async def test_a_client_that_reads_nothing_is_dropped() -> None:
    async with connected() as client:
        client.transport.fill()
        await tick(client, 30)
        assert client.transport.calls == []
        await tick(client, 2)  # two looks tell that nothing was read
        assert client.transport.calls == ["abort"]


async def test_a_client_that_reads_slowly_is_not() -> None:
    async with connected() as client:
        client.transport.fill(1000)
        for size in range(999, 980, -1):
            await tick(client, 29)
            client.transport.unsent = size
        assert client.transport.calls == []
        client.transport.unsent += 10  # what is added is no progress
        await tick(client, 31)
        assert client.transport.calls == ["abort"]


async def test_a_client_whose_system_reads_slowly_is_not() -> None:
    """A system holds megabytes, and takes more only when it has got rid of many."""
    async with connected() as client:
        client.transport.fill(1000)
        for size in range(3_000_000, 1_000_000, -100_000):
            client.transport.undelivered = size
            await tick(client, 29)
        assert client.transport.calls == []
        client.transport.unsent, client.transport.undelivered = 900, 1_100_100  # taken, not read
        await tick(client, 32)
        assert client.transport.calls == ["abort"]


async def test_a_denial_that_nobody_reads() -> None:
    async with connecting(server_with(handshake_timeout=-1)) as client:
        await client.send(START)
        client.transport.fill()
        await tick(client, 30)
        assert client.transport.calls == []
        await tick(client, 2)
        assert client.transport.calls == ["abort"]


# The end


async def test_no_connection_lives_for_ever() -> None:
    async with connected(server_with(websocket_timeout=100, ping_interval=1000)) as client:
        await tick(client, 100)
        assert client.closes == []
        await tick(client, 1)
        assert client.closes == [(1000, "")]


async def test_connections_may_live_for_ever() -> None:
    server = server_with(websocket_timeout=-1, ping_interval=1e9)
    async with connected(server) as client:
        client.connection.look(client.clock.time() + 1e8)
        client.look()
        assert client.closes == []


async def test_a_client_that_does_not_answer_a_close_is_dropped() -> None:
    async with connected() as client:
        await client.send({"type": "websocket.close"})
        await tick(client, LINGER)
        assert client.transport.calls == []
        await tick(client, 1)
        assert client.transport.calls == ["abort"]


async def test_a_refused_client_that_stays_is_dropped() -> None:
    async with connecting() as client:
        await client.send({"type": "websocket.close"})
        await tick(client, LINGER + 1)
        assert client.transport.calls == ["write_eof", "abort"]


async def test_a_close_waits_behind_what_the_client_has_to_read() -> None:
    async with connected() as client:
        client.transport.fill(1000)
        await client.send({"type": "websocket.close"})
        for size in range(900, 500, -100):
            await tick(client, 25)
            client.transport.unsent = size
        assert client.transport.calls == []
        client.transport.drain()
        await tick(client, LINGER)
        assert client.transport.calls == []
        await tick(client, 1)
        assert client.transport.calls == ["abort"]


async def test_a_close_that_is_not_read() -> None:
    async with connected() as client:
        client.transport.fill(1000)
        await client.send({"type": "websocket.close"})
        await tick(client, 30)
        assert client.transport.calls == []
        await tick(client, 2)
        assert client.transport.calls == ["abort"]


async def test_an_application_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as client:
        await settle()
        client.application.ignores_cancelling = True
        client.transport.lose()
        await tick(client, 10)
        assert client.application.cancelled == 0
        await tick(client, 20)
        assert client.application.cancelled == 1
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("daphne.server", logging.WARNING)
        message = record.getMessage()
        assert "took too long to shut down and was killed." in message
        assert repr(client.connection) in message
        assert "a-secret" not in message


async def test_an_application_that_ends_in_time(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as client:
        await settle()
        await client.send({"type": "websocket.close"})
        await tick(client, 10)
        client.application.returns()
        await settle()
        await tick(client, 20)
        assert (client.application.cancelled, caplog.records) == (0, [])


async def test_nothing_happens_to_a_client_that_is_gone() -> None:
    async with connected() as client:
        client.transport.lose()
        await tick(client, 100)
        assert client.transport.calls == []


async def test_what_was_undrained_long_ago_does_not_count() -> None:
    async with connected() as client:
        client.transport.fill()
        await tick(client, 1)
        client.transport.drain()
        for _ in range(60):
            client.ping()
            await tick(client, 1)
        # Less waits than would pause anybody, and the system holds more than before.
        client.transport.unsent, client.transport.undelivered = KIB, 2 * MIB
        await client.send({"type": "websocket.close"})
        await tick(client, 1)
        assert "abort" not in client.transport.calls
