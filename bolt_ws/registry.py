"""The open connections of this process, and how each is told to go, from any thread."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .exceptions import Refusal
from .redaction import shown
from .websocket import WebSocket

logger = logging.getLogger("bolt_ws")


class Departure(NamedTuple):
    """Why a connection has to go: a close after accept, a refusal before."""

    code: int
    reason: str
    refusal: Refusal


Condition = Callable[[WebSocket], object]
Leave = Callable[[Departure], Awaitable[None]]
Order = tuple[Condition, Departure]
"""Who is to leave, and how."""


class Entry:
    """One connection in the registry, made in its own event loop.

    `leave` ends the connection, bounded in time.
    """

    __slots__ = ("_context", "_leave", "_orders", "is_leaving", "loop", "user_id", "websocket")

    def __init__(self, websocket: WebSocket, leave: Leave) -> None:
        self.websocket = websocket
        self.user_id: str | None = None
        """Whom the connection is registered for, None before and while anonymous."""
        self.is_leaving = False
        self._leave: Leave | None = leave
        self.loop = asyncio.get_running_loop()
        # What ends the connection runs callbacks of its endpoint, which belong to its context.
        self._context = contextvars.copy_context()
        self._orders: tuple[Order, ...] = ()

    def tell(self, departure: Departure) -> bool:
        """Have the connection leave, from any thread; False if its event loop is closed."""
        try:
            self.loop.call_soon_threadsafe(self.leave, departure)
        except RuntimeError:
            return False
        return True

    def leave(self, departure: Departure) -> None:
        """Start to end the connection, once, in its event loop. A task of its own waits for it."""
        if self.is_leaving or self._leave is None:
            return
        self.is_leaving = True
        leaving = _run(self._leave, departure, self.websocket.path)
        task = self.loop.create_task(leaving, context=self._context)
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)

    def copy_context(self) -> None:
        """Have what belongs to the connection run in the context of now."""
        self._context = contextvars.copy_context()

    @property
    def context(self) -> contextvars.Context:
        """What belongs to the connection runs in it."""
        return self._context

    def end(self) -> None:
        """Note that the connection has ended."""
        self._leave = None  # it refers back


_leaving: set[asyncio.Task[None]] = set()  # an event loop alone does not keep its tasks


async def _run(leave: Leave, departure: Departure, path: str) -> None:
    try:
        await leave(departure)
    except Exception:
        logger.exception(
            "The connection %s did not close with %d", ascii(shown(path)), departure.code
        )


class Registry:
    """All connections from their handshake to their end, by user. Any thread may use it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know of no connection: a fork's copy names those of the parent."""
        self._lock = threading.Lock()
        self._entering: dict[Entry, int] = {}  # who they are is being found out, so many times
        self._by_user: dict[str | None, set[Entry]] = {}
        self._ended: deque[Entry] = deque()

    def __len__(self) -> int:
        with self._locked():
            return len(set(self._entering).union(*self._by_user.values()))

    def enter(self, entry: Entry) -> None:
        """Collect the orders to leave for a connection while it is found out who it is.

        Until `admit` for one that is about to be admitted, until `settle` for one that has been.
        """
        with self._locked():
            self._entering[entry] = self._entering.get(entry, 0) + 1

    def admit(self, entry: Entry) -> None:
        """Note that admission has ended, and who the connection is.

        Raises a `Refusal` if it was told to go meanwhile: nobody slips through between a check of
        the credential and this.
        """
        auth = entry.websocket.auth
        entry.user_id = None if auth is None else auth.user_id
        with self._locked():
            orders = self._stop_entering(entry)
            self._by_user.setdefault(entry.user_id, set()).add(entry)
        departure = told_by(orders, entry.websocket)
        if departure is not None:
            told = departure.refusal  # which others are told too: each raises its own
            raise Refusal(told.status, told.code, told.detail, told.headers)

    def settle(self, entry: Entry) -> tuple[Order, ...]:
        """Note that it is found out who a connection is that was admitted before.

        Return the orders since `enter`, which `told_by` understands.
        """
        with self._locked():
            return self._stop_entering(entry)

    def discard(self, entry: Entry) -> None:
        """Let go of a connection, which has ended.

        Waits for no lock: the garbage collector ends a coroutine whose loop is gone, in any
        thread and wherever that is, in `tell_where` for instance.
        """
        self._ended.append(entry)
        self._discard_ended_later()

    def tell_user(self, user_id: str, departure: Departure) -> int:
        """Have all connections of a user leave. Return how many were told."""

        def is_of_user(websocket: WebSocket) -> bool:
            return websocket.auth is not None and websocket.auth.user_id == user_id

        with self._locked():
            entries = list(self._by_user.get(user_id, ()))
            self._leave_order((is_of_user, departure))
        return _tell(entries, departure)

    def tell_where(self, condition: Condition, departure: Departure) -> int:
        """Have all connections leave for which `condition` holds. Return how many were told.

        What `condition` raises is raised on, and nobody is told.
        """
        order = (condition, departure)
        with self._locked():
            entries = [entry for members in self._by_user.values() for entry in members]
            self._leave_order(order)
        try:
            told = [each for each in entries if condition(each.websocket)]
        except BaseException:
            self._take_back(order)
            raise
        return _tell(told, departure)

    def _leave_order(self, order: Order) -> None:
        for entry in self._entering:
            entry._orders = (*entry._orders, order)

    def _take_back(self, order: Order) -> None:
        with self._locked():
            for entry in self._entering:
                entry._orders = tuple(each for each in entry._orders if each is not order)

    def _stop_entering(self, entry: Entry) -> tuple[Order, ...]:
        orders = entry._orders
        times = self._entering.pop(entry, 1) - 1
        if times:  # another task finds it out as well, and is to know them too
            self._entering[entry] = times
        else:
            entry._orders = ()
        return orders

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with self._lock:
                self._discard_ended()
                yield
        finally:
            self._discard_ended_later()

    def _discard_ended_later(self) -> None:
        # Whoever fails to have the lock leaves it to who has it, who looks once more after it.
        while self._ended and self._lock.acquire(blocking=False):
            try:
                self._discard_ended()
            finally:
                self._lock.release()

    def _discard_ended(self) -> None:
        while self._ended:
            entry = self._ended.popleft()
            self._entering.pop(entry, None)
            members = self._by_user.get(entry.user_id)
            if members is not None:
                members.discard(entry)
                if not members:
                    del self._by_user[entry.user_id]


def told_by(orders: Iterable[Order], websocket: WebSocket) -> Departure | None:
    """Return how a connection has to go, if it does. A condition that raises is one that holds."""
    for condition, departure in orders:
        try:
            is_told = condition(websocket)
        except Exception:  # whoever gave the order hears no more of it
            path = ascii(shown(websocket.path))
            logger.exception("Exception in a condition of disconnect_where(): %s has to go", path)
            return departure
        if is_told:
            return departure
    return None


def _tell(entries: Iterable[Entry], departure: Departure) -> int:
    return sum(entry.tell(departure) for entry in entries)


registry = Registry()
"""That of this process."""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.forget)
