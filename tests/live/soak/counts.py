"""What the server process holds."""

import asyncio
import gc
import re
import threading
from collections import Counter
from types import FrameType, GeneratorType

from bolt_ws import limits
from bolt_ws.registry import registry
from bolt_ws.rooms.hubs import hub_here
from bolt_ws.rooms.sequences import _Heard
from tests.live.flow.counts import counts as counts_of_daphne

DEPTH = 6
"""Objects in a chain, each of which holds the one before."""
MOST = 20
"""Objects whose holders are looked for."""
_NUMBER = re.compile(r"[-_ ]?\d+(_\d+)?$")


def counts() -> dict[str, int]:
    """Count what connections leave behind where something leaks, by name."""
    gc.collect()  # twice: what is found once may let go of more
    found: Counter[str] = Counter(counts_of_daphne())
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        found[f"task {getattr(coroutine, '__qualname__', coroutine)}"] += 1
    for thread in threading.enumerate():
        found[f"thread {_NUMBER.sub('', thread.name)}"] += 1
    hub = hub_here()
    found["rooms"] = len(hub.rooms)
    found["members of rooms"] = sum(len(room.members) for room in hub.rooms.values())
    found["registered connections"] = len(registry)
    found["owners of places"] = len(limits._places._counts)
    for each in gc.get_objects():
        kind = type(each)  # and no isinstance(), which would wake lazy objects
        module = kind.__module__
        if kind is _Heard:
            continue  # of each sender, for ten minutes, and a thousand at most
        if isinstance(module, str) and module.startswith("bolt_ws"):
            found[f"{module}.{kind.__qualname__}"] += 1
    return dict(found)


def holders(name: str) -> list[str]:
    """Say what holds objects of a type, to find a leak by: each with what holds that."""
    every = gc.get_objects()
    some = [each for each in every if f"{type(each).__module__}.{type(each).__qualname__}" == name]
    del some[MOST:]
    chains: list[str] = []
    for each in some:
        chain = [each]
        own = {id(every), id(some), id(chain)}
        while len(chain) < DEPTH and (by := holder(chain[-1], own)) is not None:
            chain.append(by)
        chains.append(" < ".join(f"{each!r:.100}" for each in chain))
    return chains


def holder(held: object, own: set[int]) -> object:
    """Return one that refers to an object, and is neither of us nor a frame."""
    for each in gc.get_referrers(held):
        if id(each) not in own and not isinstance(each, FrameType | GeneratorType):
            return each
    return None
