"""Daphne's options mean for ours what they mean for stock."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.live.server import LOGGED_WITHIN, Server, close_of, connected, refused

from .conftest import KINDS, Launch, Servers
from .raw import (
    PING,
    TEXT,
    Frame,
    Response,
    answers,
    fetch,
    frame,
    frames,
    handshake,
    opened,
    read_response,
)

OPTIONS = {
    "short": (
        *("--websocket_connect_timeout", "1"),
        *("--application-close-timeout", "1"),
        *("--ping-interval", "1"),
        *("--ping-timeout", "1"),
        *("--root-path", "/root"),
        *("--server-name", "a name"),
        *("--access-log", "{log}.access"),
        "--proxy-headers",
    ),
    "small": (
        *("--websocket_timeout", "3"),
        *("--ping-interval", "0"),
        *("--websocket-max-message-size", "1000"),
        *("--websocket-max-frame-size", "100"),
        "--no-server-name",
        *("-v", "3"),
    ),
    "endless": (
        *("--websocket_timeout", "-1"),
        *("--websocket_connect_timeout", "-1"),
        *("--http-timeout", "1"),
        *("--ping-interval", "1"),
        *("--ping-timeout", "0"),
        *("--websocket-max-message-size", "0"),
        *("--websocket-max-frame-size", "0"),
        "--proxy-headers",
        *("--proxy-headers-host", "X-Real-IP"),
        *("--proxy-headers-port", "X-Real-Port"),
    ),
}
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"

Wait = Callable[[Server], Coroutine[Any, Any, Any]]
Visit = Callable[[Server, str], Coroutine[Any, Any, None]]
names = (f"name-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def servers(launch: Launch) -> Iterator[Servers]:
    with launch(OPTIONS) as servers:
        yield servers


# What takes its time is waited for all at once, from the first test on.

WAITS: dict[Wait, str] = {}
"""With the name of the options."""


def waits(options: str) -> Callable[[Wait], Wait]:
    def add(wait: Wait) -> Wait:
        WAITS[wait] = options
        return wait

    return add


Waited = Callable[[Wait], Coroutine[Any, Any, list[Any]]]


@pytest.fixture(scope="module")
def waited(servers: Servers) -> Iterator[Waited]:
    """Return what a function of WAITS has returned for ours and for stock."""
    futures: dict[tuple[Wait, str], Future[Any]] = {
        (wait, whose): Future() for wait in WAITS for whose in KINDS
    }

    async def run(wait: Wait, whose: str) -> None:
        future = futures[wait, whose]
        try:
            future.set_result(await wait(servers[WAITS[wait], whose]))
        except BaseException as error:
            future.set_exception(error)

    async def run_all() -> None:
        await asyncio.gather(*(run(*each) for each in futures))

    async def waited(wait: Wait) -> list[Any]:
        return [await asyncio.wrap_future(futures[wait, whose]) for whose in KINDS]

    thread = threading.Thread(target=asyncio.run, args=[run_all()])
    thread.start()
    try:
        yield waited
    finally:
        thread.join()  # each of them is bounded in time


def since(start: float) -> float:
    return time.monotonic() - start


# How long a connection may last


@waits("small")
async def life(server: Server) -> tuple[int | None, str | None, float]:
    async with connected(server, "/echo") as client:
        start = time.monotonic()
        await client.send("hello")
        assert await client.recv() == "hello"
        code, reason = await close_of(client)
        return code, reason, since(start)


async def test_websocket_timeout(waited: Waited) -> None:
    for code, reason, seconds in await waited(life):
        assert (code, reason) == (1000, "")
        assert 2.9 < seconds < 8


@waits("endless")
async def long_life(server: Server) -> str | bytes:
    async with connected(server, "/echo") as client:
        await asyncio.sleep(4)  # Daphne looks every 2 s
        await client.send("still there?")
        return await client.recv()


async def test_no_websocket_timeout(waited: Waited) -> None:
    assert await waited(long_life) == ["still there?", "still there?"]


# How long a handshake may last


@waits("short")
async def wait_for_accept(server: Server) -> tuple[int | None, float, list[str]]:
    start = time.monotonic()
    answer = await answers(server, handshake(f"/wait/never-accepted?token={TOKEN}"))
    seconds = since(start)
    await server.logged("never-accepted got websocket.disconnect")
    lines = await access_file_of(server, "/wait/never-accepted")
    return int(answer[9:12]) if answer else None, seconds, [action for _, action in lines]


async def test_websocket_connect_timeout(waited: Waited) -> None:
    (ours, ours_after, ours_logged), (stock, stock_after, _) = await waited(wait_for_accept)
    assert ours == 403
    assert 0.9 < ours_after < 6
    assert ours_logged == ["WSCONNECTING", "WSREJECT", "WSDISCONNECT"]
    # Two timers race in stock: the one drops the connection, and fires too early.
    assert stock in (403, None)
    assert stock_after < 6


@waits("endless")
async def wait_long(server: Server) -> int:
    async with opened(server) as (reader, writer):
        writer.write(handshake("/accept-late/3"))
        return (await read_response(reader)).status


async def test_no_websocket_connect_timeout(waited: Waited) -> None:
    # Stock takes -1 for a limit that is over.
    assert await waited(wait_long) == [101, 403]


@waits("short")
async def stays_behind(server: Server) -> float:
    async with connected(server, "/stay/stayer") as client:
        client.transport.abort()
    start = time.monotonic()
    await server.logged("took too long to shut down and was killed")
    await server.logged("stayer was cancelled")
    return since(start)


async def test_application_close_timeout(waited: Waited) -> None:
    for seconds in await waited(stays_behind):
        assert 0.9 < seconds < 6


# Pings


@waits("short")
async def answers_pings(server: Server) -> str | bytes:
    async with connected(server, "/echo") as client:
        await asyncio.sleep(5)
        await client.send("still there?")
        return await client.recv()


async def test_a_client_that_answers_pings_stays(waited: Waited) -> None:
    assert await waited(answers_pings) == ["still there?", "still there?"]


@waits("short")
async def ignores_pings(server: Server) -> tuple[list[int], float]:
    async with opened(server) as (reader, writer):
        writer.write(handshake("/echo/ignorant"))
        assert (await read_response(reader)).status == 101
        received = frames(reader)
        opcodes = [(await anext(received)).opcode]
        start = time.monotonic()
        opcodes += [each.opcode async for each in received]
        seconds = since(start)
    await server.logged("ignorant ended with 1006")
    return opcodes, seconds


async def test_a_client_that_ignores_pings_is_dropped(waited: Waited) -> None:
    (ours, ours_after), (stock, stock_after) = await waited(ignores_pings)
    assert set(ours) == set(stock) == {PING}
    assert 0.9 < ours_after < 6
    assert stock_after < 6  # its timer fires too early


@waits("short")
async def says_something_else(server: Server) -> int:
    async with opened(server) as (reader, writer):
        writer.write(handshake("/echo"))
        assert (await read_response(reader)).status == 101
        pings = 0
        async for each in frames(reader):
            if each.opcode == PING:
                pings += 1
                writer.write(frame(TEXT, b"not a pong"))
            elif each.opcode == TEXT and pings == 2:
                return pings
        return pings


async def test_any_traffic_counts_as_an_answer(waited: Waited) -> None:
    assert await waited(says_something_else) == [2, 2]


@waits("short")
async def is_never_idle(server: Server) -> int:
    async with opened(server) as (reader, writer):
        writer.write(handshake("/echo"))
        assert (await read_response(reader)).status == 101
        received = frames(reader)
        pings = 0
        for number in range(12):
            await asyncio.sleep(0.25)
            writer.write(frame(TEXT, b"%d" % number))
            while (each := await anext(received)).opcode == PING:
                pings += 1
            assert each == Frame(TEXT, b"%d" % number)
        return pings


async def test_a_client_that_sends_needs_no_pings(waited: Waited) -> None:
    for pings in await waited(is_never_idle):
        assert pings <= 1  # where the machine has stalled


@waits("endless")
async def may_ignore_pings(server: Server) -> Frame:
    async with opened(server) as (reader, writer):
        writer.write(handshake("/echo"))
        assert (await read_response(reader)).status == 101
        received = frames(reader)
        for _ in range(2):
            assert (await anext(received)).opcode == PING
        writer.write(frame(TEXT, b"still there?"))
        while (each := await anext(received)).opcode == PING:
            pass
        return each


async def test_no_ping_timeout(waited: Waited) -> None:
    assert await waited(may_ignore_pings) == [Frame(TEXT, b"still there?")] * 2


@waits("small")
async def is_pinged_at_once(server: Server) -> int:
    async with opened(server) as (reader, writer):
        writer.write(handshake("/echo"))
        assert (await read_response(reader)).status == 101
        received = frames(reader)
        return (await anext(received)).opcode


async def test_a_ping_interval_of_zero(waited: Waited) -> None:
    # Stock looks every 2 s, and then pings everyone. Nobody is flooded with pings by it.
    assert await waited(is_pinged_at_once) == [PING, PING]


# Sizes


async def ends_with(server: Server, message: bytes | list[bytes]) -> str | int | None:
    """Return what the probe says to a message, or the code that it was closed with."""
    try:
        async with connected(server, "/counts") as client:
            await client.send(message)
            return str(await client.recv())
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 1006


MIB = 1024 * 1024
SIZES: dict[str, tuple[str, bytes | list[bytes], str | int]] = {
    "a frame as long as may be": ("small", b"x" * 100, "100"),
    "a frame that is longer": ("small", b"x" * 101, 1009),
    "a message as long as may be": ("small", [b"x" * 100] * 10, "1000"),
    "a message that is longer": ("small", [b"x" * 100] * 10 + [b"x"], 1009),
    "as long as may be unless said": ("short", b"x" * MIB, "1048576"),
    "longer than may be unless said": ("short", b"x" * MIB + b"x", 1009),
    "longer in all": ("short", [b"x" * (MIB // 2)] * 2 + [b"x"], 1009),
    "no limit": ("endless", b"x" * 3_000_000, "3000000"),
}


@pytest.mark.parametrize("name", SIZES)
async def test_sizes(servers: Servers, whose: str, name: str) -> None:
    options, message, expected = SIZES[name]
    found = await ends_with(servers[options, whose], message)
    # Stock drops the connection without a close frame.
    assert found == (1006 if whose == "stock" and expected == 1009 else expected)


# HTTP


@waits("endless")
async def never_answers(server: Server) -> tuple[Response, float]:
    start = time.monotonic()
    response = await fetch(server, "/never/")
    return response._replace(head=b""), since(start)


async def test_http_timeout(waited: Waited) -> None:
    (ours, ours_after), (stock, stock_after) = await waited(never_answers)
    assert ours == stock
    assert ours.status == 503
    assert 0.9 < ours_after < 6
    assert 0.9 < stock_after < 6


# The scope


async def scope_of(server: Server, *headers: tuple[str, str], path: str = "/scope") -> Any:
    async with connected(server, path, additional_headers=headers) as client:
        scope = json.loads(await client.recv())
        address, port = client.local_address
    assert scope["type"] == "websocket"
    assert [each for each in scope["headers"] if each[0].startswith("daphne-")] == []
    if scope["client"] == [address, port]:
        scope["client"] = "the real one"
    return scope


@pytest.mark.parametrize(
    ("options", "headers", "expected"),
    [
        ("small", [], ""),
        ("short", [], "/root"),
        ("short", [("Daphne-Root-Path", "/a%20root")], "/a root"),
        ("small", [("daphne-root-path", "/another")], "/another"),
    ],
)
async def test_root_path(
    servers: Servers,
    whose: str,
    options: str,
    headers: list[tuple[str, str]],
    expected: str,
) -> None:
    scope = await scope_of(servers[options, whose], *headers)
    assert scope["root_path"] == expected
    assert scope["path"] == "/scope"
    assert scope["raw_path"] == "/scope"


FORWARDED = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Port", "567")]
PROXY_HEADERS: dict[str, tuple[str, list[tuple[str, str]], object, str]] = {
    "not trusted": ("small", [*FORWARDED, ("X-Forwarded-Proto", "https")], "the real one", "ws"),
    "none": ("short", [], "the real one", "ws"),
    "address": ("short", FORWARDED[:1], ["1.2.3.4", 0], "ws"),
    "address and port": ("short", FORWARDED, ["1.2.3.4", 567], "ws"),
    "https": ("short", [*FORWARDED, ("X-Forwarded-Proto", "https")], ["1.2.3.4", 567], "wss"),
    "http": ("short", [*FORWARDED, ("X-Forwarded-Proto", "http")], ["1.2.3.4", 567], "ws"),
    "a bad port": ("short", [*FORWARDED[:1], ("X-Forwarded-Port", "x")], ["1.2.3.4", 0], "ws"),
    "several": ("short", [("X-Forwarded-For", "1.1.1.1, 2.2.2.2")], ["1.1.1.1", 0], "ws"),
    "several lines": (
        "short",
        [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2")],
        ["1.1.1.1", 0],
        "ws",
    ),
    "IPv6": ("short", [("X-Forwarded-For", "2001:db8::1")], ["2001:db8::1", 0], "ws"),
    "other names": (
        "endless",
        [*FORWARDED, ("X-Real-IP", "9.8.7.6"), ("X-Real-Port", "54")],
        ["9.8.7.6", 54],
        "ws",
    ),
    "other names, absent": ("endless", FORWARDED, "the real one", "ws"),
}


@pytest.mark.parametrize("name", PROXY_HEADERS)
async def test_proxy_headers(servers: Servers, whose: str, name: str) -> None:
    options, headers, client, scheme = PROXY_HEADERS[name]
    server = servers[options, whose]
    scope = await scope_of(server, *headers)
    assert scope["client"] == client
    assert scope["server"] == ["127.0.0.1", int(server.address.partition(":")[2])]
    # Stock says no scheme.
    assert scope.get("scheme") == (None if whose == "stock" else scheme)


# The name of the server


@pytest.mark.parametrize(
    ("options", "name"), [("endless", "daphne"), ("short", "a name"), ("small", None)]
)
@pytest.mark.parametrize(("path", "status"), [("/echo", 101), ("/refuse", 403), ("/deny/418", 418)])
async def test_server_name(
    servers: Servers, whose: str, options: str, name: str | None, path: str, status: int
) -> None:
    async with opened(servers[options, whose]) as (reader, writer):
        writer.write(handshake(path))
        response = await read_response(reader)
    can_deny = servers[options, whose].kind.can_deny
    assert response.status == (status if can_deny or status != 418 else 403)
    found = re.findall(rb"(?im)^server: *(.*?)\r$", response.head)
    # Stock says its name only in what it accepts.
    silent = whose == "stock" and status != 101
    assert found == ([] if name is None or silent else [name.encode()])
    if response.status == 418:
        assert response.body == b"denied, in two parts"


# The access log


async def clients_close(server: Server, path: str) -> None:
    async with connected(server, f"/echo/{path}") as client:
        await client.close(4001, "reason")


async def servers_close(server: Server, path: str) -> None:
    async with connected(server, f"/close/4001/{path}") as client:
        await close_of(client)


async def vanishes(server: Server, path: str) -> None:
    async with connected(server, f"/echo/{path}") as client:
        client.transport.abort()


async def is_refused(server: Server, path: str) -> None:
    assert (await refused(server, f"/refuse/{path}"))[0] == 403


async def is_denied(server: Server, path: str) -> None:
    status, _ = await refused(server, f"/deny/418/{path}")
    assert status == (418 if server.kind.can_deny else 403)


async def breaks_down(server: Server, path: str) -> None:
    assert (await refused(server, f"/break/{path}"))[0] == 500
    await server.failed("RuntimeError: the probe broke")


async def is_no_handshake(server: Server, path: str) -> None:
    async with opened(server) as (reader, writer):
        writer.write(handshake(f"/echo/{path}").replace(b"Version: 13", b"Version: 12"))
        assert (await read_response(reader)).status in (400, 426)


async def vanishes_waiting(server: Server, path: str) -> None:
    name = path.partition("?")[0]
    async with opened(server) as (_, writer):
        writer.write(handshake(f"/wait/{path}"))
        await server.logged(f'"WSCONNECTING /wait/{name}"')
    await server.logged(f"{name} got websocket.disconnect")


ACCESS: dict[Visit, list[str]] = {
    clients_close: ["WSCONNECTING", "WSCONNECT", "WSDISCONNECT"],
    servers_close: ["WSCONNECTING", "WSCONNECT", "WSDISCONNECT"],
    vanishes: ["WSCONNECTING", "WSCONNECT", "WSDISCONNECT"],
    is_refused: ["WSCONNECTING", "WSREJECT", "WSDISCONNECT"],
    is_denied: ["WSCONNECTING", "WSREJECT", "WSDISCONNECT"],
    breaks_down: ["WSCONNECTING", "WSDISCONNECT"],
    vanishes_waiting: ["WSCONNECTING", "WSDISCONNECT"],
    is_no_handshake: [],
}


@pytest.mark.parametrize("visit", ACCESS, ids=lambda visit: visit.__name__)
async def test_access_log(servers: Servers, whose: str, visit: Visit) -> None:
    server = servers["small", whose]
    path = next(names)
    await visit(server, f"{path}?token={TOKEN}")
    if ACCESS[visit]:
        await server.logged(f'{path}" - -', len(ACCESS[visit]))
    await clients_close(server, f"after-{path}")
    await server.logged(f'after-{path}" - -', 3)
    pattern = r'^(127\.0\.0\.1:\d+) - - \[\d\d/\w{3}/\d{4}(?::\d\d){3}\] "(\w+) (.*)" - -$'
    lines = [each for each in re.findall(pattern, server.log, re.M) if each[2].endswith(f"/{path}")]
    assert [action for _, action, _ in lines] == ACCESS[visit]
    assert len({client for client, _, _ in lines}) <= 1


async def access_file_of(server: Server, path: str) -> list[tuple[str, str]]:
    """Return what the access log says of a path in its file: clients and actions."""
    file = server.log_file.with_name(f"{server.log_file.name}.access")
    async with asyncio.timeout(LOGGED_WITHIN):
        # A file has no event to wait for.
        while f'"WSDISCONNECT {path}" - -' not in (text := file.read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert TOKEN not in text
    return re.findall(rf'(?m)^(\S+) - - \[.*\] "(\w+) {path}" - -$', text)


async def test_access_log_in_a_file(servers: Servers, whose: str) -> None:
    server = servers["short", whose]
    forwarded = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Port": "567"}
    path = "/echo/forwarded"
    async with connected(server, f"{path}?token={TOKEN}", additional_headers=forwarded):
        pass
    client = "1.2.3.4:567"
    actions = ["WSCONNECTING", "WSCONNECT", "WSDISCONNECT"]
    assert await access_file_of(server, path) == [(client, action) for action in actions]
    assert "WSCONNECT" not in server.log


# The rest


async def test_verbosity(servers: Servers, whose: str) -> None:
    """Twisted's log, and asyncio's own debugging: no token in it."""
    server = servers["small", whose]
    headers = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"token={TOKEN}"}
    async with connected(server, f"/echo?token={TOKEN}", additional_headers=headers) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    await is_refused(server, f"verbose?token={TOKEN}")
    await fetch(server, f"/page/?token={TOKEN}", f"Authorization: Bearer {TOKEN}")
    await server.logged("GET /page/")
    assert " DEBUG " in server.log
    server.check_log()
