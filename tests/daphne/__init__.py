"""Our Daphne in process: real connections, on a transport, a server and a clock of the test."""

import pytest

# What asserts outside of test modules shall say what it saw.
pytest.register_assert_rewrite("tests.daphne.fakes", "tests.daphne.client")
