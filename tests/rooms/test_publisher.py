"""Sending to a group: in order, numbered, and again if the layer fails."""

import asyncio
import random
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from django.test import override_settings

from bolt_ws.exceptions import RoomUnavailable
from bolt_ws.rooms import publisher as module
from bolt_ws.rooms.layers import SLOTS
from bolt_ws.rooms.publisher import Publisher
from bolt_ws.rooms.sequences import GRACE, Received
from tests.rooms.support import FakeLayer, turns, until
from tests.support import TIMEOUT

LATE = GRACE + 0.01


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "MAX_PAUSE", 0.01)


class Listener:
    """A process in a group: what it takes, and what it misses."""

    def __init__(self, layer: FakeLayer, group: str) -> None:
        self._layer = layer
        self._group = group
        self._received = Received()
        self.came: list[dict[str, Any]] = []
        """All that came."""
        self.taken: list[Any] = []
        """The texts of what came for the first time."""

    async def listen(self) -> None:
        """Be in the group from now on."""
        self._channel = await self._layer.new_channel()
        await self._layer.group_add(self._group, self._channel)

    def read(self) -> list[Any]:
        """Take what has come, and return the texts of all that was taken."""
        queue = self._layer._queue(self._channel)
        while not queue.empty():
            message = queue.get_nowait()
            if message is None:  # what the layer wakes its readers with when it fails
                continue
            self.came.append(message)
            if self._received.take(message["sender"], message["number"], 0.0):
                self.taken.append(message["text"])
        return self.taken

    def count_lost(self) -> int:
        """Return how many were missed."""
        return self._received.count_lost(LATE)


async def listen(layer: FakeLayer, group: str) -> Listener:
    """Return a listener."""
    made = Listener(layer, group)
    await made.listen()
    return made


async def test_concurrent_sends_keep_their_order_over_a_layer_that_suspends() -> None:
    chance = random.Random(3)

    async def suspend(method: str, group: str) -> None:
        await turns(chance.randrange(6))

    layer = FakeLayer()
    listeners = {group: await listen(layer, group) for group in "abc"}
    layer.before = suspend
    publisher = Publisher(layer)
    async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as tasks:
        for number in range(300):
            tasks.create_task(publisher.publish("abc"[number % 3], {"text": number}))
    for at, listener in enumerate(listeners.values()):
        assert listener.read() == list(range(at, 300, 3))
        assert listener.count_lost() == 0
    assert publisher._turns == {}


async def test_concurrent_sends_in_memory_keep_their_order() -> None:
    layer = InMemoryChannelLayer(capacity=1000)
    channel = await layer.new_channel()
    await layer.group_add("a", channel)
    publisher = Publisher(layer)
    await asyncio.gather(*(publisher.publish("a", {"text": number}) for number in range(300)))
    messages = [await layer.receive(channel) for _ in range(300)]
    assert [each["text"] for each in messages] == list(range(300))
    assert [each["number"] for each in messages] == list(range(1, 301))


async def test_a_group_does_not_wait_for_another() -> None:
    stuck = asyncio.Event()

    async def hang(method: str, group: str) -> None:
        if group == "a":
            stuck.set()
            await asyncio.Event().wait()

    layer = FakeLayer()
    listener = await listen(layer, "b")
    layer.before = hang
    publisher = Publisher(layer)
    hanging = asyncio.create_task(publisher.publish("a", {"text": "1"}))
    await asyncio.wait_for(stuck.wait(), TIMEOUT)
    await asyncio.wait_for(publisher.publish("b", {"text": "2"}), TIMEOUT)
    assert listener.read() == ["2"]
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_a_failed_send_is_tried_again_with_the_same_number() -> None:
    failures = iter([True, True, False])

    async def fail_twice(method: str, group: str) -> None:
        if next(failures, False):
            raise ConnectionError("no layer")

    layer = FakeLayer()
    listener = await listen(layer, "a")
    layer.before = fail_twice
    publisher = Publisher(layer)
    async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as tasks:
        for number in range(3):  # those that come after wait for the one that fails
            tasks.create_task(publisher.publish("a", {"text": number}))
    assert listener.read() == [0, 1, 2]
    assert [each["number"] for each in listener.came] == [1, 2, 3]
    assert len({each["sender"] for each in listener.came}) == 1
    assert layer.count("group_send") == 5


class LateToFail(FakeLayer):
    """A layer whose failures are only of the answer: the message got through."""

    failures = 2

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await super().group_send(group, message)
        if self.failures:
            self.failures -= 1
            raise TimeoutError("no answer")


async def test_what_got_through_more_than_once_is_taken_once() -> None:
    layer = LateToFail()
    listener = await listen(layer, "a")
    publisher = Publisher(layer)
    await publisher.publish("a", {"text": "1"})
    await publisher.publish("a", {"text": "2"})
    assert listener.read() == ["1", "2"]
    assert [each["number"] for each in listener.came] == [1, 1, 1, 2]
    assert listener.count_lost() == 0


