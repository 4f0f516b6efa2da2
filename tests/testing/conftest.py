"""The PostgreSQL of the tests that need one."""

from collections.abc import Iterator
from typing import Any

import pytest

from .postgresql import running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[dict[str, Any]]:
    """Django's settings of a database on a PostgreSQL that runs for the session."""
    with running_postgresql() as settings:
        yield settings
