"""The server that is soaked, its database, and Redis if that is asked for."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.live.rooms.redis_server import RedisServer
from tests.live.server import DAPHNE, ROOT, Server
from tests.testing.postgresql import running_postgresql

PAGE = resource.getpagesize()  # bytes
APPLICATION = "tests.live.soak.asgi:application"
COMMAND = (
    "daphne",
    # Twisted's 50 are too few for a thousand that come at once while the machine is busy: the
    # system would have some of them try again for half a minute.
    *("-e", "tcp:port=0:interface=127.0.0.1:backlog=2048"),
    *("--ping-interval", "3", "--ping-timeout", "6"),
    *("--websocket_connect_timeout", "20"),  # those who come slowly, to a busy machine, are let in
)


@dataclass(frozen=True)
class Soaked:
    """The server, and what it writes besides its errors."""

    server: Server
    database: dict[str, Any]
    logs: tuple[Path, ...]

    def memory(self) -> int:
        """Return how many bytes of the server are in memory."""
        return int(self._proc("statm").read_text().split()[1]) * PAGE

    def threads(self) -> int:
        """Return how many threads the system knows of, Python's or not."""
        return len(list(self._proc("task").iterdir()))

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self.server.process.pid}/{name}")

    def database_connections(self) -> int:
        """Return how many connections PostgreSQL has to the server."""
        name = self.database["NAME"]
        with psycopg.connect(
            host=self.database["HOST"],
            port=self.database["PORT"],
            user=self.database["USER"],
            dbname="postgres",
        ) as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            row = connection.execute(asked, [name]).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soaked]:
    """Our Daphne, with a PostgreSQL of its own. Afterwards it stops, with a clean log."""
    folder = tmp_path_factory.mktemp("soak")
    logs = folder / "records.log", folder / "access.log"
    with ExitStack() as stack:
        database = create_database(stack.enter_context(running_postgresql()))
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.live.soak.settings",
            "TEST_DATABASE": json.dumps(database),
        }
        prepare(environment)
        environment["TEST_LOG"] = str(logs[0])
        if os.environ.get("SOAK_LAYER") == "redis":
            redis = RedisServer(folder)
            stack.callback(redis.stop)
            environment["TEST_REDIS"] = redis.url
        kind = replace(DAPHNE, command=(*COMMAND, "--access-log", str(logs[1])))
        server = Server(kind, APPLICATION, folder / "server.log", environment)
        stack.callback(server.kill)
        yield Soaked(server, database, logs)
        server.stop()


def create_database(database: dict[str, Any]) -> dict[str, Any]:
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute(f"CREATE DATABASE {database['NAME']}")
    return database


def prepare(environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.live.soak.prepare"],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        timeout=60,
    )
