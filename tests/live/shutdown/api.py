"""Handlers that wait in different ways, and say how they end."""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketDisconnect

api = BoltAPI()

Handler = Callable[[WebSocket], Awaitable[None]]


def say(websocket: WebSocket | BlockingWebSocket, what: str) -> None:
    sys.stdout.write(f"{websocket.path} {what}\n")  # in one piece: threads write, too


def serves(path: str) -> Callable[[Handler], Handler]:
    """Serve a handler that waits."""

    def register(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def wrapped(websocket: WebSocket) -> None:
            await websocket.send_text("ready")
            try:
                await handler(websocket)
            except asyncio.CancelledError:
                say(websocket, "was cancelled")
                raise
            finally:
                say(websocket, "has ended")

        @api.websocket(path)(wrapped).on_close
        async def closes(websocket: WebSocket, code: int) -> str:
            say(websocket, f"closes with {code}")
            return "goodbye"

        return handler

    return register


@serves("/pushes")
async def pushes(websocket: WebSocket) -> None:
    while True:
        await websocket.send_text("more")
        await asyncio.sleep(0.05)


@serves("/sleeps")
async def sleeps(websocket: WebSocket) -> None:
    await asyncio.sleep(3600)


@serves("/receives")
async def receives(websocket: WebSocket) -> None:
    async for _ in websocket.iter_text():
        pass


@serves("/listens")
async def listens(websocket: WebSocket) -> None:
    async with websocket.join("everybody"):
        await asyncio.Event().wait()


@serves("/cleans-up")
async def cleans_up(websocket: WebSocket) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        say(websocket, "cleans up")
        await asyncio.sleep(1)
        say(websocket, "has cleaned up")


@serves("/ignores")
async def ignores(websocket: WebSocket) -> None:
    """Do not let itself be cancelled."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            say(websocket, "goes on")


@api.websocket("/blocks")
def blocks(websocket: BlockingWebSocket) -> None:
    websocket.send_text("ready")
    try:
        websocket.receive_text()
    except WebSocketDisconnect:
        say(websocket, "was cancelled")
        raise
    finally:
        say(websocket, "has ended")


@blocks.on_close
def block_closes(websocket: BlockingWebSocket, code: int) -> str:
    say(websocket, f"closes with {code}")
    return "goodbye"


@api.websocket("/hangs")
async def hangs(websocket: WebSocket) -> None:
    await websocket.send_text("ready")
    await asyncio.sleep(3600)


@hangs.on_close
async def hangs_on(websocket: WebSocket) -> None:
    say(websocket, "hangs")
    await asyncio.sleep(3600)


@api.websocket("/waits", auto_accept=False)
async def waits(websocket: WebSocket) -> None:
    """Wait before it accepts."""
    say(websocket, "has begun")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        say(websocket, "was cancelled")
        raise
    finally:
        say(websocket, "has ended")
