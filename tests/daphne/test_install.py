"""Who gets the server: `install()` in a process of its own, for it imports Twisted's reactor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 60.0  # seconds

SCRIPT = """
import json, logging, sys
import django
from django.test import override_settings
django.setup()
import bolt_ws.daphne as ours

found, logged = {}, []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.getMessage())
logging.getLogger("bolt_ws.daphne").addHandler(handler)

ours.install()
found["imported by nobody"] = "daphne.server" in sys.modules

import daphne.cli, daphne.server
import daphne.management.commands.runserver as runserver
from bolt_ws.daphne import compatibility

def names():
    return [
        daphne.cli.CommandLineInterface.server_class.__module__,
        runserver.Command.server_cls.__module__,
    ]

def reset():
    daphne.cli.CommandLineInterface.server_class = daphne.server.Server
    runserver.Command.server_cls = daphne.server.Server

with override_settings(BOLT_WS={"DAPHNE": "stock"}):
    ours.install()
    found["stock"] = names()

kept = compatibility.misfit
compatibility.misfit = lambda: "a test says so"
ours.install(); ours.install()
found["misfit"] = names()
ours._server_class.cache_clear()

def moved():
    from twisted.internet import this_was_moved

compatibility.misfit = moved
ours.install()
found["moved"], found["logged"] = names(), logged
compatibility.misfit = kept
ours._server_class.cache_clear()

class Own(daphne.server.Server): ...
daphne.cli.CommandLineInterface.server_class = Own
ours.install()
found["own"] = names()
reset()

ours.install(); ours.install()
found["complete"] = names()
reset()

del sys.modules["daphne.management.commands.runserver"]
ours.install()
found["command only"] = names()

# What does not fit
from daphne.http_protocol import WebRequest
from daphne.server import Server
from twisted.internet import tcp
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.web.http import HTTPChannel

def other(self): ...

misfits = {"": kept()}
for owner, name, instead in [
    (daphne.http_protocol, "HTTPFactory", None),
    (Server, "listen_success", None),
    (Server, "log_action", None),
    (Server, "run", other),
    (WebRequest, "process", other),
    (AsyncioSelectorReactor, "__init__", other),
    (HTTPChannel, "allContentReceived", other),
    (tcp.Connection, "getHandle", None),
]:
    was = getattr(owner, name)
    setattr(owner, name, instead) if instead else delattr(owner, name)
    misfits[name] = kept()
    setattr(owner, name, was)
found["misfits"] = misfits
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> Any:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


OURS, STOCK = "bolt_ws.daphne.server", "daphne.server"


def test_nobody_asks_for_it(found: Any) -> None:
    """Neither command runs, so that Twisted is not imported either."""
    assert found["imported by nobody"] is False


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("complete", [OURS, OURS]),
        ("stock", [STOCK, STOCK]),
        ("misfit", [STOCK, STOCK]),
        ("moved", [STOCK, STOCK]),
        ("own", ["__main__", OURS]),
        ("command only", [OURS, STOCK]),
    ],
)
def test_classes(found: Any, case: str, expected: list[str]) -> None:
    assert found[case] == expected


def test_one_warning_says_why(found: Any) -> None:
    first, second = found["logged"]
    assert "a test says so" in first
    assert "this_was_moved" in second


def test_misfits(found: Any) -> None:
    misfits = dict(found["misfits"])
    assert misfits.pop("") is None
    for name, reason in misfits.items():
        assert reason.startswith("other() does not use ") or reason.endswith(f" has no {name}")
