"""The end of a test's connection: wait for it, enforce it, and tell what it left behind."""

from __future__ import annotations

import asyncio

from .reports import threads_of, where_it_is
from .server_end import ServerEnd
from .stacks import LeftBehind, stack_of_task, stack_of_thread

END_TIMEOUT = 5.0
"""Seconds that an application has to end after its client has left."""
FAILED_END_TIMEOUT = 0.5
"""The same where the test has failed already."""
CANCEL_TIMEOUT = 3.0
"""Seconds that it has to end after it was cancelled."""
QUIET_TIMEOUT = 0.05
"""Seconds that it has to end after its own close, before the test is told of that."""
TASKS_TIMEOUT = 0.2
"""Seconds that its tasks have to end after it."""


async def end(server: ServerEnd, timeout: float | None) -> LeftBehind | None:
    """Wait for the application's end, cancel what goes on, and return what to say of that.

    After `timeout` seconds it is cancelled; None waits for ever.
    """
    task, path = server.task, server.scope["path"]
    assert task is not None
    problems = []
    await asyncio.wait([task], timeout=timeout)
    if not task.done():
        problems.append(
            f"{path!r} had not ended {timeout:g} s after its client had left, and was "
            f"cancelled. (A handler that only sends learns of it at the next send.)\n"
            f"{where_it_is(server)}"
        )
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_TIMEOUT)
        if not task.done():
            problems.append(
                f"It goes on {CANCEL_TIMEOUT:g} s after it was cancelled.\n{where_it_is(server)}"
            )
    problems += await _end_tasks(server)
    problems += [
        f"{path!r} has left its handler behind, in a thread:\n{stack_of_thread(thread)}"
        for thread in threads_of(server)
    ]
    problems += [
        f"{path!r} has left the thread {thread.name!r} behind, which stands here:\n"
        f"{stack_of_thread(thread.ident)}"
        for thread in server.threads_left()
    ]
    return LeftBehind("\n".join(problems)) if problems else None


async def _end_tasks(server: ServerEnd) -> list[str]:
    tasks = server.tasks - {server.task}
    if tasks:
        await asyncio.wait(tasks, timeout=TASKS_TIMEOUT)
    left = [task for task in tasks if not task.done()]
    problems = [
        f"{server.scope['path']!r} has left the task {task.get_name()!r} behind, which waits "
        f"here:\n{stack_of_task(task)}"
        for task in left
    ]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=TASKS_TIMEOUT)
    return problems
