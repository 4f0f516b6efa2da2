"""Handlers whose endpoints bound what comes in."""

import asyncio
import itertools
import time

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket

from .records import noted, watched

BUSY = 3.0  # seconds
SIZE = 100  # bytes
STEP = 2500  # messages between two pauses

api = BoltAPI(prefix="/inbound")


@watched
@api.websocket("/stalls/{name}", disconnect_grace=1)
async def stalls(websocket: WebSocket, name: str) -> None:
    """Do not receive."""
    with noted(name):
        await websocket.send_text("begun")
        await asyncio.sleep(3600)


@watched
@api.websocket("/blocking-stalls/{name}", disconnect_grace=1)
def blocking_stalls(websocket: BlockingWebSocket, name: str) -> None:
    """Receive one message, and no more."""
    with noted(name):
        websocket.send_text("begun")
        websocket.receive_text()
        while websocket.connected:
            time.sleep(0.1)


# Its pauses take longer than the default grace, which begins as soon as the close is seen.
@watched
@api.websocket("/pauses/{name}", disconnect_grace=30)
async def pauses(websocket: WebSocket, name: str, to: int, seconds: str) -> None:
    """Count to `to`, and pause now and then for one of `seconds`, separated by commas."""
    waits = itertools.cycle(map(float, seconds.split(",")))
    with noted(name) as record:
        number = wrong = 0
        async for text in websocket.iter_text():
            wrong += int(text) != number
            number += 1
            if number == to:
                await websocket.send_text("done")
            elif number % STEP == 0:
                await asyncio.sleep(next(waits))
        record.note("received", [number, wrong])


@watched
@api.websocket("/small/{name}", max_message_size=SIZE)
async def small(websocket: WebSocket, name: str) -> None:
    """Echo, and note the sizes."""
    with noted(name) as record:
        async for message in websocket:
            data = message.encode() if isinstance(message, str) else message
            record.note("received", len(data))
            await websocket.send_text(str(len(data)))


@watched
@api.websocket("/small-unread/{name}", max_message_size=SIZE, disconnect_grace=1)
async def small_unread(websocket: WebSocket, name: str) -> None:
    with noted(name):
        await websocket.send_text("begun")
        await asyncio.sleep(3600)


@watched
@api.websocket("/json/{name}")
async def json(websocket: WebSocket, name: str) -> None:
    with noted(name):
        async for value in websocket.iter_json():
            await websocket.send_json(value)


async def count(websocket: WebSocket, name: str, busy: float = 0) -> None:
    """Be busy for so long, and then echo."""
    with noted(name) as record:
        await websocket.send_text("begun")
        await asyncio.sleep(busy)
        async for text in websocket.iter_text():
            record.note("received", text)
            await websocket.send_text(text)


watched(api.websocket("/rate/close/{name}", rate_limit="5/s", over_rate="close")(count))
watched(api.websocket("/rate/drop/{name}", rate_limit="5/s", over_rate="drop")(count))
watched(api.websocket("/rate/wait/{name}", rate_limit="20/s", burst=5, over_rate="wait")(count))
watched(api.websocket("/rate/crawl/{name}", rate_limit="1/s", burst=2, over_rate="wait")(count))
watched(api.websocket("/rate/bursts/{name}", rate_limit="5/s", burst=10)(count))
