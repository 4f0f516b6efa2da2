"""A PostgreSQL of the tests' own: in a temporary directory, reached by a socket in it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.requirements import missing

USER = "bolt_ws"
UNPRIVILEGED = ("postgres", "nobody")
"""Who runs the server instead of root, as which it does not start."""
STOPPED_WITHIN = 30.0  # seconds

# The server is watched by a shell that stops it as soon as its own standard input ends, which it
# does however the tests end, and if they were killed. No network, and nothing written for good.
SCRIPT = """
initdb="$1" pg_ctl="$2" user="$3" dir="$4"
options="-c listen_addresses='' -c port=5432 -c unix_socket_directories='$dir'"
options="$options -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
trap 'rm -rf "$dir"' EXIT
trap '' PIPE  # nobody may be left to hear that it is ready
"$initdb" -D "$dir/data" -U "$user" -A trust -E UTF8 --no-locale --no-sync >"$dir/log" 2>&1 &&
    "$pg_ctl" -D "$dir/data" -w -o "$options" start >>"$dir/log" 2>&1 || {
    cat "$dir/log"
    exit 1
}
echo ready
cat >/dev/null
"$pg_ctl" -D "$dir/data" -w -m immediate stop >/dev/null
"""


@contextmanager
def running_postgresql() -> Iterator[dict[str, Any]]:
    """A server that runs for the block: Django's settings of a database on it.

    The test is skipped where PostgreSQL is not installed. Raises `RuntimeError` with the server's
    log if it does not start.
    """
    initdb, pg_ctl = _find_program("initdb"), _find_program("pg_ctl")
    identity = _identity()
    directory = Path(tempfile.mkdtemp(prefix="bolt_ws-"))
    if identity:
        shutil.chown(directory, identity["user"], identity["group"])
    watch = subprocess.Popen(
        ["sh", "-c", SCRIPT, "sh", initdb, pg_ctl, USER, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        # A PGPORT or a PGDATA is meant for another server.
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        # Ctrl-C in a terminal is for pytest alone, which then stops the server.
        start_new_session=True,
        **identity,
    )
    assert watch.stdin
    assert watch.stdout
    try:
        if (line := watch.stdout.readline()) != "ready\n":
            raise RuntimeError(f"PostgreSQL did not start:\n{line}{watch.stdout.read()}")
        yield {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "bolt_ws",
            "USER": USER,
            "HOST": str(directory),
            "PORT": "5432",
        }
    finally:
        watch.stdin.close()
        watch.stdout.close()
        watch.wait(STOPPED_WITHIN)


def _find_program(name: str) -> str:
    """Return the path of a program of the server. Debian keeps them out of PATH."""
    if found := shutil.which(name):
        return found
    debian = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    programs = sorted(debian, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])
    if not programs:
        missing("postgresql", f"needs PostgreSQL: there is no {name}")
    return str(programs[-1])


def _identity() -> dict[str, Any]:
    """Return whom the server runs as, as `Popen` takes it: us, unless we are root."""
    if os.geteuid() != 0:
        return {}
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    missing("postgresql", f"needs another user than root: there is none of {UNPRIVILEGED}")
