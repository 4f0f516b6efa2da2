"""The process of a `LiveServer`: `python -m bolt_ws.testing.serve`.

It reads a `Configuration` as a line of JSON, and serves until its standard input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from daphne.cli import CommandLineInterface
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.signals import connection_created
from django.test.utils import setup_test_environment

HOST = "127.0.0.1"
GRACE = 5.0
"""Seconds that the server has to stop when the test run is gone."""


class _CommandLine(CommandLineInterface):  # type: ignore[misc]
    """The `daphne` command, which serves bolt_ws's own application where no other is named."""

    def load_asgi_app(self, asgi_app_path: str) -> Any:
        if asgi_app_path:
            return super().load_asgi_app(asgi_app_path)
        from ..asgi import get_asgi_application

        return get_asgi_application()


def main() -> None:
    """Serve what standard input says."""
    configuration = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_test_run, daemon=True).start()
    _use_databases(configuration["databases"])
    # No e-mail leaves a test, and Django's error pages are those of the test run.
    setup_test_environment(debug=configuration["debug"])
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, HOST, "localhost"]
    _serve(configuration["application"] or "")


def _serve(application: str) -> None:
    from twisted.internet import reactor

    command_line = _CommandLine()

    def report() -> None:
        port = command_line.server.listening_addresses[0][1]
        # Past sys.stdout, which the project may have replaced; `LiveServer` looks for this line.
        os.write(1, f"bolt_ws.testing: listening on port {port}\n".encode())

    reactor.callWhenRunning(report)
    command_line.run(["--bind", HOST, "--port", "0", application])


def _use_databases(names: Mapping[str, str | None]) -> None:
    """Use the databases of these names, and none that is not a test's.

    A test run makes test databases only for the aliases that its tests ask for. The others keep
    their names in it, and Django's test cases forbid their use, which they cannot here.
    """
    real = set()
    for alias, name in names.items():
        database = connections.settings[alias]
        if str(name) == str(database["NAME"]) != str(database["TEST"]["NAME"]):
            real.add(alias)
        database["NAME"] = name

    def forbid(connection: Any, **kwargs: Any) -> None:
        if connection.alias in real:
            connection.close()
            raise ImproperlyConfigured(
                f"The live server does not use the database {connection.alias!r}: the test run "
                "made no test database for it. Does the test name it, as in "
                f"@pytest.mark.django_db(databases=[..., {connection.alias!r}])?"
            )

    connection_created.connect(forbid, weak=False)


def _end_with_the_test_run() -> None:
    """Wait for the end of standard input, which comes with the end of whoever started us."""
    while os.read(0, 1024):  # past sys.stdin, whose lock Python wants when it exits
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
