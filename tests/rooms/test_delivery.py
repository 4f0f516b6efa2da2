"""One message to many members: whatever their servers do, each gets it, and in order."""

import asyncio
import contextvars
import gc
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bolt_ws import WebSocket, room
from bolt_ws.outbox import OutboxPolicy
from bolt_ws.rooms.delivery import CROWDED, PATIENCE, TURN, Delivery, Parcel
from bolt_ws.rooms.frame import Frame
from tests.rooms import support
from tests.rooms.support import Gate, enter, make_chat, part, texts, turns, until
from tests.support import GONE, TIMEOUT, Event, close, make_scope

memory_layer = support.memory_layer

Send = Callable[[Event], Coroutine[Any, Any, None]]


class Recorder:
    """A member, and what its server was given. `send` is what the server does with a text."""

    def __init__(self, send: Send | None = None) -> None:
        self.got: list[str] = []
        self._send = send
        policy = OutboxPolicy(limit=100_000)
        self.member = WebSocket(
            make_scope(), self._receive, self._take, auto_accept=None, outbox_policy=policy
        )
        self.member.note_connect()

    async def _receive(self) -> Event:
        return {"type": "websocket.disconnect", "code": 1001}

    async def _take(self, event: Event) -> None:
        if "text" in event:
            if self._send is not None:
                await self._send(event)
            self.got.append(event["text"])


async def make_recorders(count: int, send: Send | None = None) -> list[Recorder]:
    """Return open connections."""
    made = [Recorder(send) for _ in range(count)]
    for each in made:
        await each.member.accept()
    return made


def make_delivery() -> Delivery:
    return Delivery(asyncio.get_running_loop(), contextvars.Context())


