"""Upkeep: careless handlers and hostile clients, side by side on all three servers."""

import pytest

# What asserts outside of test modules shall say what it saw.
pytest.register_assert_rewrite("tests.live.upkeep.client", "tests.live.upkeep.together")
