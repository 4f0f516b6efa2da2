"""Daphne's server, with the WebSockets of this package."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import daphne.server
from twisted.internet import defer, reactor

from .. import shutdown
from ..conf import get_settings
from ..rooms.hubs import say_farewell
from . import loops
from .logs import server_logger
from .negotiation import Negotiator
from .shutdown import shut_down
from .upgrade import UpgradableFactory, UpgradeFactory

if TYPE_CHECKING:
    from .connection import Connection
    from .handshake import Handshake

LOOK_EVERY: Final = 1.0
"""Seconds."""


class Server(daphne.server.Server):  # type: ignore[misc]
    """Daphne's server. HTTP is Daphne's; WebSockets are ours."""

    # What Daphne's run() makes and keeps under these names, it gets from here.
    @property
    def http_factory(self) -> UpgradableFactory:
        """What makes the protocols of clients."""
        return self._http_factory

    @http_factory.setter
    def http_factory(self, factory: object) -> None:
        self._http_factory = UpgradableFactory(self)

    @property
    def ws_factory(self) -> UpgradeFactory:
        """What takes WebSocket handshakes over."""
        return self._ws_factory

    @ws_factory.setter
    def ws_factory(self, factory: object) -> None:
        self._ws_factory = UpgradeFactory(self)

    def run(self) -> None:
        """Serve until the server is stopped."""
        settings = get_settings()
        self.loop: asyncio.AbstractEventLoop = loops.choose(reactor)
        # Else applications would have that of the request that came before on a connection.
        self.context = contextvars.copy_context()
        self.websockets: set[Connection] = set()
        # Transports of WebSockets that have stayed with Twisted.
        self.on_twisted: weakref.WeakSet[Any] = weakref.WeakSet()
        self.is_stopping = False
        self.all_left = asyncio.Event()
        self.negotiator = Negotiator(deflate=settings.daphne_deflate)
        self.drain_timeout = settings.daphne_drain_timeout
        self.limits = (
            self.websocket_max_message_size or None,
            self.websocket_max_frame_size or None,
        )
        # The sooner of the two, as in Daphne; a negative one is none.
        timeouts = (self.websocket_connect_timeout, self.websocket_handshake_timeout)
        self.handshake_timeout = min((each for each in timeouts if each >= 0), default=-1)
        self._ports: list[Any] = []
        self._kept: set[asyncio.Task[None]] = set()
        self._next_look: asyncio.TimerHandle | None = None
        server_logger.info("WebSockets are those of bolt_ws, on %s", loops.name_of(self.loop))
        reactor.callWhenRunning(self._look)
        with shutdown.server_ends_all():
            super().run()

    def listen_success(self, port: Any) -> None:
        """Remember a listening port. Daphne calls it."""
        self._ports.append(port)
        super().listen_success(port)

    def enter(self, connection: Connection) -> None:
        """Take care of a connection."""
        self.websockets.add(connection)

    def leave(self, connection: Connection) -> None:
        """Take no more care of a connection, which has ended with all that belongs to it."""
        self.websockets.discard(connection)
        if not self.websockets and self.is_stopping:
            self.all_left.set()

    def keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine, and keep it from being collected meanwhile."""
        task = self.loop.create_task(coroutine)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    def log(self, handshake: Handshake, action: str) -> None:
        """Write a line of the access log."""
        if self.action_logger:
            client = None if handshake.client is None else "{}:{}".format(*handshake.client)
            details = {"path": handshake.path.decode("ascii"), "client": client}
            try:
                self.log_action("websocket", action, details)
            except Exception:  # a full disk: as with pages, the connection goes on
                server_logger.exception("Exception in the access log")

    def _look(self) -> None:
        self._next_look = self.loop.call_later(LOOK_EVERY, self._look)
        now = self.loop.time()
        if loops.name_of(self.loop) == "uvloop":
            twisted: Any = reactor
            loops.abort_broken([*twisted.getReaders(), *twisted.getWriters(), *self.on_twisted])
        for connection in list(self.websockets):
            try:
                connection.look(now)
            except Exception:
                server_logger.exception("Exception in the timeouts of %r", connection)

    def kill_all_applications(self) -> defer.Deferred[None]:
        """End all connections. Twisted waits for it before it stops."""
        self.is_stopping = True
        shutdown.note_shutdown()
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._shut_down(), loop=self.loop))

    async def _shut_down(self) -> None:
        for port in self._ports:
            port.stopListening()
        await shut_down(self)
        await say_farewell()  # now, and not after a pause: nobody comes back to this process
        if self._next_look is not None:
            self._next_look.cancel()
