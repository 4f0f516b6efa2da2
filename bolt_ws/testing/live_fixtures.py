"""The pytest fixtures that have a live server. They import what they need when a test uses them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .live import LiveServer
    from .live_configuration import Configuration


# It asks for `django_db_setup` in order to end before that: a database that a server is connected
# to cannot be dropped.
@pytest.fixture(scope="session")
def _live_websocket_servers(
    django_db_setup: None,
) -> Iterator[dict[Configuration, LiveServer]]:
    servers: dict[Configuration, LiveServer] = {}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.stop()


@pytest.fixture
def live_websocket_server(
    transactional_db: None,
    _live_websocket_servers: dict[Configuration, LiveServer],
) -> Iterator[LiveServer]:
    """The project on a real Daphne, a `LiveServer`, which the session's tests share.

    What the test committed, the server sees, and the reverse; the next test starts with empty
    tables. A test whose server ended by itself fails, and the next one has a new server. One that
    overrides ASGI_APPLICATION or DEBUG before it asks for this fixture has a server of its own.
    """
    from .live import LiveServer
    from .live_configuration import Configuration

    configuration = Configuration.current()
    server = _live_websocket_servers.setdefault(configuration, LiveServer(configuration))
    server.check()
    if not server.is_running:
        server.start()
    seen = len(server.log)
    yield server
    server.close_connections()
    sys.stdout.write(server.log[seen:])  # pytest shows it with a test that failed
    server.check()
