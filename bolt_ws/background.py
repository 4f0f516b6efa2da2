"""Tasks that belong to a connection, as to an `asyncio.TaskGroup`: none outlives its handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from .interruption import Interruption

logger = logging.getLogger("bolt_ws")

T = TypeVar("T")

CLEANUP_TIMEOUT: Final = 5.0
"""Seconds that the tasks have to end which are cancelled."""


class BackgroundTasks:
    """The tasks of one connection. The first exception of one cancels the handler."""

    __slots__ = (
        "_errors",
        "_failed",
        "_has_ended",
        "_interruption",
        "_is_due",
        "_is_ending",
        "_tasks",
    )

    def __init__(self, interruption: Interruption, is_due: Callable[[BaseException], bool]) -> None:
        """`is_due` tells of an exception which comes of the connection's end, and is no failure."""
        self._interruption = interruption
        self._is_due = is_due
        self._tasks: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []
        self._failed = self._is_ending = self._has_ended = False

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine beside the handler."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if self._has_ended:  # nobody looks at it any more
            _log(error)
            return
        self._errors.append(error)
        if self._is_ending or self._failed or self._is_due(error):
            return  # the handler has its grace, as after any end
        self._failed = True
        self._interruption.interrupt(error)

    async def end(self) -> list[BaseException]:
        """Cancel the tasks and wait for them. Return what they have raised."""
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        try:
            if self._tasks:
                _, late = await asyncio.wait(tuple(self._tasks), timeout=CLEANUP_TIMEOUT)
                for task in late:
                    logger.error("%r goes on, %g s after it was cancelled", task, CLEANUP_TIMEOUT)
        except asyncio.CancelledError:
            for error in self._errors:
                _log(error)
            raise
        finally:
            self._has_ended = True
            errors, self._errors = self._errors, []
        return errors


def _log(error: BaseException) -> None:
    logger.error("Exception in a task of a connection that has ended", exc_info=error)
