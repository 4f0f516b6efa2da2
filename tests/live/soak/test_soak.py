"""A thousand connections of all kinds come and go, and nothing is left of them.

`SOAK_SECONDS` is how long, `SOAK_SEED` what the clients do: it is printed. `SOAK_LAYER=redis` has
the rooms go through Redis. `make soak` sets them.
"""

import asyncio
import json
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from .api import api
from .client import Client, Ended, Refused
from .conftest import Soaked
from .crowd import OPEN, run, summary
from .life import Soak, token

SECONDS = float(os.environ.get("SOAK_SECONDS") or 20)
WARM_UP = max(9.0, SECONDS / 20)
SETTLED_WITHIN = 30.0  # seconds after the last client has gone
STEADY = 2.0  # seconds in which no count has changed
POLL = 0.25  # seconds
COUNTED_WITHIN = 30.0  # seconds
GROWTH = 0.05  # of the memory

Counts = dict[str, int]


async def test_nothing_is_left_of_thousands(soaked: Soaked) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(2**32))
    print(f"\nSOAK_SEED={seed} SOAK_SECONDS={SECONDS:g}", flush=True)
    await visit_all(soaked)
    warm_up = await soak_for(soaked, WARM_UP, seed + 1)
    before = await at_rest(soaked)
    memory_before = soaked.memory()
    soak = await soak_for(soaked, SECONDS, seed)
    after = await at_rest(soaked, before)
    memory_after = soaked.memory()
    growth = memory_after / memory_before - 1
    print(f"memory: {memory_before:,} and {memory_after:,} bytes, {growth:+.1%}", flush=True)
    with suppress(Ended, TimeoutError):  # else it would hide the differences themselves
        await report(soaked, before, after)

    errors = [*warm_up.errors, *soak.errors]
    assert not errors, (len(errors), errors[:20])
    assert soak.most_open >= OPEN
    assert after == before, differences(before, after)
    assert growth <= GROWTH
    check_logs(soaked)


async def visit_all(soaked: Soaked) -> None:
    """Connect to each endpoint, so that what a process keeps of an endpoint is there."""
    paths = [re.sub(r"\{\w+\}", "1", each.pattern.path) for each in api.routes]
    for path in [*paths, "/nowhere"]:
        if path.startswith("/raises"):
            continue  # they log
        client = await Client.connect(soaked.server.address)
        with suppress(Refused):
            await client.upgrade(f"{path}?token={token(1)}")
        client.drop()


async def soak_for(soaked: Soaked, seconds: float, seed: int) -> Soak:
    """Have clients come and go for so long, and say how it was."""
    now = asyncio.get_running_loop().time
    begun = now()
    soak = Soak(soaked.server.address, begun + seconds)
    await run(soak, seed)
    print(f"{now() - begun:.1f} s: {summary(soak)}", flush=True)
    soaked.server.expected += soak.tracebacks
    return soak


@asynccontextmanager
async def controlled(soaked: Soaked) -> AsyncIterator[Client]:
    """A connection that asks what the server holds."""
    # None that lasts as long as the test: pings and so on leave it with more after a while.
    control = await Client.connect(soaked.server.address)
    await control.upgrade("/control")
    yield control
    await control.close()


async def ask(control: Client, question: str) -> Any:
    """Return what the server says of itself."""
    control.send(question)
    return json.loads(await control.next(COUNTED_WITHIN))


async def count(soaked: Soaked, control: Client) -> Counts:
    """Return what the server holds, by name."""
    counts: Counts = await ask(control, "")
    counts["database connections"] = await asyncio.to_thread(soaked.database_connections)
    counts["threads of the process"] = soaked.threads()
    return counts


async def at_rest(soaked: Soaked, expected: Counts | None = None) -> Counts:
    """Return what the server holds once it is as expected, or the same for a while.

    Where it is neither in time, what it is then.
    """
    loop = asyncio.get_running_loop()
    now = steady_since = loop.time()
    ends_at = now + SETTLED_WITHIN
    async with controlled(soaked) as control:
        counts = await count(soaked, control)
        while counts != expected and now < ends_at:
            if expected is None and now - steady_since >= STEADY:
                break
            await asyncio.sleep(POLL)
            before, counts = counts, await count(soaked, control)
            now = loop.time()
            if counts != before:
                steady_since = now
    return counts


def differences(before: Counts, after: Counts) -> dict[str, tuple[int, int]]:
    """Return what there were and are, by name."""
    return {
        name: (before.get(name, 0), after.get(name, 0))
        for name in sorted({*before, *after})
        if before.get(name, 0) != after.get(name, 0)
    }


async def report(soaked: Soaked, before: Counts, after: Counts) -> None:
    """Print what holds the objects that were not there before."""
    async with controlled(soaked) as control:
        for name, (was, now_is) in differences(before, after).items():
            print(f"{name}: {was}, {now_is}", flush=True)
            for chain in await ask(control, name):
                print(f"{name}: {chain}", flush=True)


# Those that take their time are cancelled more than once; a thread cannot be.
PATIENT = "/bounded/stubborn|/echo/blocking|/sleeps-blocking|/bounded/numbers-blocking"
# The errors, which the server also writes to its console, are checked when it has stopped.
EXPECTED = re.compile(
    r"\S+ INFO |bolt_ws WARNING (Refused '|\d+ messages were lost |.* messages were dropped for "
    rf"|The handler of '({PATIENT})' goes on )"
)
RECORD = re.compile(r"(?m)^[\w.]+ (?:INFO|WARNING|ERROR|CRITICAL) .*$")


def check_logs(soaked: Soaked) -> None:
    """See that nothing was logged that is not expected, and no token."""
    for log in soaked.logs:
        assert "eyJ" not in log.read_text(), f"a token is in {log}"  # how each of them starts
    records = RECORD.findall(soaked.logs[0].read_text())
    assert records
    unexpected = Counter(each for each in records if not EXPECTED.match(each))
    assert not unexpected, unexpected.most_common(20)
