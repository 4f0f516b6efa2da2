"""The event loop below Twisted's reactor."""

from __future__ import annotations

import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from bolt_ws.daphne import loops
from bolt_ws.daphne.loops import choose


class Reactor:
    """A reactor that nothing has used yet."""

    def __init__(self) -> None:
        self._asyncioEventloop: Any = "asyncio's"
        self.delayed: list[str] = []
        self.on: dict[str, Any] = {}

    def getDelayedCalls(self) -> list[str]:  # noqa: N802
        return self.delayed

    def getReaders(self) -> list[str]:  # noqa: N802
        return ["waker"]

    def getWriters(self) -> list[str]:  # noqa: N802
        return ["writer"]

    def removeAll(self) -> None:  # noqa: N802
        self.on = {}

    def addReader(self, reader: str) -> None:  # noqa: N802
        self.on[reader] = self._asyncioEventloop

    def addWriter(self, writer: str) -> None:  # noqa: N802
        self.on[writer] = self._asyncioEventloop


class Loop:
    """uvloop's, as far as it is looked at."""

    executor: ThreadPoolExecutor | None = None

    def set_default_executor(self, executor: ThreadPoolExecutor) -> None:
        self.executor = executor


@pytest.fixture
def uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(Loop=Loop, new_event_loop=Loop)
    monkeypatch.setitem(sys.modules, "uvloop", module)
    monkeypatch.delenv("ASGI_THREADS", raising=False)


@pytest.mark.usefixtures("uvloop")
def test_uvloop_is_used_where_it_is_installed() -> None:
    reactor = Reactor()
    loop = choose(reactor)
    assert isinstance(loop, Loop)
    assert reactor._asyncioEventloop is loop
    assert reactor.on == {"waker": loop, "writer": loop}
    assert loop.executor is None


@pytest.mark.usefixtures("uvloop")
def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASGI_THREADS", "3")
    loop = choose(Reactor())
    assert isinstance(loop, Loop)
    assert loop.executor is not None
    assert loop.executor._max_workers == 3
    loop.executor.shutdown()


def test_asyncio_is_used_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    reactor = Reactor()
    assert choose(reactor) is reactor._asyncioEventloop


@pytest.mark.usefixtures("uvloop")
@override_settings(BOLT_WS={"DAPHNE_LOOP": "asyncio"})
def test_asyncio_is_asked_for() -> None:
    reactor = Reactor()
    assert choose(reactor) is reactor._asyncioEventloop
    assert reactor.on == {}


@pytest.mark.usefixtures("uvloop")
def test_a_loop_that_is_in_use_stays() -> None:
    reactor = Reactor()
    reactor.delayed = ["something"]
    assert choose(reactor) is reactor._asyncioEventloop


@pytest.mark.usefixtures("uvloop")
def test_uvloop_of_a_policy_stays() -> None:
    reactor = Reactor()
    reactor._asyncioEventloop = Loop()
    assert choose(reactor) is reactor._asyncioEventloop
    assert reactor.on == {}


class Watched:
    """A transport of Twisted, or what else its reactor watches."""

    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno
        self.is_aborted = False

    def abortConnection(self) -> None:  # noqa: N802
        self.is_aborted = True


def test_broken_connections_are_aborted() -> None:
    """libuv does not tell of a client that has reset its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def connected() -> tuple[socket.socket, Watched]:
            client = socket.create_connection(listening.getsockname())
            served, _ = listening.accept()
            sockets.extend([client, served])
            return client, Watched(served)

        sockets: list[socket.socket] = []
        (reset, broken), (_, whole), (gone, closed) = connected(), connected(), connected()
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.close()
        sockets[-1].close()
        loops.abort_broken([broken, whole, closed, listening])
        assert (broken.is_aborted, whole.is_aborted, closed.is_aborted) == (True, False, False)
        gone.close()
        for each in sockets:
            each.close()
