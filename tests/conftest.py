"""Fixtures of several modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bolt_ws import threads


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """No place of the pool is taken when the test has ended."""
    yield
    assert not threads._pool.jobs
    assert threads._pool._taken == 0
