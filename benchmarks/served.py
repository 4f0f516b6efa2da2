"""The applications that the benchmarks serve, all in one module: an ASGI server is given a name.

`BENCH_DAPHNE=stock` in the environment leaves Daphne alone; `BENCH_TRACE=1` counts what Python
allocates; `BENCH_LAYER` is the channel layer, "memory", or "core" or "pubsub" of `channels_redis`
with the Redis at the URL `BENCH_REDIS`.
"""

from __future__ import annotations

import gc
import json
import os
import tracemalloc
from typing import Any

import django
from django.conf import settings

DAPHNE = os.environ.get("BENCH_DAPHNE", "complete")
# Without these, redis-py 8 would give up after 5 seconds, as long as `channels_redis.core` has
# Redis wait for a message, and refuse the 101st of the consumers that leave a group at once.
REDIS = [
    {
        "address": os.environ.get("BENCH_REDIS", ""),
        "socket_timeout": 30,
        "max_connections": 5_000,
    }
]
CAPACITY = 10_000  # messages: none is to be lost
LAYERS: dict[str, dict[str, Any]] = {
    "memory": {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        "CONFIG": {"capacity": CAPACITY},
    },
    "core": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": REDIS, "prefix": DAPHNE, "capacity": CAPACITY},
    },
    "pubsub": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": REDIS, "prefix": DAPHNE},
    },
}

settings.configure(
    SECRET_KEY="benchmark" * 6,
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["bolt_ws"],
    CHANNEL_LAYERS={"default": LAYERS[os.environ.get("BENCH_LAYER", "memory")]},
    BOLT_WS={"DAPHNE": DAPHNE},
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.routing import WebSocketRoute  # noqa: E402
from starlette.websockets import WebSocket as StarletteWebSocket  # noqa: E402

from bolt_ws import BoltAPI, WebSocket  # noqa: E402

if DAPHNE == "complete":
    import bolt_ws.daphne

    bolt_ws.daphne.install()

if os.environ.get("BENCH_TRACE") == "1":
    tracemalloc.start()


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Echo in nothing but ASGI."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": event["text"]})


api = BoltAPI()


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Echo in bolt_ws."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@api.websocket("/room")
async def chat(websocket: WebSocket) -> None:
    """Forward each message to all in a room."""
    await websocket.accept()
    async with websocket.join("r") as members:
        await websocket.send_text("joined")
        async for text in websocket.iter_text():
            await members.send_text(text)


class Echo(AsyncWebsocketConsumer):
    """Echo in Channels."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send it back."""
        await self.send(text_data=text_data)


class Chat(AsyncWebsocketConsumer):
    """A room in Channels, as its documentation has it."""

    async def connect(self) -> None:
        """Join."""
        await self.channel_layer.group_add("r", self.channel_name)
        await self.accept()
        await self.send(text_data="joined")

    async def disconnect(self, code: int) -> None:
        """Leave."""
        await self.channel_layer.group_discard("r", self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send to all."""
        await self.channel_layer.group_send("r", {"type": "chat.message", "text": text_data})

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Forward what was sent to all."""
        await self.send(text_data=event["text"])


async def echo_in_starlette(websocket: StarletteWebSocket) -> None:
    """Echo in Starlette."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def collect(scope: Any, receive: Any, send: Any) -> None:
    """Collect garbage, and answer with the bytes that Python has allocated, if it counts them."""
    gc.collect()
    body = json.dumps(tracemalloc.get_traced_memory()[0]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


compiled = ProtocolTypeRouter({"http": collect, "websocket": api.as_asgi()})
consumer = ProtocolTypeRouter(
    {
        "http": collect,
        "websocket": URLRouter([path("echo", Echo.as_asgi()), path("room", Chat.as_asgi())]),
    }
)
starlette = Starlette(routes=[WebSocketRoute("/echo", echo_in_starlette)])
