"""Where messages come in: each is taken, in order, and a layer that fails is asked again."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from bolt_ws.rooms import inlets
from bolt_ws.rooms.inlets import Inlet, make_inlet
from tests.rooms.support import FakeLayer, other_tasks, turns, until
from tests.support import TIMEOUT


class Host:
    """Whom an inlet serves in these tests."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.Context()
        self.failures: list[Exception] = []
        self.is_ready = asyncio.Event()
        self.is_ready.set()
        self.arrivals = 0

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self.loop.create_task(coroutine)

    def note_arrival(self) -> None:
        self.arrivals += 1

    @property
    def is_busy(self) -> bool:
        return not self.is_ready.is_set()

    async def until_ready_for_more(self) -> None:
        await self.is_ready.wait()

    def note_failure(self, error: Exception) -> None:
        self.failures.append(error)


@pytest.fixture(autouse=True)
async def _no_task_left() -> AsyncIterator[None]:
    yield
    await turns(3)
    assert not other_tasks()


@pytest.mark.parametrize("make_layer", [FakeLayer, InMemoryChannelLayer])
async def test_messages_are_taken_in_order(make_layer: Any) -> None:
    layer = make_layer()
    host = Host()
    inlet = make_inlet(layer, host)
    taken: dict[str, list[Any]] = {"a": [], "b": []}
    channels = {name: await inlet.open(taken[name].append) for name in taken}
    for number in range(20):
        for channel in channels.values():
            await layer.send(channel, {"number": number})
    await until(lambda: all(len(each) == 20 for each in taken.values()))
    expected = [{"number": number} for number in range(20)]
    assert taken == {"a": expected, "b": expected}
    assert host.arrivals == 40
    for channel in channels.values():
        inlet.close(channel)


async def test_a_closed_channel_takes_no_more() -> None:
    layer = FakeLayer()
    inlet = Inlet(layer, Host())
    taken: list[Any] = []
    channel = await inlet.open(taken.append)
    await layer.send(channel, {"number": 1})
    await until(lambda: taken)
    inlet.close(channel)
    await layer.send(channel, {"number": 2})
    await turns(5)
    assert taken == [{"number": 1}]


async def test_a_message_that_cannot_be_used_is_logged_and_the_next_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = FakeLayer()
    host = Host()
    inlet = Inlet(layer, host)
    taken: list[Any] = []

    def take(message: Mapping[str, Any]) -> None:
        taken.append(message["number"])

    channel = await inlet.open(take)
    await layer.send(channel, {"text": "no number"})
    await layer.send(channel, {"number": 1})
    await until(lambda: taken == [1])
    assert "could not be used" in caplog.text
    assert host.failures == []  # the layer is not to blame
    inlet.close(channel)


async def test_a_layer_that_fails_is_asked_again_with_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inlets, "MAX_PAUSE", 0.1)
    layer = FakeLayer()
    host = Host()
    inlet = Inlet(layer, host)
    taken: list[Any] = []
    channel = await inlet.open(taken.append)
    await turns(2)
    layer.fail()
    await asyncio.sleep(0.5)
    attempts = layer.count("receive") - 1
    assert 4 <= attempts <= 20
    assert len(host.failures) == attempts + 1
    layer.recover()
    await layer.send(channel, {"number": 1})
    await until(lambda: taken == [{"number": 1}])
    inlet.close(channel)


async def test_nothing_is_received_while_too_much_is_on_its_way() -> None:
    layer = FakeLayer()
    host = Host()
    inlet = Inlet(layer, host)
    taken: list[Any] = []
    channel = await inlet.open(taken.append)
    host.is_ready.clear()
    for number in range(10):
        await layer.send(channel, {"number": number})
    await turns(20)
    assert len(taken) == 1  # the one that it waited for already
    host.is_ready.set()
    await until(lambda: len(taken) == 10)
    inlet.close(channel)


async def test_closing_while_the_layer_fails_leaves_nothing() -> None:
    layer = FakeLayer()
    layer.fail()
    host = Host()
    inlet = Inlet(layer, host)
    channel = await inlet.open(lambda message: None)
    await until(lambda: host.failures)
    inlet.close(channel)


async def test_a_receive_that_hangs_is_begun_anew() -> None:
    hanging = asyncio.Event()

    async def hang(method: str, channel: str) -> None:
        if method == "receive" and not hanging.is_set():
            hanging.set()
            await asyncio.Event().wait()

    layer = FakeLayer()
    layer.before = hang
    host = Host()
    inlet = Inlet(layer, host)
    inlet.restart()  # nothing is open
    taken: list[Any] = []
    channel = await inlet.open(taken.append)
    await asyncio.wait_for(hanging.wait(), TIMEOUT)
    await layer.send(channel, {"number": 1})
    await turns(5)
    assert taken == []
    inlet.restart()
    await until(lambda: taken == [{"number": 1}])
    assert host.failures == []
    inlet.close(channel)
