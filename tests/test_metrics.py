"""The figures of this process: right at any time, from any thread, and never going backwards."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from bolt_ws import BoltAPI, WebSocket, metrics, room
from bolt_ws.auth import AuthenticationFailed, JWTAuthentication
from bolt_ws.metrics import EndpointFigures, close_label, snapshot
from tests.rooms import support
from tests.rooms.support import Gate, until
from tests.support import ACCEPT, TIMEOUT, Connection, close, serve, status, talk, text

memory_layer = support.memory_layer


@pytest.fixture(autouse=True)
def _from_nothing() -> Iterator[None]:
    """Count this test's connections alone."""
    metrics.figures.forget()
    metrics.broadcasts.forget()
    yield
    metrics.figures.forget()


def of(name: str = "echo") -> EndpointFigures:
    """Return the figures of an endpoint."""
    return snapshot()["endpoints"][name]


async def echo(websocket: WebSocket) -> None:
    async for message in websocket.iter_text():
        await websocket.send_text(message)


NOTHING: EndpointFigures = {
    "open": 0,
    "connections": 0,
    "refusals": {},
    "closes": {},
    "messages_received": 0,
    "bytes_received": 0,
    "messages_sent": 0,
    "bytes_sent": 0,
    "outbox_drops": 0,
    "rate_limit_drops": 0,
    "errors": 0,
}


async def test_an_open_connection_counts_with_what_it_has_sent_so_far() -> None:
    connection = Connection(serve(echo))
    connection.put("é")
    for sent in (ACCEPT, text("é")):
        assert await connection.next() == sent
    so_far = {"messages_received": 1, "bytes_received": 2, "messages_sent": 1, "bytes_sent": 2}
    assert of() == {**NOTHING, "open": 1, "connections": 1, **so_far}
    connection.put("abc")
    connection.leave()
    await connection.end()
    total = {"messages_received": 2, "bytes_received": 5, "messages_sent": 2, "bytes_sent": 5}
    assert of() == {**NOTHING, "connections": 1, "closes": {"1001": 1}, **total}


async def test_connections_of_an_endpoint_add_up_under_its_name() -> None:
    api = BoltAPI()
    for path in ("/a", "/b/{room}"):
        api.websocket(path, name=f"of {path[1]}")(echo)
    for path in ("/a", "/a", "/b/1", "/b/2", "/b/3"):
        await talk(api.as_asgi(), path, "x")
    assert set(snapshot()["endpoints"]) == {"of a", "of b"}
    assert (of("of a")["connections"], of("of b")["connections"]) == (2, 3)
    assert (of("of a")["messages_sent"], of("of b")["messages_sent"]) == (2, 3)


# Ends


@pytest.mark.parametrize(
    ("code", "by_client", "label"),
    [
        (1000, True, "1000"),
        (1006, True, "1006"),
        (1015, True, "1015"),
        (2999, True, "other"),
        (3000, True, "3xxx"),
        (3999, True, "3xxx"),
        (4000, True, "4xxx"),
        (4999, True, "4xxx"),
        (5000, True, "other"),
        (4401, False, "4401"),
        (3000, False, "3000"),
        (1011, False, "1011"),
    ],
)
def test_what_a_close_is_counted_under(code: int, by_client: bool, label: str) -> None:
    assert close_label(code, by_client=by_client) == label


async def test_a_client_cannot_make_up_labels() -> None:
    application = serve(echo)
    for code in range(4000, 4100):
        connection = Connection(application)
        connection.put("x")
        connection.leave(code)
        await connection.end()
    assert of()["closes"] == {"4xxx": 100}


async def test_the_codes_of_the_application_are_kept() -> None:
    async def handler(websocket: WebSocket, code: int) -> None:
        await websocket.accept()
        await websocket.close(code)

    application = serve(handler)
    for code in (4001, 4001, 4002, 1000):
        await Connection(application, query=f"code={code}").end()
    assert of("handler")["closes"] == {"4001": 2, "4002": 1, "1000": 1}


async def test_a_connection_that_cannot_clean_up_is_counted_out() -> None:
    connection = Connection(serve(echo))
    connection.put("x")
    for sent in (ACCEPT, text("x")):
        assert await connection.next() == sent
    assert connection.task is not None
    connection.task.get_coro().close()  # as if the loop were gone
    assert of() == {
        **NOTHING,
        "connections": 1,
        "closes": {"1006": 1},
        **{"messages_received": 1, "bytes_received": 1, "messages_sent": 1, "bytes_sent": 1},
    }
    connection.leave()
    await asyncio.gather(connection.task, return_exceptions=True)


