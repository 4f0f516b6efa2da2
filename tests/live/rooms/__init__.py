"""Rooms over several processes with a real Redis."""

import pytest

# What asserts outside of test modules shall say what it saw.
pytest.register_assert_rewrite(
    *(f"tests.live.rooms.{name}" for name in ("client", "cluster", "crowd", "people", "story"))
)
