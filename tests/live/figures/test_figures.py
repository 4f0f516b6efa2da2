"""What monitoring sees of real connections: figures, signals and the log, each once."""

import asyncio
import itertools
import json
import re
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection

from tests.live.server import DAPHNE, Server, connected, refused
from tests.support import make_token

WITHIN = 10.0  # seconds from an end to its figures
MANY = 30
"""Connections at once."""

LINE = re.compile(r"(?m)^<(\S+) (\S+) (\S+) (\S+) (\S+) (\S+)> (.*)$")

Samples = Counter[str]
"""Values by name and labels, as in the text: `name{endpoint="echo"}`."""


async def get(server: Server, path: str) -> str:
    """Return what a plain view answers."""

    def read() -> str:
        # No proxy: the environment may name one.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{server.address}{path}", timeout=WITHIN) as response:
            body: str = response.read().decode()
            return body

    return await asyncio.to_thread(read)


async def scrape(server: Server) -> Samples:
    """Return what Prometheus would."""
    samples: Samples = Counter()
    for family in text_string_to_metric_families(await get(server, "/metrics")):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}"] = int(sample.value)
    return samples


async def signals(server: Server) -> Counter[str]:
    """Return how often each signal was sent."""
    return Counter(json.loads(await get(server, "/signals")))


async def settled(server: Server, expected: Callable[[Samples], bool]) -> Samples:
    """Scrape until the figures are as expected, and return them."""
    async with asyncio.timeout(WITHIN):
        while not expected(samples := await scrape(server)):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)
    return samples


async def talk(
    server: Server, path: str, texts: int, leave: Callable[[ClientConnection], Any]
) -> str:
    """Send texts of two bytes, get each back, and leave. Return the connection's id."""
    async with connected(server, path) as client:
        connection_id = await client.recv()
        for _ in range(texts):
            await client.send("é")
            assert await client.recv() == "é"
        await leave(client)
    assert isinstance(connection_id, str)
    return connection_id


async def closes(client: ClientConnection) -> None:
    await client.close(1000)


def closes_with(code: int) -> Callable[[ClientConnection], Any]:
    return lambda client: client.close(code)


async def vanishes(client: ClientConnection) -> None:
    client.transport.abort()


async def test_the_figures_of_a_crowd(observed: Server) -> None:
    before = await scrape(observed)
    codes = itertools.count(4100)
    await asyncio.gather(
        *(talk(observed, path, 3, closes) for path in ["/echo", "/blocking"] * MANY),
        *(talk(observed, "/echo", 0, closes_with(next(codes))) for _ in range(MANY)),
        *(talk(observed, "/echo", 0, vanishes) for _ in range(MANY)),
        *(refused(observed, "/members") for _ in range(MANY)),
        *(refused(observed, f"/nowhere/{number}") for number in range(MANY)),
    )
    closed = 'bolt_ws_closes_total{code="%s",endpoint="%s"}'

    def ended(samples: Samples) -> bool:
        found = samples - before
        closes = [value for name, value in found.items() if name.startswith("bolt_ws_closes")]
        return sum(closes) == 4 * MANY

    found = await settled(observed, ended) - before
    for endpoint, messages in {"echo": 3 * MANY, "blocking": 3 * MANY}.items():
        label = f'{{endpoint="{endpoint}"}}'
        connections = 3 * MANY if endpoint == "echo" else MANY
        assert found[f"bolt_ws_open_connections{label}"] == 0
        assert found[f"bolt_ws_connections_total{label}"] == connections
        assert found[f"bolt_ws_messages_received_total{label}"] == messages
        assert found[f"bolt_ws_received_bytes_total{label}"] == 2 * messages
        assert found[f"bolt_ws_messages_sent_total{label}"] == messages + connections
        assert found[f"bolt_ws_sent_bytes_total{label}"] == 2 * messages + 36 * connections
    assert found[closed % (1000, "echo")] == found[closed % (1000, "blocking")] == MANY
    assert found[closed % ("4xxx", "echo")] == MANY
    assert found[closed % (observed.kind.code_of_vanished, "echo")] == MANY
    refusals = 'bolt_ws_refusals_total{code="%s",endpoint="%s"}'
    assert found[refusals % ("not_authenticated", "members")] == MANY
    assert found[refusals % ("not_found", "")] == MANY


