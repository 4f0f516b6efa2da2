"""Applications that end without a close."""

import asyncio

from tests.live.server import Server

from .differences import expected
from .script import ACCEPT, RECEIVE, raises, send, text
from .wire import close_frame, playing

AT_ONCE = 0.5
"""Seconds. Daphne itself looks at its applications once a second."""


async def logged_once(server: Server, error: str) -> None:
    await server.failed(f"RuntimeError: {error}")
    words = "ERROR    Exception inside application: "
    words = expected(server.kind, "words of the log", words)
    assert server.log.count(words) == 1
    # Once in that line, and once behind the traceback.
    assert server.log.count(error) <= 2


async def test_the_application_returns(server: Server) -> None:
    right = expected(server.kind, "the application returns", (1000, ""))
    async with playing(server, RECEIVE, ACCEPT, text("last")) as wire:
        assert await wire.read_text() == "last"
        assert await wire.read_end() == right


async def test_the_application_returns_before_accept(server: Server) -> None:
    right = expected(server.kind, "the application returns before accept", 403)
    async with playing(server, RECEIVE) as wire:
        assert wire.status == right


async def test_the_application_raises(server: Server) -> None:
    error = f"raised, {server.kind}"
    right = {"end": (1011, ""), "at once": True}
    right = expected(server.kind, "the application raises", right)
    async with playing(server, RECEIVE, ACCEPT, raises(error)) as wire:
        begun = asyncio.get_running_loop().time()
        assert await wire.read_end() == right["end"]
        assert (asyncio.get_running_loop().time() - begun < AT_ONCE) or not right["at once"]
    await logged_once(server, error)


async def test_the_application_raises_before_accept(server: Server) -> None:
    error = f"raised before accept, {server.kind}"
    right = expected(server.kind, "the application raises", {"at once": True})
    begun = asyncio.get_running_loop().time()
    async with playing(server, RECEIVE, raises(error)) as wire:
        assert (asyncio.get_running_loop().time() - begun < AT_ONCE) or not right["at once"]
        assert wire.status == 500
        assert error.encode() not in await wire.read_body()
    await logged_once(server, error)


async def test_the_application_raises_after_the_end(server: Server) -> None:
    """It is logged all the same."""
    error = f"raised after the end, {server.kind}"
    async with playing(server, RECEIVE, ACCEPT, RECEIVE, raises(error)) as wire:
        await wire.send(close_frame(1000))
        assert (await wire.read_end(answers=False))[0] == 1000
    await logged_once(server, error)


async def test_an_exception_of_send_ends_it_as_any_other(server: Server) -> None:
    error = f"after nonsense, {server.kind}"
    right = expected(server.kind, "the application raises", {"end": (1011, "")})["end"]
    async with playing(server, RECEIVE, ACCEPT, send("nonsense"), raises(error)) as wire:
        assert await wire.read_end() == right
    await logged_once(server, error)
