"""Servers with options, each on ours and on stock, started side by side."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.server import DAPHNE, ROOT, STOCK_DAPHNE, Kind, Server

APPLICATION = "tests.live.options.asgi:application"
KINDS = {"ours": DAPHNE, "stock": STOCK_DAPHNE}

Servers = Mapping[tuple[str, str], Server]
"""By the name of the options, and "ours" or "stock"."""
Launch = Callable[[Mapping[str, Sequence[str]]], AbstractContextManager[Servers]]


@pytest.fixture(params=KINDS)
def whose(request: pytest.FixtureRequest) -> str:
    """Whose WebSockets: "ours" or "stock"."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site's database, with its one user."""
    path = tmp_path_factory.mktemp("site") / "database"
    subprocess.run(
        [sys.executable, "-m", "tests.live.options.prepare"],
        cwd=ROOT,
        env={**os.environ, **environment(path)},
        check=True,
        timeout=60,
    )
    return path


def environment(database: Path | str = ":memory:") -> dict[str, str]:
    """The variables that the site's settings need."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.live.options.settings",
        "TEST_DATABASE": str(database),
    }


STOCK_FAILURES = re.compile(
    r"(?m)^(KeyError: 'application_instance'|builtins\.KeyError: <WebSocketProtocol .*"
    r"|builtins\.AttributeError: 'WebSocketProtocol' object has no attribute 'server')$"
)
"""What stock raises when a connection or the server ends. Only Twisted's log shows it."""


class OptionsServer(Server):
    """A server that may have to kill an application, and on stock may fail as stock does."""

    def check_log(self) -> None:
        with self._grown:  # so that nothing is added meanwhile
            log, expected = self.log, self.expected
            self.log = re.sub("(?m)^.* took too long to shut down and was killed.$", "", log)
            if self.kind.environment == STOCK_DAPHNE.environment:
                self.expected = expected + STOCK_FAILURES.findall(log)
                self.log = self.log.replace("--- <exception caught here> ---\n", "")  # Twisted's
            try:
                super().check_log()
            finally:
                self.log, self.expected = log, expected


@contextmanager
def running(
    kinds: Mapping[tuple[str, str], Kind],
    directory: Path,
    variables: Mapping[str, str],
    application: str = APPLICATION,
) -> Iterator[Servers]:
    """Servers of these kinds, started and stopped side by side."""

    def start(key: tuple[str, str], kind: Kind) -> Server:
        log = directory / f"{'-'.join(key)}.log"
        command = tuple(each.replace("{log}", str(log)) for each in kind.command)
        return OptionsServer(replace(kind, command=command), application, log, variables)

    servers: dict[tuple[str, str], Server] = {}
    with ThreadPoolExecutor(len(kinds)) as threads:
        starting = {key: threads.submit(start, key, kind) for key, kind in kinds.items()}
        try:
            for key, future in starting.items():
                servers[key] = future.result()
            yield servers
            list(threads.map(Server.stop, servers.values()))
        finally:
            for future in starting.values():
                if future.exception() is None:
                    future.result().kill()


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """Start, for each name, one server of ours and one of stock with its options.

    "{log}" in an option becomes the path of the server's log.
    """

    def launch(options: Mapping[str, Sequence[str]]) -> AbstractContextManager[Servers]:
        kinds = {
            (name, whose): replace(kind, command=(*kind.command, *each))
            for name, each in options.items()
            for whose, kind in KINDS.items()
        }
        return running(kinds, tmp_path_factory.mktemp("servers"), environment())

    return launch
