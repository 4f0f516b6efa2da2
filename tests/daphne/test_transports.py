"""From Twisted's transports to asyncio's."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from bolt_ws.daphne.transports import TwistedTransport, attach, can_move, detach


class Twisted:
    """A transport of Twisted's, which notes what it is told."""

    def __init__(self, unsent: bytes = b"", handle: socket.socket | None = None) -> None:
        self.told: list[Any] = []
        self.producer: Any = None
        self.dataBuffer = unsent
        self.offset = 0
        self._tempDataLen = 0
        self.handle = handle

    def getHandle(self) -> socket.socket | None:  # noqa: N802
        return self.handle

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        assert self.producer is None
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802
        self.producer = None

    def __getattr__(self, name: str) -> Any:
        def note(*args: Any) -> None:
            self.told.append((name, *args) if args else name)

        return note


class Connection:
    """What a transport calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_writing(self) -> None:
        self.calls.append("pause_writing")

    def resume_writing(self) -> None:
        self.calls.append("resume_writing")


class Received(asyncio.Protocol):
    """What comes out of asyncio's transport."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.data: asyncio.Future[bytes] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def data_received(self, data: bytes) -> None:
        self.data.set_result(data)

    def connection_lost(self, error: BaseException | None) -> None:
        self.lost.set_result(None)


def make_transport(**options: Any) -> tuple[TwistedTransport, Twisted, Connection]:
    twisted, connection = Twisted(**options), Connection()
    twisted.producer = "the HTTP channel"
    return TwistedTransport(twisted, connection), twisted, connection  # type: ignore[arg-type]


def test_writing() -> None:
    transport, twisted, _ = make_transport()
    transport.write(b"one")
    assert not transport.is_closing()
    transport.close()
    assert transport.is_closing()
    transport.write(b"late")
    transport.close()
    assert twisted.told == [("write", b"one"), "loseConnection"]
    assert twisted.producer is None  # or Twisted would wait for more from it


def test_there_is_no_half_of_a_close() -> None:
    transport, twisted, _ = make_transport()
    transport.write_eof()
    assert transport.is_closing()
    assert twisted.told == ["loseConnection"]


@pytest.mark.parametrize("is_closing", [False, True])
def test_aborting(is_closing: bool) -> None:
    transport, twisted, _ = make_transport()
    if is_closing:
        transport.close()
    transport.abort()
    assert transport.is_closing()
    transport.write(b"late")
    assert twisted.told[-1] == "abortConnection"


def test_reading_stops_and_goes_on() -> None:
    transport, twisted, _ = make_transport()
    transport.pause_reading()
    transport.resume_reading()
    assert twisted.told == ["pauseProducing", "resumeProducing"]


def test_writers_wait() -> None:
    transport, twisted, connection = make_transport()
    assert twisted.producer is transport
    assert IPushProducer.providedBy(transport)
    transport.pauseProducing()
    transport.resumeProducing()
    transport.stopProducing()
    assert connection.calls == ["pause_writing", "resume_writing"]


def test_what_is_not_sent() -> None:
    transport, twisted, _ = make_transport(unsent=b"12345")
    twisted.offset, twisted._tempDataLen = 2, 10
    assert transport.get_write_buffer_size() == 13


def wrapped(transport: Any) -> ProtocolWrapper:
    """A layer over the socket, as TLS is."""
    factory = WrappingFactory(Factory())  # type: ignore[no-untyped-call]
    wrapper = ProtocolWrapper(factory, Protocol())  # type: ignore[arg-type]
    wrapper.transport = transport
    return wrapper


def test_what_is_not_sent_below_a_layer() -> None:
    transport = TwistedTransport.__new__(TwistedTransport)
    transport._transport = wrapped(wrapped(Twisted(b"12345")))
    assert transport.get_write_buffer_size() == 5


def test_the_socket_below_a_layer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = TwistedTransport.__new__(TwistedTransport)
        transport._transport = wrapped(Twisted(handle=ours))
        assert transport.get_extra_info("socket") is ours


def test_what_can_move() -> None:
    assert can_move(Twisted())
    assert not can_move(Twisted(b"unsent"))
    assert not can_move(wrapped(Twisted()))
    assert not can_move(object())


async def test_moving() -> None:
    ours, client = socket.socketpair()
    transport = Twisted(handle=ours)
    transport.producer = "the HTTP channel"
    number = ours.fileno()
    moved = detach(transport)
    assert moved.fileno() == number
    assert ours.fileno() == -1
    assert transport.told == ["stopReading", "stopWriting"]
    assert transport.producer is None

    protocol = Received()
    await attach(asyncio.get_running_loop(), moved, protocol)
    client.send(b"hello")
    assert await asyncio.wait_for(protocol.data, 5) == b"hello"
    client.close()
    await asyncio.wait_for(protocol.lost, 5)


async def test_moving_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, client = socket.socketpair()
    client.close()

    async def fail(*args: Any) -> None:
        raise ConnectionResetError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "connect_accepted_socket", fail)
    await attach(loop, ours, asyncio.Protocol())
    assert ours.fileno() == -1