@pytest.mark.parametrize("error", [TypeError("no"), ValueError("no"), AssertionError("no")])
async def test_what_the_layer_refuses_is_not_tried_again(error: Exception) -> None:
    async def refuse(method: str, group: str) -> None:
        raise error

    layer = FakeLayer()
    listener = await listen(layer, "a")
    publisher = Publisher(layer)
    await publisher.publish("a", {"text": "0"})
    layer.before = refuse
    with pytest.raises(type(error), match="no"):
        await publisher.publish("a", {"text": "1"})
    assert layer.count("group_send") == 2
    layer.before = None
    await publisher.publish("a", {"text": "2"})
    assert listener.read() == ["0", "2"]
    assert listener.count_lost() == 0
    assert publisher._turns == {}


async def test_a_layer_that_stays_away_is_room_unavailable() -> None:
    layer = FakeLayer()
    layer.fail()
    publisher = Publisher(layer)
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.05}):
        with pytest.raises(RoomUnavailable, match="'a'") as raised:
            await publisher.publish("a", {"text": "1"})
        assert isinstance(raised.value.__cause__, ConnectionError)
        attempts = layer.count("group_send")
        assert 2 <= attempts < 60  # again, but with pauses
        assert publisher._turns == {}
    layer.recover()
    listener = await listen(layer, "a")
    await publisher.publish("a", {"text": "2"})
    assert listener.read() == ["2"]
    assert layer.count("group_send") == attempts + 1  # what was given up is not sent after all


async def test_a_layer_that_hangs_is_room_unavailable_for_all_who_wait() -> None:
    async def hang(method: str, group: str) -> None:
        await asyncio.Event().wait()

    layer = FakeLayer()
    layer.before = hang
    publisher = Publisher(layer)
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.05}):
        async with asyncio.timeout(TIMEOUT):
            results = await asyncio.gather(
                *(publisher.publish("a", {"text": number}) for number in range(5)),
                return_exceptions=True,
            )
    assert [type(each) for each in results] == [RoomUnavailable] * 5


async def test_a_send_that_is_given_up_makes_nobody_miss_anything() -> None:
    layer = FakeLayer()
    listener = await listen(layer, "a")
    publisher = Publisher(layer)
    await publisher.publish("a", {"text": "1"})
    layer.fail()
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.02}), pytest.raises(RoomUnavailable):
        await publisher.publish("a", {"text": "2"})
    layer.recover()
    await publisher.publish("a", {"text": "3"})
    assert listener.read() == ["1", "3"]
    assert listener.count_lost() == 0


async def test_a_send_that_is_cancelled_holds_nobody_up() -> None:
    busy, go_on = asyncio.Event(), asyncio.Event()

    async def wait(method: str, group: str) -> None:
        busy.set()
        await go_on.wait()

    layer = FakeLayer()
    listener = await listen(layer, "a")
    publisher = Publisher(layer)
    await publisher.publish("a", {"text": "first"})
    layer.before = wait
    tasks = [asyncio.create_task(publisher.publish("a", {"text": n})) for n in range(4)]
    await asyncio.wait_for(busy.wait(), TIMEOUT)
    tasks[0].cancel()  # the one that is being sent
    tasks[2].cancel()  # one that waits for its turn
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [
        asyncio.CancelledError,
        type(None),
        asyncio.CancelledError,
        type(None),
    ]
    assert listener.read() == ["first", 1, 3]
    assert listener.count_lost() == 0
    assert publisher._turns == {}


async def test_only_so_many_calls_are_made_at_once() -> None:
    running = most = 0
    go_on = asyncio.Event()

    async def wait(method: str, group: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1

    layer = FakeLayer()
    layer.before = wait
    publisher = Publisher(layer)
    sends = [publisher.publish(f"a{number}", {"text": ""}) for number in range(3 * SLOTS)]
    calls = [publisher.call(layer.group_add, f"a{number}", "x") for number in range(SLOTS)]
    tasks = [asyncio.ensure_future(each) for each in [*sends, *calls]]
    await until(lambda: running == SLOTS)
    await turns(10)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT)
    assert most == SLOTS
    assert layer.count("group_send") == 3 * SLOTS


async def test_a_call_that_hangs_is_given_up() -> None:
    async def hang(method: str, group: str) -> None:
        await asyncio.Event().wait()

    layer = FakeLayer()
    layer.before = hang
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.02}), pytest.raises(TimeoutError):
        await Publisher(layer).call(layer.group_add, "a", "x")


async def test_the_message_given_stays_as_it_is() -> None:
    layer = FakeLayer()
    message = {"text": "1"}
    await Publisher(layer).publish("a", message)
    assert message == {"text": "1"}


async def test_an_outage_is_waited_for_once_and_not_by_each_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "QUICK", 0.01)
    layer = FakeLayer()
    listener = await listen(layer, "a")
    publisher = Publisher(layer)
    loop = asyncio.get_running_loop()
    layer.fail()
    with override_settings(BOLT_WS={"ROOM_TIMEOUT": 0.3}):
        begun = loop.time()
        for _ in range(5):
            with pytest.raises(RoomUnavailable):
                await publisher.publish("a", {"text": "lost"})
        assert 0.3 <= loop.time() - begun < 0.9  # five times 0.3 were 1.5
        layer.recover()
        await publisher.publish("a", {"text": "1"})
        layer.fail()
        begun = loop.time()
        with pytest.raises(RoomUnavailable):
            await publisher.publish("a", {"text": "lost"})
        assert loop.time() - begun >= 0.3  # another outage
    assert listener.read() == ["1"]
