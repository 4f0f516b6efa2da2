"""The project's channel layer: which one it is, and that it holds what rooms put into it."""

import asyncio
import re
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bolt_ws import room
from bolt_ws.rooms.layers import CAPACITY, get_layer, group_expiry, is_local, new_channel
from tests.rooms import support
from tests.rooms.support import (
    FakeLayer,
    Gate,
    enter,
    make_chat,
    part,
    texts,
    until,
    until_nobody_is_left,
)
from tests.support import TIMEOUT, status

fake_layer = support.fake_layer
memory_layer = support.memory_layer


def use(**config: Any) -> Any:
    """Have the project configure a layer in memory."""
    backend = "channels.layers.InMemoryChannelLayer"
    return override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": config}})


async def capacity_of_ours(layer: Any) -> int:
    """Return how many messages a channel of ours holds."""
    return layer.get_capacity(await new_channel(layer))


async def test_our_channels_hold_more_than_those_of_channels() -> None:
    with use():
        layer = get_layer()
        assert await capacity_of_ours(layer) == CAPACITY
        assert layer.get_capacity(await layer.new_channel()) == 100
        assert layer.get_capacity("my_bolt_ws_worker") == 100


@pytest.mark.parametrize(
    "declared",
    [
        {"http.*": 7, re.compile("^special"): 8},
        [(re.compile("^http"), 7), (re.compile("^special"), 8)],
        {},
        [],
    ],
    ids=["dict", "list", "empty dict", "empty list"],
)
async def test_what_the_project_says_of_other_channels_holds(declared: Any) -> None:
    layer = InMemoryChannelLayer(capacity=50)
    layer.channel_capacity = declared  # as channels_redis and others leave it: either form
    before = channel_layers.set("default", layer)
    try:
        for _ in range(3):  # and it is provided once
            assert get_layer() is layer
    finally:
        channel_layers.backends = {} if before is None else {"default": before}
    assert await capacity_of_ours(layer) == CAPACITY
    assert layer.get_capacity("http.request") == (7 if declared else 50)
    assert layer.get_capacity("special.one") == (8 if declared else 50)
    assert layer.get_capacity("another") == 50
    assert len(layer.channel_capacity) == len(declared) + 1


async def test_a_project_whose_channels_hold_more_anyway_keeps_that() -> None:
    with use(capacity=2 * CAPACITY):
        assert await capacity_of_ours(get_layer()) == 2 * CAPACITY


async def test_5000_messages_for_slow_members_are_not_lost(memory_layer: Any) -> None:
    gate = Gate()
    chat = make_chat(outbox=10_000)
    slow, fast = await enter(chat, "a", on_send=gate), await enter(chat, "a")
    gate.shut()
    for number in range(5000):
        await memory_layer.group_send("a", {"type": "bolt_ws.message", "text": str(number)})
    gate.open()
    expected = [str(number) for number in range(5000)]
    await until(lambda: len(texts(slow)) == 5000)
    assert texts(slow) == texts(fast) == expected
    await part(slow, fast)


async def test_5000_messages_at_once_are_not_lost_before_anybody_reads(memory_layer: Any) -> None:
    member = await enter(make_chat(outbox=10_000), "a")
    # Without a turn of the loop in between: all wait in the layer.
    (channel,) = memory_layer.groups["a"]
    for number in range(5000):
        sending = memory_layer.send(channel, {"type": "bolt_ws.message", "text": str(number)})
        with pytest.raises(StopIteration):
            sending.send(None)
    await until(lambda: len(texts(member)) == 5000)
    assert texts(member) == [str(number) for number in range(5000)]
    await part(member)


async def test_a_project_without_layers_has_rooms_all_the_same() -> None:
    with override_settings(CHANNEL_LAYERS={}):
        assert is_local(get_layer())
        assert get_layer() is get_layer()
        chat = make_chat()
        one, two = await enter(chat, "a"), await enter(chat, "a")
        one.put("hi")
        await until(lambda: texts(two) == ["hi"])
        await asyncio.wait_for(room("a").asend_text("to all"), TIMEOUT)
        assert texts(one) == texts(two) == ["hi", "to all"]
        await part(one, two)
        await until_nobody_is_left()


async def test_an_alias_that_is_not_there_is_said_by_name() -> None:
    with (
        override_settings(BOLT_WS={"CHANNEL_LAYER": "rooms"}),
        pytest.raises(ImproperlyConfigured, match=r"'CHANNEL_LAYER'.*'rooms'"),
    ):
        get_layer()


async def test_a_connection_says_so_too() -> None:
    with (
        override_settings(BOLT_WS={"CHANNEL_LAYER": "rooms"}),
        pytest.raises(ImproperlyConfigured, match="'rooms'"),
    ):
        await status(make_chat(), "/a")


async def test_an_alias_of_the_projects_own() -> None:
    backend = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    with (
        override_settings(BOLT_WS={"CHANNEL_LAYER": "rooms"}),
        override_settings(CHANNEL_LAYERS={"default": backend, "rooms": backend}),
    ):
        assert get_layer() is channel_layers["rooms"]
        member = await enter(make_chat(), "a")
        assert list(channel_layers["rooms"].groups) == ["a"]
        assert channel_layers["default"].groups == {}
        await part(member)


async def test_a_layer_without_groups_is_no_layer_for_rooms(
    fake_layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeLayer, "extensions", ["flush"])
    with pytest.raises(ImproperlyConfigured, match="'default' has no groups"):
        get_layer()


@pytest.mark.parametrize(
    ("declared", "expected"), [(60, 60.0), (0, 86400.0), (None, 86400.0), ("x", 86400.0)]
)
def test_the_expiry_of_a_layer_that_says_none_is_the_usual_one(
    declared: Any, expected: float
) -> None:
    layer = FakeLayer()
    layer.group_expiry = declared
    assert group_expiry(layer) == expected


def test_a_layer_of_ones_own_joins_processes(fake_layer: FakeLayer) -> None:
    assert not is_local(fake_layer)
    assert get_layer() is fake_layer
