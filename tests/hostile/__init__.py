"""Hostile handshakes, in classes, each beside the nearest handshake that is admitted.

`table` has them all; each is built anew for each use, from a good one by one change.
"""

import pytest

# What asserts outside of test modules shall say what it saw.
pytest.register_assert_rewrite("tests.hostile.judging", "tests.hostile.wire", "tests.live.server")