async def test_open_connections_and_broadcasts(observed: Server) -> None:
    before = await scrape(observed)
    members = [connected(observed, "/chat") for _ in range(MANY)]
    clients = await asyncio.gather(*(each.__aenter__() for each in members))
    try:
        for client in clients:
            await client.recv()
        await clients[0].send("hello")
        for client in clients:
            assert await client.recv() == "hello"
        open_ones = await scrape(observed) - before
    finally:
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in members))
    label = '{endpoint="chat"}'
    assert open_ones[f"bolt_ws_open_connections{label}"] == MANY
    assert open_ones[f"bolt_ws_messages_sent_total{label}"] == 2 * MANY
    assert open_ones["bolt_ws_broadcast_seconds_count{}"] == 1
    await settled(observed, lambda samples: not samples[f"bolt_ws_open_connections{label}"])


async def test_each_signal_is_sent_once(observed: Server) -> None:
    before = await signals(observed)
    await asyncio.gather(
        *(talk(observed, "/echo", 1, closes_with(4321)) for _ in range(MANY)),
        *(talk(observed, "/blocking", 0, vanishes) for _ in range(MANY)),
        *(refused(observed, "/members") for _ in range(MANY)),
    )
    expected = {
        "connected echo None": MANY,
        "connected blocking None": MANY,
        "disconnected echo 4321": MANY,
        f"disconnected blocking {observed.kind.code_of_vanished}": MANY,
        "refused members not_authenticated": MANY,
    }
    async with asyncio.timeout(WITHIN):
        while await signals(observed) - before != expected:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)


async def fail(server: Server) -> str:
    async with connected(server, "/fails") as client:
        connection_id = await client.recv()
        await client.send("now")
        await client.wait_closed()
    assert isinstance(connection_id, str)
    return connection_id


async def greet(server: Server) -> str:
    token = make_token(sub="ann")
    async with connected(server, f"/members?token={token}") as client:
        connection_id = await client.recv()
    assert isinstance(connection_id, str)
    return connection_id


async def test_the_log_has_one_line_for_each_connection(observed: Server) -> None:
    start = len(observed.log)
    echoes = asyncio.gather(*(talk(observed, "/echo", 10, closes) for _ in range(MANY)))
    greeted = asyncio.gather(*(greet(observed) for _ in range(MANY)))
    refusals = asyncio.gather(*(refused(observed, "/members") for _ in range(MANY)))
    echoed, seen, failed, _ = await asyncio.gather(echoes, greeted, fail(observed), refusals)
    await observed.failed("LookupError: no such thing")
    ends, refused_ones = r"^<bolt_ws INFO .*> Closed ", r"^<bolt_ws WARNING .*> Refused "
    for pattern, count in ((ends, 2 * MANY + 1), (refused_ones, MANY)):
        await asyncio.to_thread(observed.wait_for, pattern, WITHIN, count, start)
    lines = [found.groups() for found in LINE.finditer(observed.log, start)]
    ours = [line for line in lines if line[0] == "bolt_ws"]
    per_connection = Counter(line[2] for line in ours)
    assert set(per_connection.values()) == {1}
    assert len(per_connection) == 3 * MANY + 1
    fields = {line[2]: line[3:6] for line in ours}
    assert {fields[each] for each in echoed} == {("echo", "None", "127.0.0.1")}
    assert {fields[each] for each in seen} == {("members", "ann", "127.0.0.1")}
    assert fields[failed] == ("fails", "None", "127.0.0.1")
    greetings = {line[2]: line[3:6] for line in lines if line[0] == "shop"}
    assert greetings == {each: fields[each] for each in seen}
    if observed.kind.name == DAPHNE.name:  # the others' handlers and contexts are their own
        (traceback,) = (line for line in lines if line[1] == "ERROR")
        assert traceback[2:6] == (failed, "fails", "None", "127.0.0.1")
