"""One broadcast to 1,000 members in one process: a room against Channels' `group_send`.

The channel layer is the one in memory. Each member has an `asyncio.Queue` as `receive` and another
behind `send`, asyncio's default loop runs all, for both the same. The clock runs from the call that
sends, with the encoding of its JSON, until the member that joined last has the message; then all
others must have it, and each is compared with what was sent. Channels' consumers forward the text
as it comes, as its documentation has it. Rounds are interleaved; each figure is the median of its
rounds.

    python benchmarks/broadcast_in_process.py [--rounds 5] [--members 1000] [--broadcasts 100]
"""

from __future__ import annotations

import argparse
import asyncio
import json
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
from channels.layers import get_channel_layer  # noqa: E402

from bolt_ws import BoltAPI, WebSocket, room  # noqa: E402

Application = Callable[..., Awaitable[Any]]
Sender = Callable[[dict[str, Any]], Awaitable[None]]

DONE_WITHIN = 60.0  # seconds, one round

api = BoltAPI()


@api.websocket("/")
async def member(websocket: WebSocket) -> None:
    """Be in the room."""
    await websocket.accept()
    async with websocket.join("r"):
        await websocket.send_text("joined")
        async for _ in websocket.iter_text():
            pass


class Consumer(AsyncWebsocketConsumer):
    """The same in Channels."""

    async def connect(self) -> None:
        """Be in the group."""
        await self.channel_layer.group_add("r", self.channel_name)
        await self.accept()
        await self.send(text_data="joined")

    async def disconnect(self, code: int) -> None:
        """Leave it."""
        await self.channel_layer.group_discard("r", self.channel_name)

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Forward a message."""
        await self.send(text_data=event["text"])


async def send_to_room(data: dict[str, Any]) -> None:
    """Broadcast in bolt_ws."""
    await room("r").asend_json(data)


async def send_to_group(data: dict[str, Any]) -> None:
    """Broadcast in Channels."""
    message = {"type": "chat.message", "text": json.dumps(data)}
    await get_channel_layer().group_send("r", message)


async def measure(
    application: Application, send: Sender, members: int, broadcasts: int
) -> list[float]:
    """Return the milliseconds of each broadcast."""
    inbound: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in range(members)]
    outbound: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in range(members)]
    scope = {
        "type": "websocket",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
    }
    pairs = zip(inbound, outbound, strict=True)
    tasks = [asyncio.ensure_future(application(dict(scope), i.get, o.put)) for i, o in pairs]
    for queue in inbound:
        queue.put_nowait({"type": "websocket.connect"})
    for queue in outbound:
        accepted, joined = await queue.get(), await queue.get()
        assert (accepted["type"], joined["text"]) == ("websocket.accept", "joined")

    *others, last = outbound
    times = []
    for number in range(-1, broadcasts):
        data = {"from": "benchmark", "number": number}
        start = time.perf_counter()
        await send(data)
        event = await last.get()
        times.append((time.perf_counter() - start) * 1e3)
        events = [event, *(queue.get_nowait() for queue in others)]
        assert all(json.loads(each["text"]) == data for each in events)
    assert all(queue.empty() for queue in outbound)

    for queue in inbound:
        queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await asyncio.gather(*tasks)
    return times[1:]  # the first one was to warm up


async def one_round(application: Application, send: Sender, members: int, broadcasts: int) -> float:
    """Return the median of the milliseconds of a broadcast."""
    async with asyncio.timeout(DONE_WITHIN):
        return statistics.median(await measure(application, send, members, broadcasts))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--broadcasts", type=int, default=100, help="of each round, to the room")
    options = parser.parse_args()
    few = max(1, options.broadcasts // 25)
    candidates: dict[str, tuple[Application, Sender, int, int]] = {
        "bolt_ws, a room": (api.as_asgi(), send_to_room, options.members, options.broadcasts),
        "Channels, group_send": (Consumer.as_asgi(), send_to_group, options.members, few),
    }
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(options.rounds):
        for name, candidate in candidates.items():
            figures[name].append(asyncio.run(one_round(*candidate)))
    print(f"{f'to {options.members:,} members':24}{'ms':>10}{'lowest':>10}{'highest':>10}", end="")
    print(f"{'us/member':>12}")
    for name, values in figures.items():
        ms = statistics.median(values)
        print(f"{name:24}{ms:10.2f}{min(values):10.2f}{max(values):10.2f}", end="")
        print(f"{ms / options.members * 1e3:12.2f}")
    ours, channels = (statistics.median(values) for values in figures.values())
    print(f"Channels' group_send over a room: {channels / ours:.0f} (budget: >= 100)")


if __name__ == "__main__":
    main()
