"""Real servers for tests: Daphne in a process of its own, with the databases of the test run."""

from __future__ import annotations

import asyncio
import os
import queue
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import daphne.testing
from asgiref.sync import SyncToAsync

from ..daphne import install
from ..scopes import Headers, Query
from .live_client import connect
from .live_configuration import Configuration

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_LISTENING = re.compile(r"bolt_ws\.testing: listening on port (\d+)")


class ProtocolServerProcess(daphne.testing.DaphneProcess):  # type: ignore[misc]
    """Daphne's process for tests, with the server class that the `daphne` command would take.

    For Channels' live server tests, which else test a server that is not the one deployed:

        class ChatTests(ChannelsLiveServerTestCase):
            ProtocolServerProcess = ProtocolServerProcess

    The class is `daphne.cli.CommandLineInterface.server_class`, read once the application is made.
    """

    server: Any
    setup: Callable[[], None] | None

    def run(self) -> None:
        """Serve, in the process that was started."""
        # What is replaced here is replaced in this process only.
        self._setup, self.setup = self.setup, self._change_server
        daphne.testing._reinstall_reactor = _renew_reactor
        # A fork has none of the threads that this counts on: it would wait for one for ever.
        SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
        super().run()

    def _change_server(self) -> None:
        # Daphne has made the application and a server of its own class, which does not run yet.
        from daphne.cli import CommandLineInterface

        install()  # the project's asgi module may have been imported before the line above
        self.server = CommandLineInterface.server_class(
            application=self.server.application,
            endpoints=self.server.endpoints,
            signal_handlers=False,
            **self.kwargs,
        )
        if self._setup is not None:
            self._setup()


_reinstall_reactor = daphne.testing._reinstall_reactor


def _renew_reactor() -> None:
    """Give the reactor of a forked process an event loop that it does not share with its parent.

    Daphne installs another reactor and imports `daphne.server` anew. A server class that was
    imported before the fork would run the old one, and never say that it listens.
    """
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    reactor = sys.modules.get("twisted.internet.reactor")
    if not isinstance(reactor, AsyncioSelectorReactor):
        _reinstall_reactor()
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    AsyncioSelectorReactor.__init__(reactor, loop)


class LiveServer:
    """The project, served by Daphne in another process on a loopback port that the system chose.

        with LiveServer() as server, server.connect("/ws/chat", token=token) as websocket:
            websocket.send("Hello")

    The process has the settings module and the test databases of this one. It sees what is
    committed, so the test must not be in a transaction. Nothing else is shared: neither
    `override_settings` (but for ASGI_APPLICATION and DEBUG at the start) nor mocks, nor caches and
    channel layers in memory. E-mails stay in the process, as in every Django test.
    """

    startup_timeout = 30.0
    """Seconds that the process has until it listens."""
    shutdown_timeout = 5.0
    """Seconds that it has to end after SIGTERM."""

    def __init__(self, configuration: Configuration | None = None) -> None:
        self._configuration = configuration
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._port = 0
        self._ports: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._lines: list[str] = []
        self._connections: list[ClientConnection] = []
        _servers.add(self)

    @property
    def log(self) -> str:
        """What the process has printed since its start."""
        return "".join(self._lines)

    @property
    def url(self) -> str:
        """Such as "http://127.0.0.1:49152". Raises `RuntimeError` unless started."""
        return f"http://{self._address}"

    @property
    def ws_url(self) -> str:
        """Such as "ws://127.0.0.1:49152". Raises `RuntimeError` unless started."""
        return f"ws://{self._address}"

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def _address(self) -> str:
        if self._process is None:
            raise RuntimeError("the live server is not started")
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process, and return when it listens.

        Raises `ImproperlyConfigured` where it cannot have the settings or a database of this
        process, and `RuntimeError` with its log if it ends or takes too long. It is gone then.
        """
        if self._process is not None:
            raise RuntimeError("the live server is started already")
        configuration = self._configuration or Configuration.current()
        self._lines.clear()
        self._process = self._spawn(configuration)
        try:
            self._port = self._wait_for_port()
        except BaseException:
            self.stop()
            raise

    def _spawn(self, configuration: Configuration) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bolt_ws.testing.serve"],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": configuration.settings_module,
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._ports = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=[process, self._ports], daemon=True)
        self._reader.start()
        # It stays open: its end tells the process that this one is gone, whatever ended it.
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already, and `_wait_for_port` tells why
            process.stdin.write(configuration.to_json() + "\n")
            process.stdin.flush()
        return process

    def _read(self, process: subprocess.Popen[str], ports: queue.SimpleQueue[int | None]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self._lines.append(line)
                if match := _LISTENING.search(line):
                    ports.put(int(match[1]))
        ports.put(None)

    def _wait_for_port(self) -> int:
        assert self._process is not None
        try:
            port = self._ports.get(timeout=self.startup_timeout)
        except queue.Empty:
            what = f"did not listen within {self.startup_timeout:g} s"
        else:
            if port is not None:
                return port
            what = "ended before it listened"
        self.stop()  # and have the whole log
        raise RuntimeError(f"The live server {what}. Its log:\n{self.log}")

    def stop(self) -> None:
        """Stop the process, if it runs: by SIGTERM, and killed where that does not do."""
        self.close_connections()
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self.shutdown_timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        assert self._reader is not None
        with suppress(BrokenPipeError):  # it never read what `_spawn` wrote
            process.stdin.close()
        # A child of the process, if it has one, may hold the pipe: no reason to wait for ever.
        self._reader.join(self.shutdown_timeout)

    def check(self) -> None:
        """Raise `RuntimeError` with the log if the process has ended by itself."""
        if self._process is not None and not self.is_running:
            code = self._process.returncode
            self.stop()
            raise RuntimeError(f"The live server ended with code {code}. Its log:\n{self.log}")

    def connect(
        self,
        path: str,
        *,
        token: str | None = None,
        headers: Headers | None = None,
        cookies: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
        query: Query | None = None,
        timeout: float | None = 5.0,
        **options: Any,
    ) -> ClientConnection:
        """Return a connection of `websockets.sync.client`, for a `with` statement.

        `token` goes into the query as `?token=`. `timeout` is in seconds, bounds the handshake,
        the close and each `recv()` that names no other, and None is for ever. `options` are those
        of `websockets.sync.client.connect`. Raises its exceptions, `InvalidStatus` for a refused
        handshake, and `TimeoutError`.
        """
        connection = connect(
            self.ws_url,
            path,
            token=token,
            headers=headers,
            cookies=cookies,
            subprotocols=subprotocols,
            query=query,
            timeout=timeout,
            **options,
        )
        self._connections.append(connection)
        return connection

    def close_connections(self) -> None:
        """Close what `connect()` opened and nobody closed."""
        while self._connections:
            self._connections.pop().close()

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


_servers: weakref.WeakSet[LiveServer] = weakref.WeakSet()


def _let_go() -> None:
    for server in _servers:
        server._let_go()


# A fork, such as Channels' live server, would keep a server alive when the test run is gone.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
