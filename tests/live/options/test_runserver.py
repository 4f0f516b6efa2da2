"""`manage.py runserver`, with its reloader and without."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.live.server import (
    DAPHNE,
    STARTED_WITHIN,
    STOPPED_WITHIN,
    Server,
    close_of,
    connected,
    refused,
)

from .conftest import KINDS, Servers, environment, running
from .raw import answers, fetch, handshake, opened, read_response
from .test_http import CSS

RUNSERVER = ("django", "runserver", "--insecure")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module that a server imports, and so watches."""
    path = tmp_path_factory.mktemp("imported") / "imported.py"
    path.touch()
    return path


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, database: Path, imported: Path
) -> Iterator[Servers]:
    alone = (*RUNSERVER, "--noreload", "--websocket_handshake_timeout", "1")
    kinds = {("alone", whose): replace(kind, command=alone) for whose, kind in KINDS.items()}
    watched = {"TEST_IMPORTED": imported.stem, "PYTHONPATH": str(imported.parent)}
    kinds["reloading", "ours"] = replace(DAPHNE, command=RUNSERVER, environment=watched)
    kinds["noasgi", "ours"] = replace(
        DAPHNE,
        command=(*RUNSERVER, "--noreload", "--noasgi"),
        listening=r"Starting (?:WSGI )?development server at http://127\.0\.0\.1:(\d+)/",
        exit_codes=(-signal.SIGTERM,),
    )
    directory = tmp_path_factory.mktemp("runserver")
    logged = {**environment(database), "TEST_LOGGED": "yes"}
    with running(kinds, directory, logged, application="127.0.0.1:0") as servers:
        yield servers


async def check_whose(server: Server, whose: str) -> None:
    """See whose WebSockets are spoken: only ours send a reason."""
    async with connected(server, "/close/4001/reason") as client:
        assert await close_of(client) == (4001, "reason" if whose == "ours" else "")
    if whose == "ours":
        async with connected(server, "/close/1008/reason") as client:
            assert await close_of(client) == (1008, "reason")


async def check_served(server: Server, whose: str) -> None:
    async with connected(server, "/echo") as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    await check_whose(server, whose)
    assert b"Django site admin" in (await fetch(server, "/admin/login/")).body
    assert (await fetch(server, "/static/admin/css/base.css")).body == CSS.read_bytes()
    server.check_log()


async def test_served(servers: Servers, whose: str) -> None:
    await check_served(servers["alone", whose], whose)


async def test_websocket_handshake_timeout(servers: Servers, whose: str) -> None:
    start = time.monotonic()
    answer = await answers(servers["alone", whose], handshake("/wait/late"))
    assert time.monotonic() - start < 6
    if whose == "ours":  # stock drops the connection
        assert answer.startswith(b"HTTP/1.1 403 ")


async def test_the_log(servers: Servers, whose: str) -> None:
    """The lines are runserver's own."""
    server = servers["alone", whose]
    async with connected(server, "/echo/logged?token=secret"):
        pass
    assert (await refused(server, "/refuse/logged?token=secret"))[0] == 403
    await server.logged("DISCONNECT /refuse/logged")
    await server.logged("DISCONNECT /echo/logged")
    line = r"(?m)^WebSocket (\w+) /(\w+)/logged \[127\.0\.0\.1:\d+\]$"
    lines = re.findall(line, server.log)
    assert [action for action, path in lines if path == "echo"] == [
        "HANDSHAKING",
        "CONNECT",
        "DISCONNECT",
    ]
    assert [action for action, path in lines if path == "refuse"] == [
        "HANDSHAKING",
        "REJECT",
        "DISCONNECT",
    ]
    server.check_log()


async def test_reloading(servers: Servers, imported: Path) -> None:
    server = servers["reloading", "ours"]
    await check_served(server, "ours")
    start = len(server.log)
    later = time.time()
    async with connected(server, "/echo") as client:
        # The reloader looks once a second, and may not have looked for the first time.
        while " changed, reloading" not in server.log[start:]:
            later += 10
            os.utime(imported, (later, later))
            await asyncio.sleep(0.3)
        with pytest.raises(ConnectionClosed):
            await client.recv()
    listening = server.kind.listening
    found = await asyncio.to_thread(server.wait_for, listening, STARTED_WITHIN, 1, start)
    server.address = f"127.0.0.1:{found[1]}"
    await check_served(server, "ours")


async def test_noasgi(servers: Servers) -> None:
    server = servers["noasgi", "ours"]
    page = await fetch(server, "/page/")
    assert page.body == b"a page, http, 127.0.0.1"
    assert (page.header("Server") or "").startswith("WSGIServer/")
    async with opened(server) as (reader, writer):
        writer.write(handshake("/page/"))
        assert (await read_response(reader)).status == 200


async def test_control_c(servers: Servers) -> None:
    """The last test: it ends the servers."""

    async def interrupt(whose: str) -> int | None:
        server = servers["alone", whose]
        async with connected(server, "/stay/stayer") as client:
            if whose == "stock":  # which forgets to cancel within a second of an upgrade
                await asyncio.sleep(1.2)
            server.process.send_signal(signal.SIGINT)
            code, _ = await close_of(client)
        await asyncio.to_thread(server.process.wait, STOPPED_WITHIN / 2)
        assert server.process.returncode == 0
        await server.logged("stayer was cancelled")
        return code

    assert await asyncio.gather(*map(interrupt, KINDS)) == [1012, 1006]
