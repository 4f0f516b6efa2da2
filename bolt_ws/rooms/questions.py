"""Questions to all processes, of which many may be asked at once."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

R = TypeVar("R")

AT_ONCE: Final = 8
"""Questions on different things that are asked at once: each needs connections to the layer."""


class Questions(Generic[R]):
    """Has one question on one thing under way. Whoever asks meanwhile shares the next one.

    Not the one under way: its answers may be older than what somebody knows who asks now.
    """

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turns: dict[str, asyncio.Lock] = {}
        self._next: dict[str, asyncio.Task[R]] = {}

    async def ask(self, about: str, ask: Callable[[Callable[[], Any]], Awaitable[R]]) -> R:
        """Return what `ask` gives. It is called with what it has to enter before it asks."""
        task = self._next.get(about)
        if task is None:
            # In no context: it may outlive the connection that is the first to ask.
            task = asyncio.get_running_loop().create_task(
                _asked(ask, self, about), context=contextvars.Context()
            )
            self._next[about] = task
            task.add_done_callback(lambda task: self._forget(about, task))
        return await asyncio.shield(task)

    def _forget(self, about: str, task: asyncio.Task[R]) -> None:
        if self._next.get(about) is task:
            del self._next[about]


async def _asked(
    ask: Callable[[Callable[[], Any]], Awaitable[R]], questions: Questions[R], about: str
) -> R:
    return await ask(lambda: _Turn(questions, about))


class _Turn:
    """The time in which one question on a thing is under way."""

    def __init__(self, questions: Questions[Any], about: str) -> None:
        self._questions = questions
        self._about = about
        self._lock = questions._turns.setdefault(about, asyncio.Lock())

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        try:
            await self._questions._slots.acquire()
        except BaseException:
            self._leave()
            raise
        self._questions._next.pop(self._about, None)  # who asks from now on asks anew

    async def __aexit__(self, *raised: object) -> None:
        self._questions._slots.release()
        self._leave()

    def _leave(self) -> None:
        self._lock.release()
        turns = self._questions._turns
        if not self._lock.locked() and self._about not in self._questions._next:
            turns.pop(self._about, None)
