"""The server's end of one connection: it runs an application and keeps what comes out of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures.thread import _threads_queues
from contextvars import ContextVar
from typing import Any, ClassVar

from ..endings import QUIET
from ..exceptions import WebSocketDisconnect, WebSocketRejected
from ..lending import Lender, lender
from ..servers import Event
from ..states import WebSocketState
from ..steps import check_frame, out_of_order, step

__tracebackhide__ = True  # pytest shows the test's line and the handler's

Application = Callable[..., Awaitable[Any]]

serving: ContextVar[ServerEnd | None] = ContextVar("serving", default=None)
"""The connection in whose course the present code runs."""


class ClientLeft(ConnectionResetError):
    """Raised by a send once the client has left. An application may end with it, as on a server."""


class ServerEnd:
    """Runs an application for one connection, as strictly as the ASGI specification has it."""

    most_unread: ClassVar = 1024
    """Messages that the client has not read: with so many, a send of the application waits."""

    def __init__(self, application: Application, scope: Event, lends: Lender | None = None) -> None:
        self.application = application
        self.scope = scope
        self.sent: list[Event] = []
        """All that the application has sent."""
        self.read = 0
        """How many of them the client has read."""
        self.state = WebSocketState.CONNECTING
        """Where the application has brought the connection."""
        self.client_left = False
        self.task: asyncio.Task[Any] | None = None
        self.tasks: set[asyncio.Task[Any]] = set()
        """All that were made in the course of the connection, and have not ended."""
        self.threads: list[threading.Thread] = []
        """All that were started in the course of the connection, and not as daemons."""
        self.quiet: list[BaseException] = []
        """What ended a handler in silence, as its use of an ended connection, or was logged."""
        self._lends = lends
        self._inbound: deque[Event] = deque([{"type": "websocket.connect"}])
        self._receivers: list[asyncio.Future[None]] = []
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        scope[QUIET] = self.quiet.append

    def start(self) -> None:
        """Run the application in a task."""
        # Not named after the path: a log shows the names of tasks, and a path may hold anything.
        name = "an application under test"
        self.task = asyncio.get_running_loop().create_task(self._run(), name=name)
        self.task.add_done_callback(lambda _: _wake(self._reader))

    async def _run(self) -> None:
        serving.set(self)
        lender.set(self._lends)
        try:
            await self.application(self.scope, self.receive, self.send)
        except (SystemExit, KeyboardInterrupt) as error:  # they would end the event loop
            raise RuntimeError(f"the application raised {error!r}") from error

    # The application's side

    async def receive(self) -> Event:
        """Be ASGI's receive. After the end it gives the disconnect again, and never waits."""
        while not self._inbound:
            receiver = asyncio.get_running_loop().create_future()
            self._receivers.append(receiver)
            await receiver
        event = self._inbound[0]
        if event["type"] != "websocket.disconnect":
            self._inbound.popleft()
        return event

    async def send(self, event: Event) -> None:
        """Be ASGI's send: `OSError` once the client has left, `RuntimeError` out of order."""
        if self.client_left:
            raise ClientLeft("the client has left")
        event = dict(event)
        if event["type"] == "websocket.send":
            if self.state is not WebSocketState.CONNECTED:
                raise self._out_of_order(event)
            if event.get("text") is None or event.get("bytes") is None:  # a server drops the None
                event = {name: value for name, value in event.items() if value is not None}
            check_frame(event)
        elif self.state is WebSocketState.DISCONNECTED:
            raise self._out_of_order(event)
        else:
            self.state = step(self.state, event, self.scope)
        self.sent.append(event)
        if event["type"] == "websocket.close":
            self.put_event({**event, "type": "websocket.disconnect"})
        elif self.state is WebSocketState.DISCONNECTED:  # by the end of a response
            self.put_event({"type": "websocket.disconnect", "code": 1006, "reason": ""})
        _wake(self._reader)
        while len(self.sent) - self.read >= self.most_unread and not self.client_left:
            writer = asyncio.get_running_loop().create_future()
            self._writers.append(writer)
            await writer

    def _out_of_order(self, event: Event) -> RuntimeError:
        if self.state is not WebSocketState.DISCONNECTED:
            return out_of_order(self.state, event["type"])
        end = self.sent[-1]["type"]
        return RuntimeError(f'The application sent "{event["type"]}" after "{end}", which ended it')

    # The client's side

    def put_event(self, event: Event) -> None:
        """Have `event` for the application."""
        self._inbound.append(event)
        while self._receivers:
            _wake(self._receivers.pop())

    def leave(self, code: int, reason: str) -> None:
        """Be a client that is gone: what the application sends from now on, nobody hears."""
        if not self.client_left and self.state is not WebSocketState.DISCONNECTED:
            self.put_event({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.client_left = True
        for writer in self._writers:
            _wake(writer)

    @property
    def logged_error(self) -> BaseException | None:
        """The first error that was logged only, and that no end of a connection is."""
        return next((each for each in self.quiet if not _is_end(each)), None)

    def threads_left(self) -> list[threading.Thread]:
        """Return the threads that run on. Not those of executors: they wait for the next call."""
        return [each for each in self.threads if each.is_alive() and each not in _threads_queues]

    async def next(self, timeout: float | None) -> Event | None:
        """Return the next event that the application has sent, None if it ended without one.

        Raises `TimeoutError` after `timeout` seconds.
        """
        assert self.task is not None
        async with asyncio.timeout(timeout):
            while self.read >= len(self.sent):
                if self.task.done():
                    return None
                self._reader = asyncio.get_running_loop().create_future()
                await self._reader
        self.read += 1
        while self._writers:
            _wake(self._writers.pop())
        return self.sent[self.read - 1]


def _is_end(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # of an asyncio.TaskGroup
        return all(map(_is_end, error.exceptions))
    return isinstance(error, WebSocketDisconnect | WebSocketRejected)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


@contextlib.contextmanager
def attributing(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have each task and thread that begins in the course of a connection noted there."""
    before = loop.get_task_factory()

    def make(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Future[Any]:
        if before is not None:
            task = before(loop, coroutine, **options)
        else:
            task = asyncio.Task(coroutine, loop=loop, **options)
        context = options.get("context")
        end = serving.get() if context is None else context.get(serving)
        if end is not None and isinstance(task, asyncio.Task) and not task.done():
            end.tasks.add(task)
            task.add_done_callback(end.tasks.discard)
        return task

    loop.set_task_factory(make)
    try:
        with _noting_threads:
            yield
    finally:
        loop.set_task_factory(before)


class _NotingThreads:
    """While anybody is inside, `threading.Thread.start` notes what starts with its connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._start: Any = None
        self._noting: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._start = threading.Thread.start
                self._noting = _noting(self._start)
                threading.Thread.start = self._noting  # type: ignore[method-assign]

    def __exit__(self, *details: object) -> None:
        with self._lock:
            self._users -= 1
            # What somebody else has put in its place is theirs to undo.
            if not self._users and threading.Thread.start is self._noting:
                threading.Thread.start = self._start  # type: ignore[method-assign]


def _noting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def noting(self: threading.Thread) -> None:
        end = serving.get()
        # A thread is daemonic like the one it is made in, unless it says so itself: then somebody
        # means it to run on.
        if end is not None and (not self.daemon or threading.current_thread().daemon):
            end.threads.append(self)
        start(self)

    return noting


_noting_threads = _NotingThreads()
