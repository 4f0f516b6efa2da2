"""Consumers as Channels' documentation has one write them."""

import asyncio
from typing import Any

from channels.generic.websocket import (
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)

SUBPROTOCOL = "consumers.v1"
gone = asyncio.Event()


class AsyncConsumer(AsyncWebsocketConsumer):
    """Tells everybody in its group what one of them says."""

    groups = ["matrix"]

    async def connect(self) -> None:
        await self.accept(SUBPROTOCOL, headers=[(b"x-consumer", b"async")])

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            await self.close(1008, "as asked")
        elif text_data is None:
            await self.send(bytes_data=bytes_data)
        else:
            await self.channel_layer.group_send("matrix", {"type": "say", "text": text_data})

    async def say(self, event: dict[str, str]) -> None:
        await self.send(event["text"])


class SyncConsumer(WebsocketConsumer):
    """Echoes."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            self.close(1008, "as asked")
        else:
            self.send(text_data, bytes_data)


class JsonConsumer(JsonWebsocketConsumer):
    """Echoes JSON."""

    def receive_json(self, content: Any, **options: Any) -> None:
        if content == "close":
            self.close(1008, "as asked")
        else:
            self.send_json(content)


class Busy(AsyncWebsocketConsumer):
    """Takes its time for an answer, and says in the log what it hears of the end."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        print(f"{text_data}: at work", flush=True)
        await gone.wait()
        await self.send(text_data)
        print(f"{text_data}: answered", flush=True)
        self.name = text_data

    async def disconnect(self, code: int) -> None:
        print(f"{self.name}: told of {code}", flush=True)


class Leaving(AsyncWebsocketConsumer):
    """Lets the busy consumers answer."""

    async def connect(self) -> None:
        await self.accept()
        gone.set()
        gone.clear()


class Denying(AsyncWebsocketConsumer):
    """Refuses."""

    async def connect(self) -> None:
        await self.close()


PATHS = {
    "/async": AsyncConsumer.as_asgi(),
    "/sync": SyncConsumer.as_asgi(),
    "/json": JsonConsumer.as_asgi(),
    "/busy": Busy.as_asgi(),
    "/leaving": Leaving.as_asgi(),
    "/denying": Denying.as_asgi(),
}
