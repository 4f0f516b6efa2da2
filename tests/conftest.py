"""Fixtures of several modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections

from bolt_ws import threads


@pytest.fixture(autouse=True)
def _no_connection_left() -> Iterator[None]:
    """No test leaves a database connection in the thread of Django's synchronous code.

    Channels' consumers look at it with each message, which a test without a database must not.
    """
    yield
    SyncToAsync.single_thread_executor.submit(_forget_connections).result()


def _forget_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:  # Django does not close one in memory
            connection.connection.close()
        del connections[connection.alias]


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """No place of the pool is taken when the test has ended."""
    yield
    assert not threads._pool.jobs
    assert threads._pool._taken == 0
