"""Where scenarios are entered: `@scenario("django-bolt", 11)`."""

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
