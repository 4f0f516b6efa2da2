"""pytest's fixtures. Installed with the package, they need no conftest.

Loaded in every run of pytest, it needs no Django settings before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .live_fixtures import _live_websocket_servers, live_websocket_server

if TYPE_CHECKING:
    from .async_client import AsyncTestClient
    from .client import TestClient

__all__ = [
    "_live_websocket_servers",
    "async_websocket_client",
    "live_websocket_server",
    "websocket_client",
]


@pytest.fixture
def websocket_client() -> Iterator[TestClient]:
    """A `TestClient` of the project's application.

    It sees the rows of a test that asks for pytest-django's `db`, or is marked so.
    """
    from .client import TestClient

    with TestClient() as client:
        yield client


@pytest.fixture
def async_websocket_client() -> Iterator[AsyncTestClient]:
    """An `AsyncTestClient` of the project's application, for tests that are coroutines.

    With it, the test's own calls of the ORM (`await Model.objects.acreate()`) work on the
    connection of pytest-django's `db`, which it does not ask for by itself.
    """
    from . import database
    from .async_client import AsyncTestClient
    from .environment import connections_lent_to_django

    if not database.SHARES:
        yield AsyncTestClient()
        return
    with connections_lent_to_django():
        yield AsyncTestClient()
