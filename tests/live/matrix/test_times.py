"""Pings, deadlines, limits and the end: what is seen of servers with options.

They are of all kinds, side by side, and looked at once.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.live.server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind, Server

from .conftest import KINDS, StartServer
from .differences import expected
from .script import ACCEPT, ECHO, MEASURE, RECEIVE, event, start
from .wire import CONTINUATION, FIN, PING, PONG, TEXT, dialled, frame, handshake, playing

FRAME = 1000
"""The limit of a frame, where there is one."""
OPTIONS = {
    "daphne": (
        *("--ping-interval", "1", "--ping-timeout", "1", "--websocket_connect_timeout", "1"),
        *("--websocket-max-frame-size", str(FRAME)),
    ),
    "uvicorn": ("--ws-ping-interval", "1", "--ws-ping-timeout", "1"),
}

WITHOUT_TLS = True


async def pinged(server: Server) -> str:
    """A client that answers pings stays."""
    async with playing(server, ACCEPT, ECHO) as wire:
        first, payload = await wire.read_frame()
        assert first == FIN | PING
        await wire.send(frame(PONG, payload), frame(TEXT, b"still there?"))
        assert await wire.read_text() == "still there?"
    return "pinged"


async def silent(server: Server) -> dict[str, Any]:
    """A client that does not answer them goes."""
    async with playing(server, RECEIVE, ACCEPT, RECEIVE) as wire:
        end = await wire.read_end(answers=False)
        return {"end": end, "code": (await wire.report())[-1]["code"]}


async def unanswered(server: Server) -> int | str | None:
    """A handshake that the application does not answer."""
    if server.kind.name == UVICORN.name:
        return None
    async with dialled(server) as wire:
        await wire.send(handshake(wire, RECEIVE, RECEIVE))
        try:
            await wire.read_head()
        except (asyncio.IncompleteReadError, ConnectionError):
            return "dropped"
        return wire.status


async def unfinished(server: Server) -> int | str | None:
    """A refusal that the application begins and does not finish."""
    if server.kind.name != DAPHNE.name:
        return None
    async with dialled(server) as wire:
        await wire.send(handshake(wire, RECEIVE, start(404), RECEIVE))
        await wire.read_head()
        return wire.status


async def limited(server: Server) -> int | str | None:
    """A frame that is too large, after one that is not, and a larger message of such frames."""
    if server.kind.name == UVICORN.name:
        return None
    large = b"x" * FRAME
    async with playing(server, ACCEPT, MEASURE) as wire:
        await wire.send(frame(TEXT, large))
        assert await wire.read_text() == f"text {FRAME}"
        await wire.send(frame(TEXT, large, fin=False), frame(CONTINUATION, large))
        assert await wire.read_text() == f"text {2 * FRAME}"
        await wire.send(frame(TEXT, large + b"x"))
        return await wire.read_code()


async def stopped(server: Server) -> dict[str, Any]:
    """What clients see of its end: one at rest, one whose handler has a last word, and one in its
    handshake.
    """
    async with (
        playing(server, ACCEPT, ECHO) as idle,
        playing(server, ACCEPT, ("hang", event("send", text="farewell"))) as told,
        dialled(server) as waiting,
    ):
        await waiting.send(handshake(waiting, RECEIVE, ("hang",)))
        async with playing(server, ACCEPT, ("started", waiting.name)) as other:
            await other.read_end()
        server.signal_stop()
        await waiting.read_head()
        found: dict[str, Any] = {"handshake": waiting.status}
        found["idle"] = await idle.read_end()
        if server.kind.name == DAPHNE.name:
            found["last word"] = await told.read_text()
        found["other"] = await told.read_end()
    if server.kind.name == DAPHNE.name:
        found["exit code"] = await asyncio.to_thread(server.process.wait, 5)
        server.stop()
    return found


async def observed(server: Server) -> dict[str, Any]:
    """All that is to be seen of a server with short times."""
    tests = (pinged, silent, unanswered, unfinished, limited)
    found = await asyncio.gather(*(each(server) for each in tests))
    seen: dict[str, Any] = {each.__name__: value for each, value in zip(tests, found, strict=True)}
    if server.kind.name != STOCK_DAPHNE.name:
        seen["stopped"] = await stopped(server)
    return seen


@pytest.fixture(scope="session")
def observations(start_server: StartServer) -> dict[str, dict[str, Any]]:
    """What is to be seen of each kind, by its name."""

    def observe(kind: Kind) -> dict[str, Any]:
        server = start_server(kind, *OPTIONS[kind.command[0]])
        try:
            return asyncio.run(observed(server))
        finally:
            server.kill()

    with ThreadPoolExecutor(len(KINDS)) as threads:
        found = threads.map(observe, KINDS)
        return {kind.name: seen for kind, seen in zip(KINDS, found, strict=True)}


Observations = dict[str, dict[str, Any]]


async def test_pings(server: Server, observations: Observations) -> None:
    assert observations[server.kind.name]["pinged"] == "pinged"


async def test_pings_that_are_not_answered(server: Server, observations: Observations) -> None:
    right = {"end": "dropped", "code": 1006}
    right = expected(server.kind, "a client that does not answer pings", right)
    assert observations[server.kind.name]["silent"] == right


async def test_handshakes_that_are_not_answered(server: Server, observations: Observations) -> None:
    right = expected(server.kind, "a handshake that is not answered", 403)
    assert observations[server.kind.name]["unanswered"] == right


async def test_refusals_that_are_not_finished(server: Server, observations: Observations) -> None:
    expected(server.kind, "denial responses", "have a timeout")
    right = expected(server.kind, "a denial that is not finished", 403)
    assert observations[server.kind.name]["unfinished"] == right


async def test_the_limit_of_a_frame(server: Server, observations: Observations) -> None:
    expected(server.kind, "a limit of frames", "is an option")
    right = expected(server.kind, "too large", {"a frame": 1009})["a frame"]
    assert observations[server.kind.name]["limited"] == right


async def test_the_server_stops(server: Server, observations: Observations) -> None:
    right = {
        "handshake": 503,
        "idle": (1012, ""),
        "last word": "farewell",
        "other": (1012, ""),
        "exit code": 0,
    }
    right = expected(server.kind, "the server stops", right)
    found = observations[server.kind.name]["stopped"]
    assert {key: found.get(key) for key in right} == right


# What is logged


async def test_the_access_log_has_no_query(server: Server) -> None:
    right = expected(server.kind, "the access log", "the path")
    async with playing(server, ACCEPT, target="/logged/path?with=the-query"):
        await server.logged("/logged/path")
    found = "the query too" if "the-query" in server.log else "the path"
    assert found == right
