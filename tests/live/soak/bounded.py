"""Endpoints with every bound, background tasks and streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.bounds import OverRate
from bolt_ws.options import EndpointOptions

MAX_SIZE = 1_000  # bytes
RATE = 50  # messages a second
BURST = 100
SOON = 2.0  # seconds

bounded = BoltAPI(prefix="/bounded")


def every_bound(over_rate: OverRate) -> EndpointOptions:
    return {
        "max_message_size": MAX_SIZE,
        "rate_limit": f"{RATE}/s",
        "burst": BURST,
        "over_rate": over_rate,
        "read_ahead": 16,
        "idle_timeout": 30,
        "max_lifetime": 120,
        "send_timeout": 5,
        "disconnect_grace": 0.5,
    }


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


for each in ("close", "drop", "wait"):
    bounded.websocket(f"/{each}", name=each, **every_bound(each))(echo)
bounded.websocket("/idle", name="idle", idle_timeout=SOON)(echo)
bounded.websocket("/short-lived", name="short-lived", max_lifetime=SOON)(echo)


@bounded.websocket("/pushes-much", send_timeout=SOON)
async def pushes_much(websocket: WebSocket) -> None:
    piece = bytes(64 * 1024)
    while True:
        await websocket.send_bytes(piece)


@bounded.websocket("/slow", read_ahead=4)
async def slow(websocket: WebSocket) -> None:
    """Answer late, so that the rest is read ahead."""
    async for text in websocket.iter_text():
        await asyncio.sleep(1.5)
        await websocket.send_text(text)


@bounded.websocket("/waits")
async def waits(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.wait_closed()


@bounded.websocket("/stubborn")
async def stubborn(websocket: WebSocket) -> None:
    """Take a while to end when cancelled."""
    await websocket.accept()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.5)


@bounded.websocket("/tasks")
async def tasks(websocket: WebSocket) -> None:
    """Send ticks beside the answers. One task fails if it is told to."""

    async def tick() -> None:
        number = 0
        while True:
            await websocket.send_text(f"tick {number}")
            number += 1
            await asyncio.sleep(0.3)

    async def fail() -> None:
        raise RuntimeError("raised in a task")

    websocket.start_task(tick())
    async for text in websocket.iter_text():
        if text == "fail":
            websocket.start_task(fail())
        else:
            await websocket.send_text(text)


@bounded.websocket_stream("/numbers")
async def numbers(websocket: WebSocket) -> AsyncIterator[str]:
    number = 0
    while True:
        yield str(number)
        number += 1
        await asyncio.sleep(0.2)


@bounded.websocket_stream("/numbers-blocking")
def numbers_blocking(websocket: WebSocket) -> Iterator[str]:
    for number in range(20):
        yield str(number)
        time.sleep(0.1)
