"""Clients that flood, stall and vanish."""

import asyncio
from contextlib import suppress

from tests.live.flow.client import TEXT, frame, upgrade

from .api import PIECE
from .client import SMALL, Client, Ended, Refused
from .life import Life, behaviour

FLOOD = 2 * 2**20  # bytes at most, of one client
MOST = 100  # writes, of 20 messages each
GIVEN_UP_WITHIN = 20.0
"""Seconds in which the server notices, at the latest, that a client reads or answers no more."""
ECHOES = ("/echo/text", "/echo/bytes", "/echo/json")


async def flood(life: Life, client: Client, message: bytes) -> None:
    """Send as fast as the system takes it, for as long as the server does."""
    some = message * 20
    for _ in range(min(FLOOD // len(some), MOST)):
        if not life.goes_on or client.has_ended:
            return
        client.write(some)
        await asyncio.sleep(0)  # others have their turn, too
        with suppress(TimeoutError):
            await client.until_writable(1.0)


@behaviour(3)
async def floods_and_does_not_read(life: Life) -> None:
    path = life.rng.choice(["/echo/text", "/sleeps", "/chat/flooded", "/push", "/orm"])
    client = await life.open(path, buffer=SMALL)
    client.pause()
    size = 1 if path == "/orm" else life.rng.choice([1, 1_000, 16_000])
    await flood(life, client, frame(b"1" * size, TEXT))
    client.drop()


@behaviour(2)
async def floods_and_reads(life: Life) -> None:
    """Get all back that was sent at once."""
    client = await life.open("/echo/text")
    text = "x" * life.rng.choice([1, 100, 10_000])
    count = min(1_000, 2**20 // len(text))
    for _ in range(count):
        client.send(text)
    for _ in range(count):
        life.answered(await client.next(), text)
    await client.close()


@behaviour(3)
async def reads_no_big_answer(life: Life) -> None:
    """Stall, and be dropped."""
    client = await life.open("/big", buffer=SMALL)
    client.pause()
    client.send(str(4 * 2**20 // PIECE))
    await life.rest()
    if life.rng.random() < 0.5:
        client.reset()
    else:
        client.resume()
        client.messages.clear()
        with suppress(Ended):
            await client.close()


@behaviour(2)
async def stalls_in_a_room(life: Life) -> None:
    path = f"/chat/loud-{life.rng.randrange(4)}"
    client = await life.open(path, buffer=SMALL)
    client.pause()
    await life.rest()
    client.reset()


@behaviour(4)
async def stops_to_answer(life: Life) -> None:
    """Be there, and answer no ping: the server ends that."""
    path = life.rng.choice([*ECHOES, "/sleeps", "/chat/1", "/private/no"])
    try:
        client = await life.open(path)
    except Refused as refused:
        life.answered(refused.status, 404)
        return
    client.answers_pings = False
    await client.end(GIVEN_UP_WITHIN)
    life.answered(client.close_code in (None, 1011, 1006), True)


@behaviour(3)
async def freezes(life: Life) -> None:
    """Be there, and read nothing: the server ends that, too."""
    client = await life.open(life.rng.choice([*ECHOES, "/sleeps", "/push"]))
    client.send("1")
    client.pause()
    await life.pause(2, 6)
    client.drop()


@behaviour(8)
async def vanishes(life: Life) -> None:
    """Leave without a close, at any moment."""
    paths = [*ECHOES, "/sleeps", "/push", "/chat/2", "/peers/1", "/orm", "/sql", "/big"]
    path = life.rng.choice([*paths, "/echo/blocking", "/sleeps-blocking"])
    try:
        client = await life.open(path)
    except Refused as refused:
        life.answered(refused.status, 503)  # no thread is free
        return
    for _ in range(life.rng.randrange(3)):
        client.write(frame(b"1", TEXT))
        await life.pause(0, 0.5)
    life.rng.choice([client.reset, client.drop])()


@behaviour(4)
async def vanishes_in_the_handshake(life: Life) -> None:
    client = await life.connect()
    path = life.rng.choice(["/echo/text", "/slow-to-admit", "/private/me", "/sleeps"])
    request = upgrade(path)
    client.write(request[: life.rng.choice([10, -2, len(request)])])
    await life.pause(0, 1.5)
    life.rng.choice([client.reset, client.drop])()


@behaviour(2)
async def comes_slowly(life: Life) -> None:
    """Send the handshake in pieces, and be admitted late."""
    client = await life.connect()
    request = upgrade("/slow-to-admit")
    for at in range(0, len(request), 40):
        client.write(request[at : at + 40])
        await life.pause(0, 0.2)
    await client.until_upgraded()
    life.answered(await client.next(), "admitted")
    await client.end()
    life.answered(client.close_code, 1000)
