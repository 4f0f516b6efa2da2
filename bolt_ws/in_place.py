"""Coroutines that are driven as far as they go at once, and awaited only if they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType
from typing import Any, TypeVar

T = TypeVar("T")


def as_coroutine(awaitable: Any) -> Coroutine[Any, Any, Any]:
    """Return a coroutine for what an ASGI `send` has returned."""
    if type(awaitable) is CoroutineType or isinstance(awaitable, Coroutine):
        return awaitable
    return _awaited(awaitable)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


class Rest:
    """What is left of a coroutine that has begun, for the task that began it to await."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine, waits_for = self._coroutine, self._waits_for
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                step: Callable[[Any], Any] = coroutine.throw
                argument: Any = error
            else:
                step, argument = coroutine.send, sent
            try:
                waits_for = step(argument)
            except StopIteration as end:
                return end.value
            finally:
                argument = None  # its traceback may hold this frame


class TookTooLong(TimeoutError):
    """What `within` raises, and nothing else does."""


async def within(seconds: float, awaitable: Any) -> Any:
    """Await for so many seconds at most. Raises `TookTooLong`.

    What never waits costs no timer: 6 us, and most admissions and closes do not.
    """
    coroutine = as_coroutine(awaitable)
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        return end.value
    except TookTooLong as error:
        raise TimeoutError from error
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await Rest(coroutine, waits_for)
    except TimeoutError as error:
        if limit.expired():
            raise TookTooLong from error
        if isinstance(error, TookTooLong):  # that of a `within` inside
            raise TimeoutError from error
        raise
