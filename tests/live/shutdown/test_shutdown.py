"""SIGTERM and SIGINT on any server: handlers see it, `on_close` runs, clients get 1012."""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ..server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind, Server, connected, refused

KINDS = [DAPHNE, STOCK_DAPHNE, UVICORN]
HANDLERS = ["/pushes", "/sleeps", "/receives", "/listens", "/blocks", "/cleans-up"]
WITHIN = 25.0  # seconds, for one server from its start to its end
FORGETS_FOR = 1.2  # seconds after an upgrade in which stock Daphne fails to cancel anything

Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a server with more options and more of `BOLT_WS`; afterwards its log is checked."""

    @asynccontextmanager
    async def started(kind: Kind, *options: str, **settings: Any) -> AsyncIterator[Server]:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.live.shutdown.settings",
            "TEST_BOLT_WS": json.dumps(settings),
        }
        kind = replace(kind, command=(*kind.command, *options))
        application = "tests.live.shutdown.asgi:application"
        log = tmp_path / f"{kind}.log"
        server = await asyncio.to_thread(Server, kind, application, log, environment)
        try:
            async with asyncio.timeout(WITHIN):
                yield server
                await exited(server)
        finally:
            await asyncio.to_thread(server.kill)
        server.check_log()

    return started


def stop(server: Server, how: signal.Signals = signal.SIGTERM) -> float:
    """Ask a server to stop, and return when."""
    server.process.send_signal(how)
    return time.monotonic()


async def exited(server: Server) -> float:
    """Wait until the process has ended as it should, and return when."""
    code = await asyncio.to_thread(server.process.wait, WITHIN)
    expected = (0, -signal.SIGTERM) if server.kind.name == UVICORN.name else (0,)
    assert code in expected, server.log
    return time.monotonic()


async def last_of(client: ClientConnection) -> tuple[str, int | None]:
    """Return the last message and the close code."""
    message = ""
    try:
        while True:
            message = str(await client.recv())
    except ConnectionClosed:
        return message, client.close_code


@asynccontextmanager
async def clients_of(server: Server, paths: Iterable[str]) -> AsyncIterator[dict[str, Any]]:
    """Clients of handlers that run. What they hear at last is there at the end."""
    async with asyncio.TaskGroup() as group:
        ready = {path: asyncio.Event() for path in paths}

        async def hear(path: str) -> tuple[str, int | None]:
            async with connected(server, path, close_timeout=1) as client:
                assert await client.recv() == "ready"
                ready[path].set()
                return await last_of(client)

        tasks = {path: group.create_task(hear(path)) for path in ready}
        await asyncio.gather(*(each.wait() for each in ready.values()))
        heard: dict[str, Any] = {}
        yield heard
    heard.update({path: task.result() for path, task in tasks.items()})


def check_end(server: Server, path: str) -> None:
    """See that a handler was told of its end, and its callback called, once."""
    said = [line.removeprefix(f"{path} ") for line in server.log.splitlines() if path in line]
    wanted = ["was cancelled", "has ended", "closes with 1012"]
    assert [each for each in said if each in wanted] == wanted, server.log


async def side_by_side(*scenarios: Awaitable[Any]) -> list[Any]:
    """Await all, each to its end, so that no server is left behind, and return what they return."""
    results = await asyncio.gather(*scenarios, return_exceptions=True)
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return results


async def stops(start: Start, kind: Kind, after: float = 0) -> None:
    async with start(kind) as server, clients_of(server, [*HANDLERS, "/hangs"]) as heard:
        waiting = asyncio.create_task(refused(server, "/waits"))
        await server.logged("/waits has begun")
        await asyncio.sleep(after)
        begun = stop(server)
        assert (await waiting)[0] == kind.status(503)
        assert await exited(server) - begun < 8
    code, _ = kind.close(1012)
    assert {path: code for path, (_, code) in heard.items()} == dict.fromkeys(heard, code)
    for path in HANDLERS:
        check_end(server, path)
        if kind is not UVICORN:  # which closes by itself after 0.1 s
            assert heard[path][0] == "goodbye", (kind, path)
    # Others may print between the two.
    assert re.search(r"(?m)^/waits was cancelled\n(.*\n)*/waits has ended$", server.log)
    assert server.log.count("/hangs hangs\n") == 1
    assert server.log.count("on_close of /hangs (hangs) took over 5 s and was given up") == 1


async def test_handlers_are_cancelled_and_clients_told(start: Start) -> None:
    """Whoever sleeps or waits for whatever, and a callback that hangs is given up."""
    later = stops(start, STOCK_DAPHNE, FORGETS_FOR)
    await side_by_side(*(stops(start, kind) for kind in KINDS), later)


@pytest.mark.timing
async def test_uvicorn_leaves_a_tenth_of_a_second(start: Start) -> None:
    """That is enough for a goodbye, but not after a long cleanup."""
    async with start(UVICORN) as server, clients_of(server, ["/sleeps", "/cleans-up"]) as heard:
        stop(server)
        await exited(server)
    assert heard == {"/sleeps": ("goodbye", 1012), "/cleans-up": ("", 1012)}


def ask(page: HTTPConnection, path: str = "/health") -> int:
    """Return the status of a page."""
    page.request("GET", path)
    with page.getresponse() as answer:
        answer.read()
    return answer.status


async def test_several_signals_and_a_page_about_it(start: Start) -> None:
    """Daphne still answers who was connected, uvicorn only what it was asked before."""

    async def once(kind: Kind) -> None:
        async with start(kind) as server, clients_of(server, ["/cleans-up"]) as heard:
            with closing(HTTPConnection(server.address, timeout=WITHIN)) as page:
                assert await asyncio.to_thread(ask, page) == 200
                if kind is UVICORN:
                    answer = asyncio.create_task(asyncio.to_thread(ask, page, "/slow"))
                    await server.logged("/slow has begun")
                stop(server, signal.SIGINT)
                await server.logged("/cleans-up cleans up")
                stop(server, signal.SIGTERM)
                if kind is not UVICORN:
                    answer = asyncio.create_task(asyncio.to_thread(ask, page))
                assert await answer == 503
                assert "/cleans-up has cleaned up" not in server.log
        assert heard["/cleans-up"][1] == kind.close(1012)[0]
        check_end(server, "/cleans-up")
        assert server.log.count("/cleans-up cleans up\n") == 1

    await side_by_side(*map(once, KINDS))


async def test_uvicorn_before_any_connection(start: Start) -> None:
    async with start(UVICORN) as server:
        with closing(HTTPConnection(server.address, timeout=WITHIN)) as page:
            answer = asyncio.create_task(asyncio.to_thread(ask, page, "/slow"))
            await server.logged("/slow has begun")
            stop(server)
            assert await answer == 503


async def test_a_handler_that_goes_on_is_dropped(start: Start) -> None:
    """That ours does it, the tests of its flow see."""

    async def once(kind: Kind, after: float, *options: str) -> str:
        async with (
            start(kind, *options, DAPHNE_SHUTDOWN_TIMEOUT=1) as server,
            clients_of(server, ["/ignores"]) as heard,
        ):
            await asyncio.sleep(after)
            begun = stop(server)
            assert await exited(server) - begun < 5
        assert heard["/ignores"] == ("", 1012 if kind is UVICORN else 1006)
        return server.log

    *daphne, uvicorn = await side_by_side(
        once(STOCK_DAPHNE, 0),
        once(STOCK_DAPHNE, FORGETS_FOR),
        once(UVICORN, 0, "--timeout-graceful-shutdown", "1"),
    )
    for log in daphne:
        assert log.count("Dropped 1 WebSocket connections that did not end") == 1
    assert "Cancel 1 running task(s), timeout graceful shutdown exceeded" in uvicorn
