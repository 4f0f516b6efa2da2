"""Numbers on messages: nothing is delivered twice, and what is lost is counted once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bolt_ws.rooms import sequences
from bolt_ws.rooms.sequences import GRACE, MAX_MISSING, Numbers, Received

LATE = GRACE + 0.01


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[int]]:
    """How many messages were sent, and which came: some not, some twice, in any order but for
    the first one."""
    sent = draw(st.integers(1, 40))
    came = draw(st.lists(st.integers(2, max(2, sent)), max_size=80))
    return sent, [1, *(number for number in came if number <= sent)]


@given(histories())
def test_messages_within_the_grace_in_any_order(history: tuple[int, list[int]]) -> None:
    _, came = history
    received = Received()
    taken = [number for number in came if received.take("a", number, now=0.0)]
    assert sorted(taken) == sorted(set(came))  # each that came is delivered, and once
    assert received.count_lost(GRACE) == 0  # not yet
    holes = set(range(1, max(came))) - set(came)
    assert received.count_lost(LATE) == len(holes)
    assert received.count_lost(LATE) == 0  # once


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from("ab"), st.integers(1, 30)),
        st.tuples(st.just("wait"), st.floats(0, 2 * GRACE), st.none()),
        st.tuples(st.just("count"), st.none(), st.none()),
    ),
    max_size=100,
)


@given(STEPS)
def test_whatever_happens_each_message_is_delivered_or_lost_and_once(steps: list[Any]) -> None:
    received = Received()
    now, lost = 0.0, 0
    first: dict[str, int] = {}
    taken: list[tuple[str, int]] = []
    for step, what, number in steps:
        if step == "wait":
            now += what
        elif step == "count":
            lost += received.count_lost(now)
        else:
            first.setdefault(what, number)
            if received.take(what, number, now):
                taken.append((what, number))
    lost += received.count_lost(now + LATE)
    assert len(taken) == len(set(taken))
    spans = [max(n for who, n in taken if who == sender) - first[sender] + 1 for sender in first]
    assert len(taken) + lost == sum(spans)


@given(STEPS, st.integers(1, 10))
def test_nothing_from_before_is_missed_after_resume(steps: list[Any], hole: int) -> None:
    received = Received()
    now = 0.0
    heard: set[tuple[str, int]] = set()
    for step, what, number in steps:
        if step == "wait":
            now += what
        elif step == "take":
            received.take(what, number, now)
            heard.add((what, number))
    received.resume()
    assert received.count_lost(now + LATE) == 0
    for sender in {sender for sender, _ in heard}:
        last = max(number for who, number in heard if who == sender)
        assert received.take(sender, last + hole, now)
        assert received.count_lost(now + LATE) == 0  # what is missing was sent meanwhile
        assert received.take(sender, last + hole + 2, now)
        assert received.count_lost(now + LATE) == 1  # and this after it
    assert not any(received.take(sender, number, now) for sender, number in heard)


def test_a_late_message_is_lost_and_stays_lost() -> None:
    received = Received()
    assert received.take("a", 1, 0.0)
    assert received.take("a", 3, 0.0)
    assert received.count_lost(LATE) == 1
    assert not received.take("a", 2, LATE)


def test_whoever_comes_late_misses_nothing_that_was_sent_before() -> None:
    received = Received()
    assert received.take("a", 1000, 0.0)
    assert received.count_lost(LATE) == 0


def test_no_more_than_some_are_waited_for() -> None:
    received = Received()
    received.take("a", 1, 0.0)
    received.take("a", 2 + 3 * MAX_MISSING, 0.0)
    assert received.count_lost(0.0) == 2 * MAX_MISSING  # at once: they are not waited for
    assert not received.take("a", 2, 0.0)
    assert received.take("a", 1 + 3 * MAX_MISSING, 0.0)  # one of those that are
    assert received.count_lost(LATE) == MAX_MISSING - 1


def test_a_sender_that_is_silent_is_forgotten() -> None:
    received = Received()
    received.take("a", 1, 0.0)
    received.take("b", 1, 500.0)
    received.count_lost(sequences.FORGET_AFTER + 1)
    assert list(received._senders) == ["b"]
    received.count_lost(sequences.FORGET_AFTER + 501)
    assert not received._senders


def test_a_sender_of_whom_messages_are_missing_is_not_forgotten_before_they_are_counted() -> None:
    received = Received()
    received.take("a", 1, 0.0)
    received.take("a", 3, 0.0)
    assert received.count_lost(2 * sequences.FORGET_AFTER) == 1
    assert received.count_lost(2 * sequences.FORGET_AFTER) == 0
    assert not received._senders


@given(st.lists(st.sampled_from("abc")))
def test_numbers_follow_one_another_for_each_group(groups: list[str]) -> None:
    numbers = Numbers()
    received = {group: Received() for group in groups}
    for group in groups:
        assert received[group].take(*numbers.next(group), 0.0)
    assert all(each.count_lost(LATE) == 0 for each in received.values())


def test_two_that_send_to_a_group_are_two_senders() -> None:
    numbers = Numbers()
    assert numbers.next("a")[0] == numbers.next("a")[0]
    assert Numbers().next("a")[0] != numbers.next("a")[0]


def test_whoever_begins_anew_is_another_sender() -> None:
    numbers = Numbers()
    received = Received()
    sender, number = numbers.next("a")
    assert received.take(sender, number, 0.0)
    numbers.next("a")  # may not have been sent
    numbers.begin_anew("a")
    other, first = numbers.next("a")
    assert (other != sender, first) == (True, 1)
    assert received.take(other, first, 0.0)
    assert received.count_lost(LATE) == 0


def test_a_group_that_begins_anew_leaves_the_others_as_they_are() -> None:
    numbers = Numbers()
    for group in "ab":
        numbers.next(group)
    sender, _ = numbers.next("b")
    numbers.begin_anew("a")
    assert numbers.next("b") == (sender, 3)
    again = {numbers.next("a")[0]}
    numbers.begin_anew("a")
    assert numbers.next("a")[0] not in again


def test_only_so_many_groups_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "MAX_GROUPS", 3)
    numbers = Numbers()
    received = {group: Received() for group in "abcdefgh"}
    for round_ in range(3):
        for group in received:
            sender, number = numbers.next(group)
            assert received[group].take(sender, number, 0.0), round_
            numbers.begin_anew(group)
            assert received[group].take(*numbers.next(group), 0.0)
            assert len(numbers._last) <= 3
            assert len(numbers._senders) <= 3
    assert all(each.count_lost(LATE) == 0 for each in received.values())


def test_only_so_many_senders_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "MAX_SENDERS", 3)
    received = Received()
    for sender in "abcdef":
        assert received.take(sender, 1, 0.0)
        assert received.take(sender, 2, 0.0)
        assert not received.take(sender, 2, 0.0)
        assert len(received._senders) <= 3
    assert received.count_lost(LATE) == 0
