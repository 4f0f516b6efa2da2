"""How we cancel a handler ourselves, and tell that from a cancellation of somebody else's."""

import asyncio
import contextlib
from typing import Any

import pytest

from bolt_ws.interruption import GoneOn, Interrupted, Interruption, ShutDown


class Run:
    """A handler's body in a task, as the consumer runs it."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.outcome: BaseException | None = None
        self.cancelling = -1

    async def __call__(self) -> None:
        self.interruption = Interruption()
        error: BaseException | None = None
        try:
            await self.body()
        except BaseException as raised:
            error = raised
        self.outcome = self.interruption.end(error)
        task = asyncio.current_task()
        assert task is not None
        self.cancelling = task.cancelling()
        await asyncio.sleep(0)  # nothing is left that would cancel this


async def waits() -> None:
    await asyncio.Event().wait()


async def returns() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def fails() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise LookupError("bug")


async def started(body: Any) -> tuple[Run, asyncio.Task[None]]:
    run = Run(body)
    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    return run, task


REASONS = [GoneOn(), ShutDown(), KeyError("a task's")]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("times", [1, 3])
async def test_a_handler_that_lets_itself_be_cancelled(reason: BaseException, times: int) -> None:
    run, task = await started(waits)
    for _ in range(times):
        run.interruption.interrupt(reason)
    await task
    assert run.outcome is reason
    assert run.cancelling == 0
    assert run.interruption.is_over


@pytest.mark.parametrize("reason", REASONS)
async def test_one_that_returns_in_answer(reason: BaseException) -> None:
    run, task = await started(returns)
    run.interruption.interrupt(reason)
    await task
    # Who has gone on for too long may say that all is well; a failure of a task is one all the same
    assert run.outcome is (None if isinstance(reason, GoneOn) else reason)
    assert run.cancelling == 0


@pytest.mark.parametrize("reason", REASONS)
async def test_one_that_raises_something_else(reason: BaseException) -> None:
    run, task = await started(fails)
    run.interruption.interrupt(reason)
    await task
    assert isinstance(run.outcome, LookupError)
    assert run.cancelling == 0


async def test_nobody_interrupts() -> None:
    run, task = await started(lambda: asyncio.sleep(0))
    await task
    assert run.outcome is None
    run, task = await started(waits)
    task.cancel()
    await task
    assert type(run.outcome) is asyncio.CancelledError
    assert run.cancelling == 1  # somebody else's stays


@pytest.mark.parametrize("ours_is_first", [True, False])
async def test_a_cancellation_of_somebody_elses_at_the_same_time(ours_is_first: bool) -> None:
    run, task = await started(waits)
    for is_ours in (ours_is_first, not ours_is_first):
        if is_ours:
            run.interruption.interrupt(GoneOn())
        else:
            task.cancel()
    await task
    assert type(run.outcome) is asyncio.CancelledError
    assert run.cancelling == 1


async def test_one_of_somebody_elses_while_the_handler_ends() -> None:
    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    run, task = await started(body)
    run.interruption.interrupt(ShutDown())
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert type(run.outcome) is asyncio.CancelledError
    assert run.cancelling == 1


async def test_the_first_reason_is_the_one() -> None:
    run, task = await started(waits)
    first = KeyError("first")
    run.interruption.interrupt(first)
    run.interruption.interrupt(ShutDown())
    await task
    assert run.outcome is first


async def test_after_the_end_nothing_is_cancelled() -> None:
    run, task = await started(lambda: asyncio.sleep(0))
    await asyncio.sleep(0)
    assert run.interruption.is_over
    run.interruption.interrupt(GoneOn())
    await task
    assert run.interruption.reason is None
    assert run.interruption.end(None) is None


@pytest.mark.parametrize("around", ["timeout", "group", "shield", "wait_for"])
async def test_within_what_cancels_too(around: str) -> None:
    async def body() -> None:
        if around == "timeout":
            async with asyncio.timeout(60):
                await waits()
        elif around == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(waits())
        elif around == "shield":
            await asyncio.shield(asyncio.sleep(0.01))
        else:
            await asyncio.wait_for(waits(), 60)

    run, task = await started(body)
    await asyncio.sleep(0)
    reason = GoneOn()
    run.interruption.interrupt(reason)
    await task
    assert run.outcome is reason
    assert run.cancelling == 0


async def test_a_timeout_that_expires_in_the_cleanup_is_still_its_own() -> None:
    seen: list[str] = []

    async def body() -> None:
        try:
            await waits()
        finally:
            try:
                async with asyncio.timeout(0.01):
                    await waits()
            except TimeoutError:
                seen.append("expired")

    run, task = await started(body)
    reason = ShutDown()
    run.interruption.interrupt(reason)
    await task
    assert seen == ["expired"]
    assert run.outcome is reason


def test_what_is_raised_is_a_cancellation_to_those_who_ask() -> None:
    assert issubclass(GoneOn, Interrupted)
    assert issubclass(ShutDown, Interrupted)
    assert issubclass(Interrupted, asyncio.CancelledError)
