"""Whose server the `daphne` command and `runserver` use, and who imports Twisted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.server import ROOT, Server, close_of, connected

from .conftest import KINDS, environment, running
from .raw import fetch

WITHIN = 30.0  # seconds
OURS, STOCK = "bolt_ws.daphne.server", "daphne.server"

SERVER_CLASSES = """
import daphne.cli
import tests.live.options.{module}
import daphne.management.commands.runserver
found = [
    daphne.cli.CommandLineInterface.server_class.__module__,
    daphne.management.commands.runserver.Command.server_cls.__module__,
]
"""

IMPORTED = """
import sys
from django.core.management import execute_from_command_line
import uvicorn

found = {}

def look(after):
    names = ("twisted", "daphne.server", "bolt_ws.daphne.server")
    found[after] = [name for name in names if name in sys.modules]

execute_from_command_line(["manage.py", "check"])
look("check")
uvicorn.Config("tests.live.options.asgi:application").load()
look("uvicorn")
import tests.live.options.asgi
look("import")

import daphne.cli
from bolt_ws.daphne import install
install()
found["the command"] = daphne.cli.CommandLineInterface.server_class.__module__
"""

MISFITS = """
import daphne.http_protocol, daphne.server
from twisted.internet import tcp
from bolt_ws.daphne.compatibility import misfit

def other(self): ...

GONE = object()
found = {"nothing": misfit()}
for owner, name, instead in [
    (daphne.http_protocol, "HTTPFactory", GONE),
    (daphne.http_protocol, "WebRequest", GONE),
    (daphne.server.Server, "listen_success", GONE),
    (daphne.server.Server, "log_action", GONE),
    (daphne.server.Server, "run", other),
    (daphne.http_protocol.WebRequest, "process", other),
    (tcp.Connection, "getHandle", GONE),
]:
    kept = getattr(owner, name)
    delattr(owner, name) if instead is GONE else setattr(owner, name, instead)
    found[name] = misfit()
    setattr(owner, name, kept)
found["nothing again"] = misfit()
"""


async def found_by(script: str, **changes: str) -> Any:
    """Return what a script of its own process has found, and what it has logged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{script}\nimport json\nprint(json.dumps(found))",
        cwd=ROOT,
        env={**os.environ, **environment(), **changes},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return json.loads(out.splitlines()[-1]), err.decode()


@pytest.mark.parametrize(
    ("daphne", "module", "expected"),
    [("complete", "asgi", OURS), ("stock", "asgi", STOCK), ("complete", "misfit", STOCK)],
)
async def test_server_classes(daphne: str, module: str, expected: str) -> None:
    script = SERVER_CLASSES.replace("{module}", module)
    (cli, runserver), log = await found_by(script, TEST_DAPHNE=daphne)
    assert (cli, runserver) == (expected, expected)
    assert log.count("a test says so") == (1 if module == "misfit" else 0)


async def test_only_daphne_imports_twisted() -> None:
    """Where "daphne" is no app, only its command does."""
    found, _ = await found_by(IMPORTED, TEST_DAPHNE_APP="no")
    assert found == {"check": [], "uvicorn": [], "import": [], "the command": OURS}


async def test_misfits() -> None:
    found, _ = await found_by(MISFITS)
    assert found.pop("nothing") is None
    assert found.pop("nothing again") is None
    for name, reason in found.items():
        expected = {"run": "other()", "process": "other()"}.get(name, name)
        assert expected in reason


@pytest.fixture
def misfit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which ours does not fit."""
    key = ("misfit", "ours")
    directory = tmp_path_factory.mktemp("misfit")
    application = "tests.live.options.misfit:application"
    with running({key: KINDS["ours"]}, directory, environment(), application) as servers:
        yield servers[key]


async def test_a_misfit_is_stock(misfit: Server) -> None:
    async with connected(misfit, "/close/4001/reason") as client:
        assert await close_of(client) == (4001, "")
    assert (await fetch(misfit, "/page/")).status == 200
    lines = [line for line in misfit.log.splitlines() if "a test says so" in line]
    assert len(lines) == 1
    assert " WARNING " in lines[0]
