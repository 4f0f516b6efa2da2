"""Tests that run on all servers side by side, most of their time being spent in waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tests.live.server import Server, check_echo

ECHOES_EVERY = 0.2  # seconds

Check = Callable[[Server], Awaitable[None]]


async def side_by_side(work: Mapping[str, Awaitable[None]]) -> None:
    """Do all of it at once; what fails is raised with its name, when all has ended."""
    results = await asyncio.gather(*work.values(), return_exceptions=True)
    failures: list[Exception] = []
    for name, result in zip(work, results, strict=True):
        if isinstance(result, Exception):
            result.add_note(f"This was {name}.")
            failures.append(result)
        elif isinstance(result, BaseException):
            raise result
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(work)} have failed", failures)


async def on_each(servers: Sequence[Server], check: Check) -> None:
    """Run a check on all servers. Meanwhile they serve others, and afterwards all is well."""
    await side_by_side({str(each.kind): _check_while_echoing(each, check) for each in servers})


async def _check_while_echoing(server: Server, check: Check) -> None:
    echoing = asyncio.create_task(_keep_echoing(server))
    try:
        await check(server)
    finally:
        is_echoing = not echoing.done()
        echoing.cancel()
        await asyncio.wait([echoing])
    if not is_echoing:
        echoing.result()
    await check_echo(server, "/echo")
    server.check_log()


async def _keep_echoing(server: Server) -> None:
    while True:
        await check_echo(server, "/echo")
        await asyncio.sleep(ECHOES_EVERY)


def on_all_servers(check: Check) -> Callable[..., Any]:
    """Make a test of a check: it runs on our Daphne, stock Daphne and uvicorn."""

    async def test(upkeep_servers: list[Server]) -> None:
        await on_each(upkeep_servers, check)

    test.__doc__ = check.__doc__
    return test
