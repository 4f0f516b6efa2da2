"""One timer a second per event loop, and nothing where there is nothing to look at."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from bolt_ws import ticker, upkeep
from bolt_ws.ticker import Ticker, ticker_of
from tests.identities import Clock, eventually, listen, opened
from tests.support import serve


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def timers() -> list[asyncio.TimerHandle]:
    """Return the timers of the running loop that have not been cancelled."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [each for each in scheduled if not each.cancelled()]


async def test_each_look_is_called_at_each_tick(clock: Clock) -> None:
    seen: list[str] = []
    one, other = (lambda: seen.append("one")), (lambda: seen.append("other"))
    ticker_of(asyncio.get_running_loop()).add(one)
    ticker_of(asyncio.get_running_loop()).add(other)
    await eventually(lambda: len(seen) >= 6)
    ticker_of(asyncio.get_running_loop()).discard(one)
    ticker_of(asyncio.get_running_loop()).discard(other)
    assert seen[:6] == ["one", "other"] * 3


async def test_a_tick_is_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, delays = asyncio.get_running_loop(), []
    call_later = loop.call_later

    def note(delay: float, *args: Any, **more: Any) -> asyncio.TimerHandle:
        delays.append(delay)
        return call_later(0.001, *args, **more)

    monkeypatch.setattr(loop, "call_later", note)
    seen: list[int] = []

    def look() -> None:
        seen.append(1)

    ticker_of(asyncio.get_running_loop()).add(look)
    while len(seen) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    ticker_of(asyncio.get_running_loop()).discard(look)
    assert delays == [1.0] * len(delays)
    assert len(delays) >= 3


async def test_it_ends_when_there_is_nothing_to_look_at(clock: Clock) -> None:
    here = ticker_of(asyncio.get_running_loop())
    assert here is ticker_of(asyncio.get_running_loop())
    before = len(timers())

    def look() -> None:
        here.discard(look)

    here.add(look)
    assert len(timers()) == before + 1
    await eventually(lambda: here._timer is None)
    assert len(timers()) == before
    here.add(look)  # and begins again
    assert here._timer is not None
    await eventually(lambda: here._timer is None)


async def test_who_comes_and_goes_within_a_tick_makes_no_second_timer(clock: Clock) -> None:
    here = ticker_of(asyncio.get_running_loop())
    before, tasks = len(timers()), len(asyncio.all_tasks())

    def look() -> None:
        pass

    for _ in range(100):
        here.add(look)
        here.discard(look)
    here.add(look)
    assert len(timers()) == before + 1
    assert len(asyncio.all_tasks()) == tasks
    here.discard(look)
    await eventually(lambda: here._timer is None)


async def test_one_that_fails_is_logged_and_stops_no_other(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def fails() -> None:
        raise LookupError("bug")

    def works() -> None:
        seen.append(1)

    ticker_of(asyncio.get_running_loop()).add(fails)
    ticker_of(asyncio.get_running_loop()).add(works)
    await eventually(lambda: len(seen) >= 3)
    ticker_of(asyncio.get_running_loop()).discard(fails)
    ticker_of(asyncio.get_running_loop()).discard(works)
    assert "Exception in the upkeep" in caplog.text
    assert "LookupError: bug" in caplog.text


async def test_looks_that_add_and_discard_looks(clock: Clock) -> None:
    here, seen = ticker_of(asyncio.get_running_loop()), []

    def late() -> None:
        seen.append("late")
        here.discard(late)

    def later() -> None:
        seen.append("later")
        here.discard(later)

    def first() -> None:
        seen.append("first")
        here.discard(first)
        here.add(late)
        here.add(later)

    here.add(first)
    await eventually(lambda: here._timer is None)
    assert seen == ["first", "late", "later"]


async def test_it_runs_in_nobodys_context(clock: Clock) -> None:
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    whose.set("a connection's")
    seen: list[str] = []

    def look() -> None:
        seen.append(whose.get())

    Ticker(asyncio.get_running_loop())
    here = ticker_of(asyncio.get_running_loop())
    here.add(look)
    await eventually(lambda: len(seen) >= 2)
    here.discard(look)
    assert set(seen) == {"nobody's"}


def test_each_loop_has_its_own_and_takes_it_along() -> None:
    seen: list[Ticker] = []

    async def look() -> None:
        seen.append(ticker_of(asyncio.get_running_loop()))

    threads = [threading.Thread(target=asyncio.run, args=[look()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[0] is not seen[1]
    loop = asyncio.new_event_loop()
    try:
        ticker_of(loop)  # the next one sweeps those of closed loops
        assert [each for each in ticker._tickers if each.is_closed()] == []
    finally:
        loop.close()


async def test_an_idle_connection_has_no_task_and_no_timer_of_its_own(clock: Clock) -> None:
    application = serve(listen, idle_timeout=60, max_lifetime=60, send_timeout=60, rate_limit="9/s")
    first = await opened(application)
    before, tasks = len(timers()), len(asyncio.all_tasks())
    others = [await opened(application) for _ in range(20)]
    await asyncio.sleep(ticker.TICK * 4)
    assert len(asyncio.all_tasks()) == tasks + 20  # the handlers'
    assert len(timers()) <= before + 1  # this very moment's, perhaps, between two
    for connection in (first, *others):
        connection.leave()
        await connection.end()


async def test_many_connections_are_looked_at_in_turns(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    keeper = upkeep.Upkeep(loop)
    looked: list[int] = []
    turns: list[int] = []

    class Looked:
        """What is looked at, in place of 5,000 connections."""

        def look(self, now: float, steady: float) -> None:
            looked.append(1)

    keeper.cares = {object(): Looked() for _ in range(5000)}  # type: ignore[misc]
    keeper._look()
    while len(looked) < 5000:
        turns.append(len(looked))
        await asyncio.sleep(0)
    assert turns == [1000, 2000, 3000, 4000]
    await asyncio.sleep(0)
    assert len(looked) == 5000


async def test_who_ends_while_others_have_their_turn(clock: Clock, monkeypatch: Any) -> None:
    monkeypatch.setattr(upkeep, "TURN", 1)
    application = serve(listen, max_lifetime=60)
    connections = [await opened(application) for _ in range(5)]
    clock.forward(61)
    connections[4].leave()
    for connection in connections:
        await connection.end()
    assert [each.terminal != [] for each in connections] == [True, True, True, True, False]
    assert len(upkeep._upkeeps[asyncio.get_running_loop()]) == 0
