"""What a test needs from the machine. It is skipped where that is missing, unless forbidden."""

import os
from typing import NoReturn

import pytest


def missing(what: str, reason: str) -> NoReturn:
    """Skip the test. Fail it if `what` is in BOLT_WS_REQUIRE, separated by commas."""
    if what in os.environ.get("BOLT_WS_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