class Meddler:
    """A connection that ends another one while its figures are read, as a collector would."""

    messages_received = bytes_received = messages_sent = bytes_sent = outbox_drops = 0

    def __init__(self, other: Any) -> None:
        self._other = other

    @property
    def dropped(self) -> int:
        metrics.figures.note_end("meddled", self._other, 1000, by_client=False)
        return 0


def test_a_connection_may_end_while_the_figures_are_read() -> None:
    others = [Meddler(None) for _ in range(100)]
    for other in others:
        metrics.figures.note_accept("meddled", Meddler(other))
        metrics.figures.note_accept("meddled", other)
    found = of("meddled")
    assert (found["open"], found["closes"]) == (100, {"1000": 100})


# Refusals and errors


async def test_refusals_are_counted_by_their_codes() -> None:
    application = serve(echo, auth=[JWTAuthentication()])
    for query in ("", "", "token=bad"):
        assert await status(application, query=query) == 401
    assert await status(application, "/nowhere/1") == await status(application, "/nowhere/2") == 404
    assert of() == {**NOTHING, "refusals": {"not_authenticated": 2, "authentication_failed": 1}}
    assert of("") == {**NOTHING, "refusals": {"not_found": 2}}


async def test_codes_of_refusals_that_come_from_anywhere_are_bounded() -> None:
    async def handler(websocket: WebSocket, code: str) -> None:
        raise AuthenticationFailed("no", code=code)

    application = serve(handler)
    for number in range(metrics.MAX_REASONS + 50):
        assert await status(application, query=f"code=c{number}") == 401
    refusals = of("handler")["refusals"]
    assert len(refusals) == metrics.MAX_REASONS + 1
    assert refusals["other"] == 50


@pytest.mark.parametrize("accepts", [True, False])
async def test_what_is_raised_on_to_the_server_is_an_error(accepts: bool) -> None:
    async def handler(websocket: WebSocket) -> None:
        if accepts:
            await websocket.accept()
        raise LookupError("bug")

    with pytest.raises(LookupError):
        await Connection(serve(handler), deny=True).end()
    assert of("handler")["errors"] == 1
    assert of("handler")["closes"] == ({"1011": 1} if accepts else {})


async def test_a_close_and_a_cancellation_are_no_errors() -> None:
    await talk(serve(echo), "/", "x")
    connection = Connection(serve(echo))
    connection.put("x")
    await connection.next()
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.end()
    assert (of()["errors"], of()["connections"]) == (0, 2)


async def test_an_exception_in_a_callback_beside_the_handler_is_an_error(
    memory_layer: InMemoryChannelLayer,
) -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def listener(websocket: WebSocket) -> None:
        await websocket.join("a")
        await websocket.send_text("joined")
        await websocket.receive_text()

    @listener.on("news")
    async def hear(websocket: WebSocket) -> None:
        raise LookupError("bug")

    connection = Connection(api.as_asgi())
    for _ in range(2):
        await connection.next()
    await memory_layer.group_send("a", {"type": "news"})
    assert (await connection.end())[-1] == close(1011)
    assert of("listener")["errors"] == 1


# Drops, and broadcasts


async def test_drops_of_an_outbox_add_up(memory_layer: InMemoryChannelLayer) -> None:
    gate = Gate()

    async def handler(websocket: WebSocket) -> None:
        await websocket.join("a")
        await websocket.send_text("joined")
        await websocket.receive_text()

    application = serve(handler, outbox=2, overflow="drop_oldest")
    for dropped in (3, 6):
        gate.open()
        slow = Connection(application, on_send=gate)
        for _ in range(2):
            await slow.next()
        gate.shut()
        await room("a").asend_text("the server stands at this one")
        await asyncio.wait_for(gate.is_busy.wait(), TIMEOUT)
        for number in range(5):  # 2 may wait
            await room("a").asend_text(str(number))
        await until(lambda: of("handler")["outbox_drops"] >= dropped)  # noqa: B023
        gate.open()
        slow.leave()
        await slow.end()
        assert of("handler")["outbox_drops"] == dropped


