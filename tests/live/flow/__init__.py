"""Flow control, shutdown and leaks: what a server does under a client or a handler that lags."""

import pytest

# What asserts outside of test modules shall say what it saw.
pytest.register_assert_rewrite("tests.live.flow.client", "tests.live.flow.probe")
