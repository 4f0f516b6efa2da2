"""Work that a test client's event loop wants done in the test's thread, Django's synchronous code.

Nothing can interrupt it from outside. While it runs, `stack_of_work` tells where.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from asgiref.sync import AsyncToSync

from .stacks import stack_of_thread

__tracebackhide__ = True  # pytest shows the test's line and the handler's


class Work:
    """One call, and the future that its result is for."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.future: Future[Any] = Future()

    def run(self) -> None:
        """Make the call. Raises what is meant for the thread: Ctrl-C, and `sys.exit()`."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._function()
        except (SystemExit, KeyboardInterrupt) as error:  # in the loop, it would end that
            failure = RuntimeError(f"the application raised {error!r}")
            failure.__cause__ = error
            self.future.set_exception(failure)
            raise
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def give_up(self) -> None:
        """Fail, where nobody will make the call."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(RuntimeError("the test client was closed"))


class WaitingThread(Executor):
    """Has work done by the thread that waits in `Runtime.run`, and reads the inbox meanwhile."""

    def __init__(self, inbox: queue.SimpleQueue[Any]) -> None:
        self._inbox = inbox
        self.is_closed = False
        self.at_work: int | None = None
        """The thread, while it works."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn` called when the test's thread comes to it."""
        work = Work(lambda: fn(*args, **kwargs))
        if self.is_closed:
            work.give_up()
        else:
            self._inbox.put(work)
        return work.future

    def do(self, work: Work) -> None:
        """Do it, in this thread."""
        before, self.at_work = self.at_work, threading.get_ident()
        try:
            work.run()
        finally:
            self.at_work = before

    def close(self) -> None:
        """Fail what was not done, and what will be submitted."""
        self.is_closed = True
        while True:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, Work):
                item.give_up()


def stack_of_work() -> str | None:
    """Return where the test's thread is at work for the running loop. None if it is not."""
    loop = asyncio.get_running_loop()
    executor: object = AsyncToSync.loop_thread_executors.get(loop)
    if not isinstance(executor, WaitingThread) or executor.at_work is None:
        return None
    return stack_of_thread(executor.at_work, inside=Work.run)