async def test_drops_of_a_rate_limit_add_up() -> None:
    application = serve(echo, rate_limit="1/h", burst=2, over_rate="drop")
    for dropped in (3, 6):
        connection = Connection(application)
        connection.put(*"12345")
        connection.leave()
        await connection.end()
        assert of()["rate_limit_drops"] == dropped
    assert of()["messages_received"] == 4


async def test_broadcasts_are_counted_and_timed(memory_layer: InMemoryChannelLayer) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.join("a")
        await websocket.send_text("joined")
        async for message in websocket.iter_text():
            await websocket.broadcast(message)

    members = [Connection(serve(handler)) for _ in range(3)]
    for member in members:
        for _ in range(2):
            await member.next()
    await room("a").asend_text("1")
    members[0].put("2")
    for member in members:
        assert await member.next() == text("1")
    assert await members[0].next() == text("2")
    found = snapshot()
    assert found["broadcasts"] == found["broadcast_buckets"]["+Inf"] == 2
    assert 0 < found["broadcast_seconds"] < 5
    for member in members:
        member.leave()
        await member.end()


def test_times_of_broadcasts_fall_into_buckets() -> None:
    for seconds in (0.0005, 0.001, 0.002, 0.2, 60):
        metrics.broadcasts.note_delivery(seconds)
    found = snapshot()
    assert found["broadcast_buckets"] == {
        "0.001": 2,
        "0.005": 3,
        "0.025": 3,
        "0.1": 3,
        "0.5": 4,
        "2.5": 4,
        "+Inf": 5,
    }
    assert found["broadcast_seconds"] == pytest.approx(60.2035)


async def test_messages_that_were_lost_are_counted(memory_layer: InMemoryChannelLayer) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.join("a")
        await websocket.send_text("joined")
        await websocket.receive_text()

    member = Connection(serve(handler))
    for _ in range(2):
        await member.next()
    for number in (1, 4):
        message = {"type": "bolt_ws.message", "sender": "somebody", "number": number, "text": "x"}
        await memory_layer.group_send("a", message)
        await member.next()
    await until(lambda: snapshot()["lost_messages"] == 2, 10)
    member.leave()
    await member.end()


# The snapshot itself


async def test_it_is_json() -> None:
    await talk(serve(echo), "/", "x")
    assert json.loads(json.dumps(snapshot())) == snapshot()


async def test_in_any_thread_nothing_goes_backwards() -> None:
    application, is_over = serve(echo), threading.Event()

    def look() -> list[tuple[int, ...]]:
        seen = []
        while not is_over.is_set():
            found = snapshot()["endpoints"].get("echo", NOTHING)
            ended = sum(found["closes"].values())
            assert found["connections"] == found["open"] + ended
            seen.append((found["connections"], ended, found["messages_sent"], found["bytes_sent"]))
        return seen

    looking = [asyncio.create_task(asyncio.to_thread(look)) for _ in range(2)]
    try:
        for _ in range(20):
            await asyncio.gather(*(talk(application, "/", "ab", "cd") for _ in range(20)))
    finally:
        is_over.set()
        found = await asyncio.gather(*looking)
    for earlier, later in chain.from_iterable(map(pairwise, found)):
        assert all(a <= b for a, b in zip(earlier, later, strict=True))
    assert of()["connections"] == of()["closes"]["1001"] == 400
    assert of()["messages_sent"] == 800


_FORKING = """
import asyncio, os
import django
from tests.support import Connection, serve
django.setup()
from bolt_ws.metrics import broadcasts, snapshot
from tests.test_metrics import echo

async def main():
    broadcasts.note_delivery(1.0)
    connections = [Connection(serve(echo)) for _ in range(2)]
    for each in connections:
        each.put("x")
        await each.next()
        await each.next()
    connections[0].leave()
    await connections[0].end()
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    code = 1
    try:
        assert (snapshot()["endpoints"], snapshot()["broadcasts"]) == ({}, 0), snapshot()
        connections[1].task.get_coro().close()  # what the parent serves, ends here uncounted
        found = snapshot()["endpoints"]["echo"]
        assert found["connections"] == found["open"] == found["messages_sent"] == 0, found
        assert found["closes"] == {}
        code = 0
    finally:
        os._exit(code)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_begins_at_nothing() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", _FORKING],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
