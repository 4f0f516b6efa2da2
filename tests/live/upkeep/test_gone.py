"""A client that is gone is noticed by any handler, and the handler ends."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.live.server import DAPHNE, STOCK_DAPHNE, UVICORN, Server

from .client import (
    MARGIN,
    NOTICED_WITHIN,
    Leave,
    Told,
    assert_ended,
    assert_noticed,
    breaks,
    closes,
    dies,
    drops,
    new_name,
    note,
    now,
    opened,
    resets,
    told,
)
from .conftest import Start
from .project.gone import TAKES
from .together import on_each, side_by_side

pytestmark = pytest.mark.timing

GRACE = 2.0  # seconds, the setting of these servers
CANCEL_AGAIN = 3.0  # after which a handler that goes on is cancelled once more
DRAIN = 2.0  # seconds for our Daphne, which counts them in place of pings that stand behind

PINGS = {
    DAPHNE.name: ("--ping-interval", "1", "--ping-timeout", "1"),
    STOCK_DAPHNE.name: ("--ping-interval", "1", "--ping-timeout", "2"),
    UVICORN.name: ("--ws-ping-interval", "1", "--ws-ping-timeout", "2"),
}
# Seconds after which a server gives up a client that answers no ping: its options, and Daphne looks
# at its connections every two seconds, for the ping and for the answer.
PINGS_WITHIN = {DAPHNE.name: 2.0 + 4.0, STOCK_DAPHNE.name: 3.0 + 2.0, UVICORN.name: 3.0}

# The handlers, and what ends each of them: an exception, None for its own return.
RAISED = {
    "pushes": {"WebSocketDisconnect", "WebSocketDisconnected"},
    "pushes-much": {"CancelledError", "WebSocketDisconnect", "WebSocketDisconnected"},
    "floods": {"WebSocketDisconnect", "WebSocketDisconnected"},
    "hurries": {"WebSocketDisconnect", "WebSocketDisconnected"},
    "sleeps": {"CancelledError"},
    "receives": {"WebSocketDisconnect"},
    "receives-once": {"CancelledError"},
    "listens": {"CancelledError"},
    "listens-to-a-group": {"CancelledError"},
    "waits-closed": {None},
    "blocking-pushes": {"WebSocketDisconnect", "WebSocketDisconnected"},
    "blocking-looks": {None},
    "blocking-receives": {"WebSocketDisconnect", "WebSocketDisconnected"},
    "blocking-receives-once": {None},
    "consumer": {None},
    "consumer-hangs": {"CancelledError"},
    "application": {"CancelledError", "WebSocketDisconnect"},  # as soon as its send tells
}

# They receive one message. uvicorn drops one that comes together with what is no frame.
RECEIVING = {"receives-once", "blocking-receives-once", "consumer-hangs"}

WAYS: dict[str, Leave] = {each.__name__: each for each in (closes, drops, resets, breaks, dies)}


@pytest.fixture(scope="module")
def pinging_servers(start_servers: Start) -> Iterator[list[Server]]:
    """Servers that soon give up a client which answers no ping."""
    with start_servers(PINGS, DISCONNECT_GRACE=GRACE, DAPHNE_DRAIN_TIMEOUT=DRAIN) as servers:
        yield servers


async def test_a_gone_client_is_noticed_by_any_handler(pinging_servers: list[Server]) -> None:
    async def check(server: Server) -> None:
        work = {
            f"{handler} when the client {way}": check_end(server, handler, way)
            for handler in sorted(RAISED.keys() - {"floods", "hurries"})
            for way in WAYS
        }
        for way in WAYS:
            work[f"goes-on when the client {way}"] = check_goes_on(server, way)
        for way in ("closes", "resets"):
            work[f"has-for-ever when the client {way}"] = check_for_ever(server, way)
        for way in ("closes", "drops"):  # a reset may overtake the messages
            work[f"receives-slowly when the client {way}"] = check_slow(server, way)
            work[f"receives-steadily when the client {way}"] = check_backlog(server, way)
        work["hurries when the client breaks"] = check_end(server, "hurries", "breaks")
        for way in ("closes", "drops"):
            work[f"floods when the client {way}"] = check_end(server, "floods", way)
        await side_by_side(work)

    await on_each(pinging_servers, check)


async def leave(server: Server, handler: str, way: str, *messages: str) -> tuple[str, float]:
    """Connect, say something and leave. Return the connection's name and when it was left."""
    name = new_name()
    async with opened(server, f"/gone/{handler}/{name}") as client:
        assert await client.message() == b"begun"
        for message in messages:
            await client.send(message)
        if way == "breaks" and handler in RECEIVING:
            await told(server, name, "received")
        left_at = now()
        await WAYS[way](client)
        if way == "dies":  # and it stays so
            await told(server, name, "learned")
    return name, left_at


def assert_known(seen: Told, server: Server, way: str, left_at: float) -> None:
    within = NOTICED_WITHIN + (PINGS_WITHIN[server.kind.name] if way == "dies" else 0)
    assert_noticed(seen, left_at, within)


async def check_end(server: Server, handler: str, way: str) -> None:
    name, left_at = await leave(server, handler, way, "once")
    seen = await told(server, name)
    assert_known(seen, server, way, left_at)
    assert_ended(seen, GRACE)
    raised = seen.values("raised") or [None]
    assert len(raised) == 1, seen
    assert raised[0] in RAISED[handler], seen


async def check_goes_on(server: Server, way: str) -> None:
    """One that does not end is cancelled again."""
    name, left_at = await leave(server, "goes-on", way)
    seen = await told(server, name)
    assert_known(seen, server, way, left_at)
    assert_ended(seen, GRACE + CANCEL_AGAIN)
    assert len(seen.values("cancelled")) == 1, seen


async def check_for_ever(server: Server, way: str) -> None:
    """One whose endpoint says so is never cancelled."""
    name, left_at = await leave(server, "has-for-ever", way)
    seen = await told(server, name, "learned")
    assert_known(seen, server, way, left_at)
    await asyncio.sleep(seen.at("learned") + GRACE + MARGIN - now())
    assert not (await told(server, name, "learned")).values("ended"), seen
    await note(server, name, "released")
    assert not (await told(server, name)).values("raised")


async def check_slow(server: Server, way: str) -> None:
    """What came before the end is received before the end."""
    texts = ["0", "1", "2"]
    name, left_at = await leave(server, "receives-slowly", way, *texts)
    seen = await told(server, name)
    assert_known(seen, server, way, left_at)
    assert seen.values("received") == [*texts, "the end"], seen
    assert seen.at("ended") - left_at <= len(texts) * TAKES + MARGIN, seen


async def check_backlog(server: Server, way: str) -> None:
    """The end is known before all is received that came before it."""
    texts = [str(number) for number in range(30)]
    name, left_at = await leave(server, "receives-steadily", way, *texts)
    seen = await told(server, name)
    assert_known(seen, server, way, left_at)
    assert_ended(seen, GRACE)
    received = seen.values("received")
    assert received == texts[: len(received)], seen