def post(delivery: Delivery, message: str, to: list[Recorder]) -> asyncio.Future[None]:
    """Have a message delivered; the future is done when all have it or will."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    members = [each.member for each in to]
    delivery.post(Parcel(Frame(message), lambda: members, (), lambda: done.set_result(None)))
    return done


async def wait_a_turn(event: Event) -> None:
    """Be a server that never is done at once."""
    await asyncio.sleep(0)


# Servers


async def test_a_server_that_is_done_at_once_costs_no_turn_of_the_loop() -> None:
    members = await make_recorders(TURN - 1)
    delivery = make_delivery()
    done = [post(delivery, str(number), members) for number in range(3)]
    await asyncio.sleep(0)
    assert all(each.done() for each in done)
    assert all(each.got == ["0", "1", "2"] for each in members)


async def test_a_server_that_always_waits_a_turn_gets_all_in_order() -> None:
    members = await make_recorders(300, wait_a_turn)
    delivery = make_delivery()
    expected = [str(number) for number in range(20)]
    for message in expected:
        post(delivery, message, members)
    await until(lambda: all(len(each.got) == len(expected) for each in members))
    assert all(each.got == expected for each in members)


async def test_many_servers_that_wait_a_turn_cost_few_turns() -> None:
    members = await make_recorders(300, wait_a_turn)
    done = post(make_delivery(), "1", members)
    await turns(2 * PATIENCE)
    assert done.done()
    assert all(each.got == ["1"] for each in members)


async def test_members_whose_servers_block_for_ever_keep_nobody_back() -> None:
    gate = Gate(is_open=False)
    stuck, fine = await make_recorders(50, gate), await make_recorders(50)
    members = [each for pair in zip(stuck, fine, strict=True) for each in pair]
    delivery = make_delivery()
    expected = [str(number) for number in range(20)]
    for message in expected:
        await asyncio.wait_for(post(delivery, message, members), TIMEOUT)
    assert all(each.got == expected for each in fine)
    assert all(each.got == [] for each in stuck)
    gate.open()
    await until(lambda: all(each.got == expected for each in stuck))


async def with_timeout(event: Event) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()


async def with_wait_for(event: Event) -> None:
    await asyncio.wait_for(asyncio.Event().wait(), 0.01)


async def with_timeout_at_once(event: Event) -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(1)


@pytest.mark.parametrize("send", [with_timeout, with_wait_for, with_timeout_at_once])
async def test_a_timeout_inside_a_servers_send_hits_its_own_member(send: Send) -> None:
    timed, fine = await make_recorders(20, send), await make_recorders(20)
    slow = await make_recorders(20, wait_a_turn)
    members = [each for three in zip(timed, fine, slow, strict=True) for each in three]
    delivery = make_delivery()
    expected = [str(number) for number in range(5)]
    for message in expected:
        await asyncio.wait_for(post(delivery, message, members), TIMEOUT)
    await until(lambda: all(len(each.got) == len(expected) for each in slow))
    assert all(each.got == expected for each in fine + slow)
    await until(lambda: not any(each.member.is_open for each in timed))  # a TimeoutError: gone
    assert all(each.got == [] for each in timed)
    assert all(each.member.is_open for each in fine + slow)


async def test_a_timeout_that_a_server_takes_itself_ends_nothing() -> None:
    async def pass_over(event: Event) -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            pass

    members = await make_recorders(10, pass_over)
    delivery = make_delivery()
    for message in ("1", "2", "3"):
        await asyncio.wait_for(post(delivery, message, members), TIMEOUT)
    await until(lambda: all(each.got == ["1", "2", "3"] for each in members))


async def fail_at_once(event: Event) -> None:
    raise LookupError("the server broke")


async def fail_later(event: Event) -> None:
    await asyncio.sleep(0)
    raise LookupError("the server broke")


@pytest.mark.parametrize("send", [fail_at_once, fail_later])
async def test_a_server_that_fails_fails_alone(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = await make_recorders(3, send), await make_recorders(3)
    members = [each for pair in zip(broken, fine, strict=True) for each in pair]
    delivery = make_delivery()
    for message in ("1", "2"):
        await asyncio.wait_for(post(delivery, message, members), TIMEOUT)
    await until(lambda: caplog.text.count("A broadcast did not reach") == 6)
    assert all(each.got == ["1", "2"] for each in fine)
    assert all(each.member.is_open for each in broken)


async def gone_later(event: Event) -> None:
    await asyncio.sleep(0)
    raise ConnectionResetError("gone")


def gone_with(error: Exception) -> Send:
    async def send(event: Event) -> None:
        raise error

    return send


@pytest.mark.parametrize("send", [*map(gone_with, GONE), gone_later])
async def test_a_client_that_is_gone_is_noted_and_no_error(
    send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    gone, fine = await make_recorders(3, send), await make_recorders(3)
    delivery = make_delivery()
    for message in ("1", "2"):
        await asyncio.wait_for(post(delivery, message, gone + fine), TIMEOUT)
        await turns(5)
    assert [each.member.close_code for each in gone] == [1006] * 3
    assert all(each.got == ["1", "2"] for each in fine)
    assert caplog.text == ""


async def test_what_a_send_awaits_may_be_any_awaitable() -> None:
    class Sending:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            got.append("text")

    async def receive() -> Event:
        raise AssertionError

    got: list[str] = []
    member = WebSocket(make_scope(), receive, lambda event: Sending(), auto_accept=None)
    member.note_connect()
    await member.accept()
    got.clear()
    delivery = make_delivery()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    delivery.post(Parcel(Frame("1"), lambda: [member], (), lambda: done.set_result(None)))
    await asyncio.wait_for(done, TIMEOUT)
    await until(lambda: got)


# Order


async def test_each_member_gets_500_messages_in_order_while_servers_block_at_random() -> None:
    chance = random.Random(7)

    async def at_random(event: Event) -> None:
        for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 5])):
            await asyncio.sleep(0)

    members = await make_recorders(12, at_random) + await make_recorders(4)
    delivery = make_delivery()
    expected: list[str] = []
    for number in range(500):
        expected.append(str(number))
        post(delivery, str(number), members)
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    await until(lambda: all(len(each.got) == 500 for each in members))
    assert all(each.got == expected for each in members)


async def test_what_a_member_sends_itself_keeps_its_place() -> None:
    (recorder,) = await make_recorders(1, wait_a_turn)
    delivery = make_delivery()
    post(delivery, "room 1", [recorder])
    await asyncio.sleep(0)
    sending = [asyncio.create_task(recorder.member.send_text(f"own {n}")) for n in range(3)]
    await asyncio.sleep(0)
    post(delivery, "room 2", [recorder])
    await asyncio.wait_for(asyncio.gather(*sending), TIMEOUT)
    await until(lambda: len(recorder.got) == 5)
    own = [message for message in recorder.got if message.startswith("own")]
    assert own == ["own 0", "own 1", "own 2"]
    assert recorder.got[0] == "room 1"


# Many members


async def test_others_have_turns_during_a_delivery_to_5000_members() -> None:
    members = await make_recorders(5000)
    delivery = make_delivery()
    done = post(delivery, "1", members)
    served: list[int] = []
    while not done.done():
        await asyncio.sleep(0)
        served.append(sum(1 for each in members if each.got))
    assert served[-1] == 5000
    steps = [after - before for before, after in zip([0, *served], served, strict=False)]
    assert max(steps) <= TURN
    assert len(served) >= 5000 // TURN


async def test_a_member_that_leaves_or_joins_during_a_delivery_disturbs_nobody() -> None:
    present = await make_recorders(3 * TURN)
    (late,) = await make_recorders(1)
    members = {each.member: None for each in present}
    delivery = make_delivery()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    delivery.post(Parcel(Frame("1"), lambda: members, (), lambda: done.set_result(None)))
    await asyncio.sleep(0)
    assert not done.done()
    closed = present[-1].member
    await closed.close()
    del members[closed]
    del members[present[-2].member]
    members[late.member] = None
    await asyncio.wait_for(done, TIMEOUT)
    assert all(each.got == ["1"] for each in present[:-2])
    assert present[-1].got == []  # nothing after a close
    assert late.got == []  # it was sent before
    delivery.post(Parcel(Frame("2"), lambda: members))
    await until(lambda: late.got == ["2"])
    assert present[-2].got in ([], ["1"])


async def test_a_delivery_that_is_cancelled_goes_on_with_the_next_message() -> None:
    members = await make_recorders(2 * TURN)
    delivery = make_delivery()
    done = post(delivery, "1", members)
    await asyncio.sleep(0)
    assert delivery._task is not None
    delivery._task.cancel()
    await turns(3)
    assert not done.done()
    after = post(delivery, "2", members)
    await asyncio.wait_for(after, TIMEOUT)
    assert done.done()
    assert all(each.got == ["1", "2"] for each in members)


async def test_a_task_that_stays_with_a_member_may_be_cancelled() -> None:
    gate = Gate(is_open=False)
    (stuck,), (fine,) = await make_recorders(1, gate), await make_recorders(1)
    delivery = make_delivery()
    post(delivery, "1", [stuck, fine])
    await asyncio.wait_for(gate.is_busy.wait(), TIMEOUT)
    await until(lambda: fine.got == ["1"])
    assert stuck.member._outbox is not None
    assert stuck.member._outbox.task is not None
    stuck.member._outbox.task.cancel()
    await turns(3)
    gate.open()
    await asyncio.wait_for(post(delivery, "2", [stuck, fine]), TIMEOUT)
    assert fine.got == ["1", "2"]
    assert stuck.got == ["2"]  # and not for ever behind


async def test_crowded_is_when_much_waits() -> None:
    gate = Gate(is_open=False)
    (member,) = await make_recorders(1, gate)
    delivery = make_delivery()
    for number in range(CROWDED):
        assert not delivery.is_crowded
        post(delivery, str(number), [member])
    assert delivery.is_crowded
    waiting = asyncio.create_task(delivery.until_less())
    await asyncio.wait_for(waiting, TIMEOUT)
    assert not delivery.is_crowded
    gate.open()
    await until(lambda: len(member.got) == CROWDED)


async def test_nothing_is_kept_of_a_message_that_all_have() -> None:
    members = await make_recorders(3, wait_a_turn)
    delivery = make_delivery()
    await asyncio.wait_for(post(delivery, "only here", members), TIMEOUT)
    await until(lambda: all(each.got for each in members))
    await turns(3)
    gc.collect()
    frames = [each for each in gc.get_objects() if type(each) is Frame]
    assert not [each for each in frames if each.event_for(None).get("text") == "only here"]


# Whole connections


@pytest.mark.usefixtures("memory_layer")
async def test_slow_and_fast_members_of_a_room_get_the_same_messages_in_the_same_order() -> None:
    chance = random.Random(11)

    async def at_random(event: Event) -> None:
        if chance.random() < 0.5:
            await asyncio.sleep(0)

    chat = make_chat()
    members = [
        await enter(chat, "a", on_send=at_random if number % 2 else None) for number in range(8)
    ]
    for number in range(50):
        members[number % 8].put(f"{number % 8}: {number}")
    await until(lambda: all(len(texts(each)) == 50 for each in members))
    expected = texts(members[0])
    assert all(texts(each) == expected for each in members)
    for sender in range(8):
        own = [message for message in expected if message.startswith(f"{sender}:")]
        assert own == [f"{sender}: {number}" for number in range(50) if number % 8 == sender]
    await part(*members)


@pytest.mark.usefixtures("memory_layer")
async def test_a_client_that_leaves_during_a_delivery_ends_as_it_would() -> None:
    chat = make_chat()
    gate = Gate()
    leaves, stays = await enter(chat, "a", on_send=gate), await enter(chat, "a")
    gate.shut()
    await room("a").asend_text("1")
    await asyncio.wait_for(gate.is_busy.wait(), TIMEOUT)
    leaves.leave()
    gate.open()
    await leaves.end()
    await room("a").asend_text("2")
    assert texts(stays) == ["1", "2"]
    assert leaves.terminal in ([], [close()])
    await part(stays)
