"""Real servers, real clients."""

import pytest

# What asserts outside of test modules shall say what it saw.
pytest.register_assert_rewrite("tests.live.server")
