"""The servers of the tests here: one of each kind, started and stopped side by side."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.live.server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind, Server

READ_STALL = 4  # seconds: no handler that only rests for a while rests so long

Start = Callable[..., AbstractContextManager[list[Server]]]
Options = dict[str, tuple[str, ...]]


@pytest.fixture(scope="session")
def start_servers(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start a server of each kind, with more command line options by kind, and more settings."""

    @contextmanager
    def started(options: Options | None = None, **settings: Any) -> Iterator[list[Server]]:
        directory = tmp_path_factory.mktemp("upkeep")
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.live.upkeep.project.settings",
            "TEST_BOLT_WS": json.dumps(settings),
        }

        def start(kind: Kind) -> Server:
            more = (options or {}).get(kind.name, ())
            return Server(
                dataclasses.replace(kind, command=(*kind.command, *more)),
                "tests.live.upkeep.project.asgi:application",
                directory / f"{kind}.log",
                environment,
            )

        kinds = (DAPHNE, STOCK_DAPHNE, UVICORN)
        with ThreadPoolExecutor(len(kinds)) as threads:
            starting = [threads.submit(start, kind) for kind in kinds]
            servers = [each.result() for each in starting if each.exception() is None]
            try:
                for each in starting:
                    each.result()
                yield servers
                list(threads.map(Server.stop, servers))
            finally:
                for server in servers:
                    server.kill()

    return started


@pytest.fixture(scope="session")
def upkeep_servers(start_servers: Start) -> Iterator[list[Server]]:
    """Servers that are quick to give up a handler that does not receive."""
    with start_servers(READ_STALL=READ_STALL) as servers:
        yield servers
