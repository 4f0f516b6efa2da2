"""Where scenarios are entered: `@scenario("django-bolt", 11)`."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.seeds.drivers import Client
from tests.seeds.pages import Key

Scenario = Callable[[Client], Awaitable[None]]

SCENARIOS: dict[Key, Scenario] = {}


def scenario(page: str, *lines: int) -> Callable[[Scenario], Scenario]:
    """Enter a scenario for the block, or blocks, of `page` whose fence is on one of `lines`."""

    def enter(drive: Scenario) -> Scenario:
        for line in lines:
            assert (page, line) not in SCENARIOS, f"{page}, line {line} has two scenarios"
            SCENARIOS[page, line] = drive
        return drive

    return enter


async def run_tests(client: Client) -> list[str]:
    """Call each test function of a page's block in a thread, where it may block.

    Return their names.
    """
    names = [name for name in client.loaded.namespace if name.startswith("test_")]
    for name in names:
        await asyncio.to_thread(client.loaded.namespace[name])
    return names
