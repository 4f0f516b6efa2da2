"""The cells of the matrix: each kind of test, with each kind of code that uses its database.

Each cell is there with both clients, and twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.test import TestCase, TransactionTestCase

from bolt_ws.testing import AsyncTestClient, TestClient

from .api import AT_THE_END, EXPECTED, ROWS, api
from .models import Note
from .work import Link, atexts, link, texts

AT_ONCE = 8
"""Handlers that have a transaction at the same time."""

C = TypeVar("C", bound=type)


class Course:
    """The course of a test: the rows that there must be by now, and what all must go through."""

    def __init__(self, own: Link) -> None:
        self.own = own
        self.rows: list[str] = []

    def check(self, answer: list[Any], names: list[str]) -> None:
        """See that code of these names has read all rows, each one's own and those before."""
        for name, (its_name, seen, through) in zip(names, answer, strict=True):
            assert (its_name, seen, Link(*through)) == (name, self.rows, self.own)
            self.rows.append(name)


def start() -> Link:
    """See that nothing is left of the test before, and return what the test goes through."""
    assert texts() == []
    return link()


def check(kind: str, own: Link) -> None:
    """Read what an endpoint wrote, and have it read what the test wrote."""
    course = Course(own)
    Note.objects.create(text="test")
    course.rows.append("test")
    with TestClient(api) as client:
        with client.websocket_connect(f"/{kind}") as ws:
            course.check(ws.receive_json(), EXPECTED[kind])
            assert texts() == course.rows
            Note.objects.create(text="meanwhile")
            course.rows.append("meanwhile")
            ws.send_text("answer")
            course.check(ws.receive_json(), ["answer"])
        course.rows += AT_THE_END.get(kind, [])
        assert texts() == course.rows
    assert texts() == course.rows
    assert link() == own


async def acheck(kind: str, own: Link) -> None:
    """Do the same in a coroutine."""
    course = Course(own)
    async with AsyncTestClient(api) as client:
        await Note.objects.acreate(text="test")
        course.rows.append("test")
        async with client.websocket_connect(f"/{kind}") as ws:
            course.check(await ws.receive_json(), EXPECTED[kind])
            assert await atexts() == course.rows
            await Note.objects.acreate(text="meanwhile")
            course.rows.append("meanwhile")
            await ws.send_text("answer")
            course.check(await ws.receive_json(), ["answer"])
        course.rows += AT_THE_END.get(kind, [])
        assert await atexts() == course.rows
        assert await sync_to_async(link)() == own


def cell(kind: str) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        check(kind, self.own)

    return test


def async_cell(kind: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
    async def test(self: Any) -> None:
        await acheck(kind, self.own)

    return test


def every_cell(case: C) -> C:
    """Give a class its tests."""
    for kind, turn in itertools.product(EXPECTED, (1, 2)):
        setattr(case, f"test_{kind}_sync_{turn}", cell(kind))
        setattr(case, f"test_{kind}_async_{turn}", async_cell(kind))
    return case


@every_cell
class DjangoTestCase(TestCase):
    def setUp(self) -> None:
        self.own = start()


@every_cell
class DjangoTransactionTestCase(TransactionTestCase):
    def setUp(self) -> None:
        self.own = start()


@every_cell
class TestPytestDb:
    @pytest.fixture(autouse=True)
    def _start(self, db: None) -> None:
        self.own = start()


@every_cell
class TestPytestTransactionalDb:
    @pytest.fixture(autouse=True)
    def _start(self, transactional_db: None) -> None:
        self.own = start()


@pytest.mark.parametrize("fixture", ["db", "transactional_db"])
def test_transactions_at_once(fixture: str, request: pytest.FixtureRequest) -> None:
    """Transactions of several handlers do not mix, and none finds the database locked."""
    request.getfixturevalue(fixture)
    assert settings.DATABASES["default"]["CONN_MAX_AGE"] == 0
    own = start()
    with TestClient(api) as client, ExitStack() as stack:
        connected = [
            stack.enter_context(client.websocket_connect("/transaction")) for _ in range(AT_ONCE)
        ]
        for number, ws in enumerate(connected):
            Note.objects.create(text="test")
            ws.send_json(number % 2 == 0)
        answers = [ws.receive_json() for ws in connected]
    assert [(more, Link(*through)) for more, through in answers] == [(ROWS, own)] * AT_ONCE
    assert len(texts()) == AT_ONCE + ROWS * AT_ONCE // 2
