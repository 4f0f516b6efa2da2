"""The five pages, executed."""

import pytest

# What asserts outside of test modules shall say what it saw.
pytest.register_assert_rewrite(
    "tests.seeds.drivers", "tests.seeds.outlines", "tests.seeds.scenarios"
)
