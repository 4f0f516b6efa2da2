"""A PostgreSQL, and servers with settings of the database and of bolt_ws."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.live.server import DAPHNE, ROOT, Server
from tests.testing.postgresql import running_postgresql

SETTINGS = "tests.live.databases.settings"
USERS = 20
THREADS = {"one": None, "four": 4}
"""The servers by name: their `DB_THREADS`."""
SYNC_THREADS = 5
POOL_SIZE = 4

GetServer = Callable[[str], Server]


class Database:
    """The database of the site, looked at from outside."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self._admin = self._connect("postgres")
        self._admin.execute(f"create database {settings['NAME']}")

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        keys = {"host": "HOST", "port": "PORT", "user": "USER"}
        place = {key: self.settings[name] for key, name in keys.items()}
        return psycopg.connect(dbname=name, autocommit=True, **place)

    def connections(self, name: str) -> int:
        """Return how many connections those of an `application_name` are."""
        query = "select count(*) from pg_stat_activity where application_name = %s"
        return int(self._ask(query, name))

    def terminate(self, pid: int) -> None:
        """Have PostgreSQL drop a connection."""
        assert self._ask("select pg_terminate_backend(%s, 5000)", pid)

    def _ask(self, query: str, *arguments: Any) -> Any:
        row = self._admin.execute(query, arguments).fetchone()
        assert row is not None
        return row[0]

    def close(self) -> None:
        self._admin.close()


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """A database with its tables and `USERS` users."""
    with running_postgresql() as settings:
        database = Database(settings)
        try:
            subprocess.run(
                [sys.executable, "-m", "tests.live.databases.prepare", str(USERS)],
                cwd=ROOT,
                env={**os.environ, **environment({"default": settings})},
                check=True,
                timeout=60,
            )
            yield database
        finally:
            database.close()


@pytest.fixture(scope="session")
def servers(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GetServer]:
    """Return a server, started when it is asked for first.

    One database has three aliases: "default" keeps connections for ever, "aging" for a second, and
    "pooled" has psycopg's pool. For PostgreSQL they have the server's name before theirs.
    """
    directory = tmp_path_factory.mktemp("databases")
    running: dict[str, Server] = {}

    def get(name: str) -> Server:
        if name not in running:
            log = directory / f"{name}.log"
            variables = variables_of(name, database.settings)
            running[name] = Server(DAPHNE, "tests.live.databases.asgi:application", log, variables)
        return running[name]

    try:
        yield get
        for each in running.values():
            each.stop()
    finally:
        for each in running.values():
            each.kill()


def variables_of(name: str, database: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a server."""
    options: dict[str, dict[str, Any]] = {
        "default": {"CONN_MAX_AGE": None},
        "aging": {"CONN_MAX_AGE": 1},
        "pooled": {"OPTIONS": {"pool": {"min_size": 1, "max_size": POOL_SIZE}}},
    }
    databases: dict[str, Any] = {alias: {**database, **more} for alias, more in options.items()}
    for alias, settings in databases.items():
        settings["OPTIONS"] = {
            **settings.get("OPTIONS", {}),
            "application_name": f"{name}-{alias}",
        }
    return environment(databases, SYNC_THREADS=SYNC_THREADS, DB_THREADS=THREADS[name])


def environment(databases: dict[str, Any], **settings: Any) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "TEST_DATABASES": json.dumps(databases),
        "TEST_BOLT_WS": json.dumps(settings),
    }
