"""Handlers whose clients leave, and that do not look. Each says "begun" first."""

import asyncio
import math
import time
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket

from .records import noted, records, watched

TAKES = 2.0  # seconds for one message of `receives-slowly`

api = BoltAPI(prefix="/gone")


@watched
@api.websocket("/pushes/{name}")
async def pushes(websocket: WebSocket, name: str) -> None:
    with noted(name):
        await websocket.send_text("begun")
        while True:
            await asyncio.sleep(0.1)
            await websocket.send_text("more")


@watched
@api.websocket("/pushes-much/{name}")
async def pushes_much(websocket: WebSocket, name: str) -> None:
    """Send more than the network takes for a client that does not read."""
    with noted(name):
        await websocket.send_text("begun")
        while True:
            await websocket.send_bytes(bytes(65536))
            await asyncio.sleep(0.005)


@watched
@api.websocket("/floods/{name}")
async def floods(websocket: WebSocket, name: str) -> None:
    """Send, and wait for nothing else."""
    with noted(name):
        await websocket.send_text("begun")
        while True:
            await websocket.send_text("more")


@watched
@api.websocket("/hurries/{name}")
async def hurries(websocket: WebSocket, name: str) -> None:
    """Send in each turn of the event loop: also in that after the server itself has closed."""
    with noted(name):
        await websocket.send_text("begun")
        while True:
            await websocket.send_text("")
            await asyncio.sleep(0)


@watched
@api.websocket("/sleeps/{name}")
async def sleeps(websocket: WebSocket, name: str) -> None:
    with noted(name):
        await websocket.send_text("begun")
        await asyncio.sleep(3600)


@watched
@api.websocket("/receives/{name}")
async def receives(websocket: WebSocket, name: str) -> None:
    with noted(name):
        await websocket.send_text("begun")
        while True:
            await websocket.receive_text()


@watched
@api.websocket("/receives-once/{name}")
async def receives_once(websocket: WebSocket, name: str) -> None:
    with noted(name) as record:
        await websocket.send_text("begun")
        record.note("received", await websocket.receive_text())
        await asyncio.sleep(3600)


@watched
@api.websocket("/receives-slowly/{name}", disconnect_grace=4 * TAKES)
async def receives_slowly(websocket: WebSocket, name: str) -> None:
    with noted(name) as record:
        await websocket.send_text("begun")
        async for text in websocket.iter_text():
            await asyncio.sleep(TAKES)
            record.note("received", text)
        record.note("received", "the end")


@watched
@api.websocket("/receives-steadily/{name}")
async def receives_steadily(websocket: WebSocket, name: str) -> None:
    """Take less than a second for each message."""
    with noted(name) as record:
        await websocket.send_text("begun")
        async for text in websocket.iter_text():
            await asyncio.sleep(0.8)
            record.note("received", text)


@watched
@api.websocket("/listens/{name}")
async def listens(websocket: WebSocket, name: str) -> None:
    with noted(name):
        async with websocket.join("listeners"):
            await websocket.send_text("begun")
            await asyncio.Event().wait()


@watched
@api.websocket("/listens-to-a-group/{name}")
async def listens_to_a_group(websocket: WebSocket, name: str) -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    with noted(name):
        await layer.group_add("listeners", channel)
        await websocket.send_text("begun")
        try:
            await layer.receive(channel)
        finally:
            await layer.group_discard("listeners", channel)


@watched
@api.websocket("/waits-closed/{name}")
async def waits_closed(websocket: WebSocket, name: str) -> None:
    with noted(name):
        await websocket.send_text("begun")
        await websocket.wait_closed()


@watched
@api.websocket("/goes-on/{name}")
async def goes_on(websocket: WebSocket, name: str) -> None:
    """End at the second cancellation."""
    with noted(name) as record:
        await websocket.send_text("begun")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            record.note("cancelled")
        await asyncio.sleep(3600)


@watched
@api.websocket("/has-for-ever/{name}", disconnect_grace=math.inf)
async def has_for_ever(websocket: WebSocket, name: str) -> None:
    with noted(name) as record:
        await websocket.send_text("begun")
        await record.wait_for("released")


@watched
@api.websocket("/blocking-pushes/{name}")
def blocking_pushes(websocket: BlockingWebSocket, name: str) -> None:
    with noted(name):
        websocket.send_text("begun")
        while True:
            time.sleep(0.1)
            websocket.send_text("more")


@watched
@api.websocket("/blocking-looks/{name}")
def blocking_looks(websocket: BlockingWebSocket, name: str) -> None:
    with noted(name):
        websocket.send_text("begun")
        while websocket.connected:
            time.sleep(0.1)


@watched
@api.websocket("/blocking-receives/{name}")
def blocking_receives(websocket: BlockingWebSocket, name: str) -> None:
    with noted(name):
        websocket.send_text("begun")
        while True:
            websocket.receive_text()


@watched
@api.websocket("/blocking-receives-once/{name}")
def blocking_receives_once(websocket: BlockingWebSocket, name: str) -> None:
    with noted(name) as record:
        websocket.send_text("begun")
        record.note("received", websocket.receive_text())
        while websocket.connected:
            time.sleep(0.1)


class Consumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send("begun")

    async def disconnect(self, code: int) -> None:
        records[name_in(self.scope)].note("ended")


class HangingConsumer(Consumer):
    """Hang in the first message: Channels dispatches no disconnect meanwhile."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        with noted(name_in(self.scope)) as record:
            record.note("received", text_data)
            await asyncio.sleep(3600)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Push, and ask no more."""
    await receive()  # websocket.connect
    with noted(name_in(scope)):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "begun"})
        while True:
            await asyncio.sleep(0.1)
            await send({"type": "websocket.send", "text": "more"})


def name_in(scope: Any) -> str:
    return str(scope["path"]).rpartition("/")[2]


for path, each in {
    "consumer": Consumer,
    "consumer-hangs": HangingConsumer,
    "application": application,
}.items():
    watched(api.add_websocket_route(f"/{path}/{{name}}", each))
