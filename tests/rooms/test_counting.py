"""How many are in a room: exact in one process, and honest about others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from bolt_ws import WebSocket, room
from bolt_ws.rooms import counting
from bolt_ws.rooms.counting import MemberCount, count
from bolt_ws.rooms.hubs import say_farewell
from bolt_ws.rooms.questions import AT_ONCE, Questions
from tests.rooms import support
from tests.rooms.support import FakeLayer, enter, make_chat, other_tasks, part, texts, turns, until
from tests.support import TIMEOUT, serve

fake_layer = support.fake_layer
memory_layer = support.memory_layer

pytestmark = pytest.mark.usefixtures("_brief")


@pytest.fixture
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "TIMEOUT", 0.1)


@pytest.fixture(autouse=True)
async def _farewell() -> AsyncIterator[None]:
    yield
    await say_farewell()


def say_processes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have the layer know in how many processes there are connections, as those of Redis do."""

    async def count_processes(layer: Any, group: str, seconds: float) -> int:
        return number

    monkeypatch.setattr(counting, "count_processes", count_processes)


async def test_a_count_in_memory_is_complete(memory_layer: InMemoryChannelLayer) -> None:
    chat = make_chat()
    members = [await enter(chat, name) for name in "aab"]
    for name, expected in (("a", 2), ("b", 1), ("c", 0)):
        found = await room(name).acount()
        assert (found, found.is_complete) == (expected, True)
        assert room(name).local_members == expected
    await part(*members[:1])
    assert await room("a").acount() == 1
    await part(*members[1:])
    assert await room("a").acount() == 0


async def test_a_member_counts_as_a_handler_counts(memory_layer: InMemoryChannelLayer) -> None:
    async def handler(websocket: WebSocket, name: str) -> None:
        async with websocket.join(name) as joined:
            await websocket.send_text("joined")
            here = await joined.count()
            await websocket.send_text(f"{here} {here.is_complete} {joined.local_members}")
            await websocket.receive_text()

    application = serve(handler, "/{name}")
    members = [await enter(application, "a") for _ in range(3)]
    await until(lambda: all(texts(each) for each in members))
    assert [texts(each) for each in members] == [[f"{n} True {n}"] for n in (1, 2, 3)]
    await part(*members)


async def test_a_count_where_the_layer_cannot_say_how_many_processes_there_are(
    fake_layer: FakeLayer,
) -> None:
    members = [await enter(make_chat(), "a") for _ in range(2)]
    found = await room("a").acount()
    assert (found, found.is_complete) == (2, False)
    await part(*members)


async def test_a_count_that_all_have_answered(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "TIMEOUT", 60.0)  # it does not wait for longer than it must
    say_processes(monkeypatch, 1)
    members = [await enter(make_chat(), "a") for _ in range(2)]
    async with asyncio.timeout(TIMEOUT):
        found = await room("a").acount()
    assert (found, found.is_complete) == (2, True)
    await part(*members)


async def test_a_count_that_a_dead_process_does_not_answer(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_processes(monkeypatch, 2)
    members = [await enter(make_chat(), "a") for _ in range(2)]
    found = await room("a").acount()
    assert (found, found.is_complete) == (2, False)
    await part(*members)


async def test_a_process_that_answers_twice_is_counted_once(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_processes(monkeypatch, 2)
    send = fake_layer.send

    async def send_twice(channel: str, message: dict[str, Any]) -> None:
        await send(channel, message)
        await send(channel, message)

    monkeypatch.setattr(fake_layer, "send", send_twice)
    member = await enter(make_chat(), "a")
    found = await room("a").acount()
    assert (found, found.is_complete) == (1, False)
    await part(member)


async def test_a_count_while_the_layer_fails_is_what_this_process_knows(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_processes(monkeypatch, 1)
    members = [await enter(make_chat(), "a") for _ in range(2)]
    fake_layer.fail()
    async with asyncio.timeout(TIMEOUT):
        found = await room("a").acount()
    assert (found, found.is_complete) == (2, False)
    fake_layer.recover()
    await part(*members)


async def test_a_count_over_a_layer_that_hangs_ends_in_time(fake_layer: FakeLayer) -> None:
    async def hang(method: str, name: str) -> None:
        if method == "group_send":
            await asyncio.Event().wait()

    member = await enter(make_chat(), "a")
    fake_layer.before = hang
    async with asyncio.timeout(TIMEOUT):
        found = await room("a").acount()
    assert (found, found.is_complete) == (1, False)
    fake_layer.before = None
    await part(member)


async def test_a_loop_without_connections_can_ask(fake_layer: FakeLayer) -> None:
    found = await count("a")
    assert (found, found.is_complete) == (0, False)
    await until(lambda: not other_tasks())


async def test_a_hand_written_consumer_in_the_room_is_not_asked(fake_layer: FakeLayer) -> None:
    member = await enter(make_chat(), "a")
    channel = await fake_layer.new_channel()
    await fake_layer.group_add("a", channel)
    assert await room("a").acount() == 1
    await room("a").asend_text("hi")
    message = fake_layer._queue(channel).get_nowait()
    assert message["type"] == "bolt_ws.message"  # no question came before
    assert message["text"] == "hi"
    await fake_layer.group_discard("a", channel)
    await part(member)


async def test_nothing_is_left_of_a_question(fake_layer: FakeLayer) -> None:
    member = await enter(make_chat(), "a")
    before = other_tasks()
    await asyncio.gather(*(room("a").acount() for _ in range(5)))
    await until(lambda: len(other_tasks()) <= len(before))
    await part(member)


def test_a_count_is_a_number() -> None:
    found = MemberCount(3, is_complete=False)
    assert found == 3
    assert found + 1 == 4
    assert f"{found} here" == "3 here"
    assert repr(found) == "MemberCount(3, is_complete=False)"


async def test_whoever_asks_meanwhile_shares_the_next_question() -> None:
    questions: Questions[int] = Questions()
    gates = [asyncio.Event() for _ in range(3)]
    asked: list[int] = []

    async def ask(turn: Callable[[], Any]) -> int:
        async with turn():
            number = len(asked)
            asked.append(number)
            await gates[number].wait()
            return number

    first = asyncio.create_task(questions.ask("a", ask))
    await turns(5)
    assert asked == [0]
    late = [asyncio.create_task(questions.ask("a", ask)) for _ in range(50)]
    await turns(5)
    assert asked == [0]  # one at a time
    gates[0].set()
    assert await first == 0
    await turns(5)
    later = asyncio.create_task(questions.ask("a", ask))
    await turns(5)
    assert asked == [0, 1]
    late.pop().cancel()  # takes nothing from the others
    gates[1].set()
    assert set(await asyncio.gather(*late)) == {1}
    gates[2].set()
    assert await later == 2
    assert (questions._next, questions._turns) == ({}, {})


async def test_questions_on_many_things_are_bounded() -> None:
    questions: Questions[None] = Questions()
    gate, under_way, most = asyncio.Event(), 0, 0

    async def ask(turn: Callable[[], Any]) -> None:
        nonlocal under_way, most
        async with turn():
            under_way += 1
            most = max(most, under_way)
            await gate.wait()
            under_way -= 1

    asking = [asyncio.create_task(questions.ask(str(number), ask)) for number in range(40)]
    await turns(10)
    assert most == AT_ONCE
    gate.set()
    await asyncio.gather(*asking)
    assert (most, questions._turns) == (AT_ONCE, {})
