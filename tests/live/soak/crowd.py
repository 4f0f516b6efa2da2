"""A thousand clients at a time, each of which is followed by another."""

import asyncio
import random
from itertools import count

# They register behaviours.
from . import at_the_bounds, careless, hostile, sent_away, well_behaved  # noqa: F401
from .life import Life, Soak, behaviours

OPEN = 1_000
"""Connections that are open at a time."""
SEATS = 1_100
"""Clients at a time: some are between two connections, or are refused."""
RAMP = 5.0
"""Seconds in which all come for the first time."""
LIVES = (2.0, 18.0)
"""Seconds that a client which ends by itself lives."""
LAST = 4.0
"""Seconds before the end in which nobody comes any more."""
LAST_WITHIN = 60.0
"""Seconds, after the end, in which the last client has ended, waiting for its answers."""


async def run(soak: Soak, seed: int) -> None:
    """Have clients come and go until the soak ends.

    What each does follows from the seed; when it does it depends on the server as well.
    """
    async with asyncio.timeout_at(soak.ends_at + LAST_WITHIN):
        await asyncio.gather(*(sit(soak, seed, seat) for seat in range(SEATS)))


async def sit(soak: Soak, seed: int, seat: int) -> None:
    """Live one life after the other."""
    rng = random.Random(f"{seed}.{seat}")
    names = list(behaviours)
    weights = [weight for _, weight in behaviours.values()]
    now = asyncio.get_running_loop().time
    await asyncio.sleep(rng.uniform(0, RAMP))
    for number in count():
        if now() >= soak.ends_at - LAST:
            return
        (name,) = rng.choices(names, weights)
        if number == 0:  # so that there is some of each
            name = names[seat % len(names)]
        own = random.Random(rng.random())  # how much of it is used depends on the server
        ends_at = min(now() + own.uniform(*LIVES), soak.ends_at)
        await live(Life(soak, f"{seed}.{seat}.{number}", own, ends_at), name)


async def live(life: Life, name: str) -> None:
    """Do what clients of a kind do, and note what went wrong."""
    soak = life.soak
    soak.lives[name] += 1
    try:
        await behaviours[name][0](life)
        for client in life.clients:
            if client.trouble:
                raise AssertionError(client.trouble)
    except Exception as error:
        soak.errors.append(f"{life.name} {name}: {error!r}")
    finally:
        life.end()


def summary(soak: Soak) -> str:
    """Return what has been, for whoever reads the output."""
    lives = ", ".join(f"{name} {number}" for name, number in sorted(soak.lives.items()))
    return (
        f"{soak.lives.total():,} clients, {soak.most_open:,} connections at a time, "
        f"{soak.answers:,} answers as expected, {len(soak.errors)} errors\n  {lives}"
    )
