"""Clients of uvicorn, whose protocols are real here, that take nothing of what waits for them."""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from bolt_ws import WebSocket, WebSocketDisconnect, ticker, transports, upkeep
from tests.identities import Clock, eventually, nothing_left
from tests.live.flow.client import Address, Client
from tests.live.matrix.certificate import write_certificate
from tests.live.matrix.wire import unverified
from tests.support import TIMEOUT, Event, serve
from tests.ticks import ticks

clean = pytest.fixture(nothing_left, autouse=True)

SIZE = 65536
PING = 0.1  # seconds, between pings, and for an answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server and its client speak TLS with."""
    key, certificate = write_certificate(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, unverified()


@asynccontextmanager
async def served(
    application: Any,
    pings: float | None = None,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
) -> AsyncIterator[Client]:
    """A client, connected to what uvicorn makes of a connection, that reads when it is told to."""
    for_server, for_client = tls or (None, None)
    config = Config(
        application, ws="auto", log_config=None, ws_ping_interval=pings, ws_ping_timeout=pings
    )
    config.load()
    http: Any = config.http_protocol_class
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: http(config=config, server_state=ServerState(), app_state={}),
        "127.0.0.1",
        0,
        ssl=for_server,
    )
    async with server:
        address = Address(port=server.sockets[0].getsockname()[1], context=for_client)
        async with address.opened("/", receive_buffer=4096) as client:
            yield client
    await eventually(lambda: not any(each.cares for each in upkeep._upkeeps.values()))


class Pusher:
    """A handler that sends as much as is taken, and how it ended."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, websocket: WebSocket) -> None:
        try:
            while True:
                await websocket.send_bytes(bytes(SIZE))
                self.sent += 1
                await asyncio.sleep(0)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()

    async def is_blocked(self) -> None:
        """Wait until the network takes no more."""
        sent = -1
        while sent != self.sent or not sent:
            sent = self.sent
            await ticks(5)


def draining() -> int:
    return sum(len(each._draining) for each in upkeep._upkeeps.values())


def care() -> upkeep.Care:
    """Return what looks after the only connection."""
    [found] = [care for each in upkeep._upkeeps.values() for care in each.cares.values()]
    return found


# One that uvicorn has given up


async def test_a_handler_learns_of_a_client_that_is_dead(clock: Clock) -> None:
    """uvicorn closes after a ping that is not answered, and then waits for the client to read."""
    pusher = Pusher()
    async with served(serve(pusher), PING):
        await pusher.is_blocked()
        transport = care().transport
        assert transport is not None
        await eventually(lambda: transport.is_closing)
        await ticks()
        clock.forward(transports.GIVEN_UP - 0.5)
        await ticks()
        assert not pusher.ended.is_set()
        clock.forward(0.5)
        await asyncio.wait_for(pusher.ended.wait(), TIMEOUT)
        assert isinstance(pusher.error, WebSocketDisconnect)
        assert not transport.is_draining
    assert draining() == 0


async def test_whoever_answers_pings_may_take_their_time(clock: Clock) -> None:
    pusher = Pusher()
    async with served(serve(pusher)) as client:
        await pusher.is_blocked()
        clock.forward(3600)
        await ticks()
        assert not pusher.ended.is_set()
        assert len(await client.message()) == SIZE


# What is left behind the end


async def test_what_nobody_takes_is_dropped_in_the_end(clock: Clock) -> None:
    pusher = Pusher()
    async with served(serve(pusher, send_timeout=60)) as client:
        await pusher.is_blocked()
        clock.forward(61)
        await ticks()
        clock.forward(6)  # the grace of who waits for the client
        await asyncio.wait_for(pusher.ended.wait(), TIMEOUT)
        await eventually(lambda: draining() == 1)
        await ticks()
        clock.forward(transports.DRAIN_TIMEOUT - 10)
        await ticks()
        assert draining() == 1
        clock.forward(10)
        await eventually(lambda: draining() == 0)
        assert len(await client.ended()) < SIZE * (pusher.sent + 1)  # the last is missing
        await eventually(lambda: ticker.ticker_of(asyncio.get_running_loop())._timer is None)


async def test_what_is_taken_slowly_is_taken_to_the_end(clock: Clock) -> None:
    size = 8 * 1024 * 1024  # in one message, more than a network holds

    async def handler(websocket: WebSocket) -> None:
        await websocket.send_bytes(bytes(size))

    async with served(serve(handler)) as client:
        transport = care().transport
        assert transport is not None
        await eventually(lambda: draining() == 1)  # its close had two seconds to be taken
        got = rests = 0
        while transport.pending:
            before = transport.pending
            while transport.pending >= before:
                got += len(chunk := await client.reader.read(SIZE))
                assert chunk, got
            clock.forward(transports.DRAIN_TIMEOUT - 5)  # with a rest of so long between two
            await ticks(1)
            rests += 1
        got += len(await client.ended())
    assert rests > 10
    assert got > size  # and its head, and a close


# TLS, where asyncio's transport does not tell what waits


async def test_a_client_that_leaves_over_tls(
    clock: Clock, tls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cleaned = asyncio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("begun")
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            cleaned.set()

    async with served(serve(handler, disconnect_grace=1), tls=tls) as client:
        assert await client.message() == b"begun"
        client.writer.close()
        await ticks(5)
        clock.forward(2)
        await asyncio.wait_for(cleaned.wait(), TIMEOUT)
    assert draining() == 0
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_a_client_that_breaks_tls_stops_no_care(
    clock: Clock, tls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(websocket: WebSocket) -> None:
        while True:
            await websocket.send_text("more")
            await asyncio.sleep(0)

    async with served(serve(handler), tls=tls) as client:
        assert await client.message() == b"more"
        os.write(client.writer.get_extra_info("socket").fileno(), b"\xff" * 64)
        await eventually(lambda: not any(each.cares for each in upkeep._upkeeps.values()))
        assert draining() == 0
        await ticks()
    assert "upkeep" not in caplog.text


@pytest.mark.parametrize("what", ["is_draining", "pending"])
async def test_a_transport_that_fails_stops_no_care(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_bytes(bytes(8 * 1024 * 1024))

    async with served(serve(handler)):
        await eventually(lambda: draining() == 1)
        monkeypatch.setattr(transports.Transport, what, property(lambda self: 1 / 0))
        await eventually(lambda: draining() == 0)
        await ticks()
    assert caplog.text.count("Exception in the upkeep of a connection that has ended") == 1


# Others


async def test_what_else_sends_has_no_transport() -> None:
    class Server:
        transport = asyncio.Transport()

        async def send(self, event: Event) -> None: ...

    async def send(event: Event) -> None: ...

    assert transports.transport_of(send) is None
    assert transports.transport_of(Server().send) is None
