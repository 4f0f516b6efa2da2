"""Coroutines that are awaited for so long, and no longer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bolt_ws.in_place import TookTooLong, within

Step = Callable[[], Awaitable[str]]


async def at_once() -> str:
    return "done"


async def after_a_while() -> str:
    await asyncio.sleep(0.01)
    return "done"


@pytest.mark.parametrize("step", [at_once, after_a_while])
async def test_what_is_done_in_time(step: Step) -> None:
    assert await within(5, step()) == "done"


async def test_what_takes_too_long_is_cancelled() -> None:
    seen: list[str] = []

    async def step() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(TookTooLong):
        await within(0.01, step())
    assert seen == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def timed_out() -> str:
    await asyncio.sleep(0)
    raise TimeoutError("of its own")


async def timed_out_by_asyncio() -> str:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(3600)
    return "never"


async def timed_out_within() -> str:
    return str(await within(0.01, asyncio.sleep(3600)))


@pytest.mark.parametrize("step", [timed_out, timed_out_by_asyncio, timed_out_within])
async def test_the_timeout_of_something_inside_is_not_taken_for_its_own(step: Step) -> None:
    with pytest.raises(TimeoutError) as raised:
        await within(5, step())
    assert not isinstance(raised.value, TookTooLong)


async def test_nor_one_that_is_there_already() -> None:
    step = asyncio.ensure_future(within(0.01, asyncio.sleep(3600)))
    await asyncio.wait([step])
    with pytest.raises(TimeoutError) as raised:
        await within(5, passed_on(step))
    assert not isinstance(raised.value, TookTooLong)


async def passed_on(step: Awaitable[str]) -> str:
    return await step


async def test_a_cancellation_from_outside_is_one() -> None:
    task = asyncio.create_task(within(5, asyncio.sleep(3600)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
