"""Echo in one process: what a compiled handler adds to a bare ASGI function, and to Channels.

An `asyncio.Queue` is `receive`, another stands behind `send`, asyncio's default loop runs both, and
has a timer that is due later, as each server has some: the same for all. Rounds are short and
interleaved, because a machine changes its pace between them; each figure is the median of its
rounds.

    python benchmarks/echo_in_process.py [--rounds 25] [--messages 4000]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="benchmark" * 6,
    INSTALLED_APPS=["bolt_ws"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402

from bolt_ws import BoltAPI, WebSocket  # noqa: E402

Application = Callable[..., Awaitable[Any]]

api = BoltAPI()


@api.websocket("/receive_text")
async def receive_text(websocket: WebSocket) -> None:
    """Echo as Starlette's page writes it."""
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


@api.websocket("/iter_text")
async def iter_text(websocket: WebSocket) -> None:
    """Echo as django-bolt's page writes it."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@api.websocket(
    "/bounded",
    max_message_size=65536,
    rate_limit="900000000/s",
    read_ahead=64,
    idle_timeout=60,
    max_lifetime=3600,
    send_timeout=30,
    disconnect_grace=5,
)
async def bounded(websocket: WebSocket) -> None:
    """Echo with every bound that an endpoint can have."""
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Echo in nothing but ASGI."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": event["text"]})


class Consumer(AsyncWebsocketConsumer):
    """Echo in Channels."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send it back."""
        await self.send(text_data=text_data)


async def measure(application: Application, path: str, messages: int) -> float:
    """Return the microseconds of one echo."""
    inbound: asyncio.Queue[Any] = asyncio.Queue()
    outbound: asyncio.Queue[Any] = asyncio.Queue()
    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
    }
    task = asyncio.ensure_future(application(scope, inbound.get, outbound.put))
    inbound.put_nowait({"type": "websocket.connect"})
    accepted = await outbound.get()
    assert accepted["type"] == "websocket.accept", accepted
    timer = asyncio.get_running_loop().call_later(3600, print)
    start = time.perf_counter()
    for number in range(messages):
        text = str(number)
        await inbound.put({"type": "websocket.receive", "text": text})
        reply = await outbound.get()
        assert reply["text"] == text, reply
    seconds = time.perf_counter() - start
    timer.cancel()
    inbound.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await task
    return seconds / messages * 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--messages", type=int, default=4_000)
    options = parser.parse_args()
    application = api.as_asgi()
    candidates: dict[str, tuple[Application, str, int]] = {
        "bare ASGI function": (bare, "/", options.messages),
        "bolt_ws, receive_text": (application, "/receive_text", options.messages),
        "bolt_ws, iter_text": (application, "/iter_text", options.messages),
        "bolt_ws, every bound": (application, "/bounded", options.messages),
        "AsyncWebsocketConsumer": (Consumer.as_asgi(), "/", options.messages // 10),
    }
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(options.rounds):
        for name, candidate in candidates.items():
            figures[name].append(asyncio.run(measure(*candidate)))
    base = statistics.median(figures["bare ASGI function"])
    print(f"{'':24}{'us/echo':>10}{'ratio':>8}{'added us':>10}")
    for name, values in figures.items():
        us = statistics.median(values)
        print(f"{name:24}{us:10.2f}{us / base:8.2f}{us - base:10.2f}")
    bolt = statistics.median(figures["bolt_ws, receive_text"])
    channels = statistics.median(figures["AsyncWebsocketConsumer"])
    print(f"AsyncWebsocketConsumer over bolt_ws, receive_text: {channels / bolt:.1f}")


if __name__ == "__main__":
    main()
