"""Handlers with work beside them, and handlers that are generators."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket, WebSocketException

from .records import Record, noted, records, watched

api = BoltAPI(prefix="/tasks")


async def work(record: Record | None = None) -> None:
    """Go on until cancelled."""
    try:
        await asyncio.sleep(3600)
    finally:
        if record is not None:
            await asyncio.sleep(0.05)  # its end is awaited
            record.note("worked")


@watched
@api.websocket("/works/{name}")
async def works(websocket: WebSocket, name: str) -> None:
    with noted(name) as record:
        websocket.start_task(work(record))
        await websocket.send_text("begun")
        async for text in websocket.iter_text():
            await websocket.send_text(text)


@watched
@api.websocket("/returns/{name}")
async def returns(websocket: WebSocket, name: str) -> None:
    """Return, while the work goes on."""
    with noted(name) as record:
        await websocket.send_text("begun")
        websocket.start_task(work(record))
        await asyncio.sleep(0.1)


@watched
@api.websocket("/fails/{name}")
async def fails(websocket: WebSocket, name: str, how: str) -> None:
    """Sleep, until the work beside fails."""
    with noted(name) as record:
        await websocket.send_text("begun")
        websocket.start_task(work(record))
        websocket.start_task(fail(how))
        await asyncio.sleep(3600)


async def fail(how: str) -> None:
    await asyncio.sleep(0.1)
    if how == "closes":
        raise WebSocketException(4321, "as asked")
    raise RuntimeError("raised in a task")


@api.websocket("/many")
async def many(websocket: WebSocket) -> None:
    websocket.start_task(work())
    websocket.start_task(work())
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@api.websocket("/count")
async def count(websocket: WebSocket) -> None:
    """Send how many tasks the event loop has, this connection's among them."""
    await websocket.send_json(len(asyncio.all_tasks()))


@watched
@api.websocket_stream("/streams/{name}")
async def streams(websocket: WebSocket, name: str) -> AsyncIterator[str]:
    with noted(name):
        yield "begun"
        while True:
            await asyncio.sleep(0.1)
            yield "more"


@watched
@api.websocket_stream("/stream-sleeps/{name}")
async def stream_sleeps(websocket: WebSocket, name: str) -> AsyncIterator[str]:
    with noted(name):
        yield "begun"
        await asyncio.sleep(3600)


@watched
@api.websocket_stream("/blocking-streams/{name}")
def blocking_streams(websocket: BlockingWebSocket, name: str) -> Iterator[str]:
    with noted(name):
        yield "begun"
        while True:
            time.sleep(0.1)
            yield "more"


@watched
@api.websocket_stream("/stream-ends/{name}")
async def stream_ends(websocket: WebSocket, name: str) -> AsyncIterator[str]:
    with noted(name):
        for number in range(3):
            yield str(number)


@watched
@api.websocket("/sends-stream/{name}")
async def sends_stream(websocket: WebSocket, name: str) -> None:
    await websocket.send_stream(endless(name))


async def endless(name: str) -> AsyncIterator[str]:
    with noted(name):
        yield "begun"
        await asyncio.sleep(3600)


@watched
@api.websocket("/sends-short-stream/{name}")
async def sends_short_stream(websocket: WebSocket, name: str) -> None:
    """Stream, and go on."""

    async def numbers() -> AsyncIterator[str]:
        with noted(name):
            for number in range(3):
                yield str(number)

    await websocket.send_stream(numbers())
    await websocket.send_text(str(len(records[name].events["ended"])))
