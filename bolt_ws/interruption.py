"""How we cancel a handler ourselves, and tell that from a cancellation of somebody else's."""

from __future__ import annotations

import asyncio


class Interrupted(asyncio.CancelledError):
    """A handler was cancelled by us, for a reason that its ending shows."""


class GoneOn(Interrupted):
    """It had gone on for too long after the end of its connection."""


class ShutDown(Interrupted):
    """The server stops."""


class Interruption:
    """What cancels the task of one handler while it runs.

    As with `asyncio.timeout`, a cancellation by others that comes at the same time is theirs.
    """

    __slots__ = ("_task", "_times", "reason")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._times = 0
        self.reason: BaseException | None = None
        """Why the handler was cancelled first."""

    @property
    def is_over(self) -> bool:
        """Whether the handler has ended: it is cancelled no more."""
        return self._task is None

    def interrupt(self, reason: BaseException) -> None:
        """Cancel the handler, not from within its own task."""
        if self._task is None:
            return
        if self.reason is None:
            self.reason = reason
        self._times += 1
        self._task.cancel()

    def end(self, error: BaseException | None) -> BaseException | None:
        """Return what has ended the handler, if `error` has left it."""
        task, self._task = self._task, None
        reason, self.reason = self.reason, None  # its traceback may refer back
        if task is None or reason is None:
            return error
        for _ in range(self._times):
            task.uncancel()
        if isinstance(error, asyncio.CancelledError):
            return error if task.cancelling() else reason
        return reason if error is None and not isinstance(reason, GoneOn) else error
