"""A bare ASGI application that reports on itself: `tests.live.flow.asgi:application`.

Connections have names, `/<what it does>/<name>`. `/control` tells what became of each.
"""

import asyncio
import gc
import itertools
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import django

django.setup()

# Django is set up now, which all of these need.
from bolt_ws import BoltAPI, WebSocket  # noqa: E402
from bolt_ws.daphne import install  # noqa: E402

from .counts import counts  # noqa: E402
from .messages import is_numbered, numbered  # noqa: E402

install()


@dataclass
class Record:
    """What became of one connection."""

    sent: int = 0
    received: int = 0
    events: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _noted: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def note(self, event: str) -> None:
        async with self._noted:
            self.events.append(event)
            self._noted.notify_all()

    async def wait_for(self, event: str) -> None:
        async with self._noted:
            await self._noted.wait_for(lambda: any(each.startswith(event) for each in self.events))

    def as_json(self) -> dict[str, Any]:
        return {"sent": self.sent, "received": self.received, "events": self.events}


class Peer:
    """One connection, as the handlers here like it."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.receive = receive
        self.send = send
        _, self.does, self.name, *_ = f"{scope['path']}//".split("/")
        self.query = dict(parse_qsl(scope["query_string"].decode()))
        self.record = records[self.name]

    def number(self, name: str, default: float = 0) -> int:
        return int(self.query.get(name, default))

    async def accept(self) -> None:
        await self.send({"type": "websocket.accept"})

    async def say(self, value: Any) -> None:
        await self.send({"type": "websocket.send", "text": json.dumps(value)})

    async def send_numbered(self, number: int, size: int, prefix: bytes = b"") -> None:
        await self.send({"type": "websocket.send", "bytes": prefix + numbered(number, size)})
        self.record.sent += 1

    async def until_disconnect(self) -> None:
        """Receive until the end, and note its code."""
        while (message := await self.receive())["type"] != "websocket.disconnect":
            self.record.received += 1
        await self.record.note(f"disconnect {message['code']}")


Handler = Callable[[Peer], Awaitable[None]]
records: defaultdict[str, Record] = defaultdict(Record)
handlers: dict[str, Handler] = {}


def serves(path: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        handlers[path] = handler
        return handler

    return register


@serves("control")
async def control(peer: Peer) -> None:
    """Answer questions, each `[what, name, ...]` in JSON."""
    await peer.accept()
    while (message := await peer.receive())["type"] == "websocket.receive":
        what, name, *rest = json.loads(message["text"])
        record = records[name]
        if what == "counts":
            await peer.say(counts())
            continue
        if what == "forget":
            records.clear()
            record = Record()
        elif what == "release":
            record.released.set()
        elif what == "wait":
            await record.wait_for(*rest)
        await peer.say(record.as_json())


@serves("echoes")
async def echoes(peer: Peer) -> None:
    await peer.accept()
    try:
        while (message := await peer.receive())["type"] == "websocket.receive":
            data, text = message.get("bytes"), message.get("text")
            answer = {"text": text} if data is None else {"bytes": data}
            await peer.send({"type": "websocket.send", **answer})
            peer.record.sent += 1
    except OSError:
        await peer.record.note("OSError")
        await peer.until_disconnect()
    else:
        await peer.record.note(f"disconnect {message['code']}")


@serves("sends")
async def sends(peer: Peer) -> None:
    """Send `count` messages of `size` bytes in each of `tasks` tasks, as fast as it goes."""
    await peer.accept()
    size, count, tasks = peer.number("size"), peer.number("count"), peer.number("tasks", 1)

    async def send_all(task: int) -> None:
        prefix = b"" if tasks == 1 else bytes([task])
        try:
            for number in range(count):
                await peer.send_numbered(number, size, prefix)
        except OSError:
            await peer.record.note("OSError")

    await asyncio.gather(*map(send_all, range(tasks)))
    await peer.record.note("sent")
    await peer.until_disconnect()
    try:
        await peer.send_numbered(0, 1)
    except OSError:
        await peer.record.note("send refused")


@serves("holds")
async def holds(peer: Peer) -> None:
    """Do not receive until released. Then check the messages up to the first text, and tell."""
    await peer.accept()
    await peer.record.note("accepted")
    await peer.record.released.wait()
    await check_messages(peer, peer.receive)


@serves("accepts-late")
async def accepts_late(peer: Peer) -> None:
    """Do not accept until released."""
    await peer.record.released.wait()
    await peer.accept()
    await check_messages(peer, peer.receive)


async def check_messages(peer: Peer, receive: Callable[[], Awaitable[Any]]) -> None:
    wrong = 0
    for number in itertools.count():
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await peer.record.note(f"disconnect {message['code']}")
            return
        if message.get("text") is not None:
            await peer.say({"received": number, "wrong": wrong})
            break
        wrong += not is_numbered(message["bytes"], number)
        peer.record.received = number + 1
    await peer.until_disconnect()


@serves("cancels")
async def cancels(peer: Peer) -> None:
    """Receive as `way` says, cancelling each wait after up to 2 ms."""
    await peer.accept()
    waits = itertools.cycle(number / 10_000 for number in range(1, 21))
    cancelled = 0

    async def once() -> Any:
        wait = next(waits)
        match peer.query["way"]:
            case "wait_for":
                return await asyncio.wait_for(peer.receive(), wait)
            case "timeout":
                async with asyncio.timeout(wait):
                    return await peer.receive()
            case "task":
                task = asyncio.ensure_future(peer.receive())
                await asyncio.wait([task], timeout=wait)
                task.cancel()
                await asyncio.wait([task])
                if task.cancelled():
                    raise TimeoutError
                return task.result()

    async def receive() -> Any:
        nonlocal cancelled
        while True:
            try:
                return await once()
            except TimeoutError:
                cancelled += 1
                peer.record.sent = cancelled

    await check_messages(peer, receive)


@serves("cleans-up")
async def cleans_up(peer: Peer) -> None:
    """Wait to be cancelled, take `ms` milliseconds to clean up, and send a last message."""
    await peer.accept()
    try:
        await peer.until_disconnect()
    except asyncio.CancelledError:
        print(f"{peer.name} was cancelled", flush=True)
        await asyncio.sleep(peer.number("ms") / 1000)
        await peer.say("goodbye")
        raise
    finally:
        print(f"{peer.name} has ended", flush=True)


@serves("swallows")
async def swallows(peer: Peer) -> None:
    """Do not let itself be cancelled."""
    await peer.accept()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print(f"{peer.name} was cancelled", flush=True)


@serves("hangs")
async def hangs(peer: Peer) -> None:
    """Hang in the cleanup."""
    await peer.accept()
    try:
        await peer.until_disconnect()
    finally:
        print(f"{peer.name} was cancelled", flush=True)
        await asyncio.sleep(3600)


@serves("never-accepts")
async def never_accepts(peer: Peer) -> None:
    print(f"{peer.name} has begun", flush=True)
    await asyncio.sleep(3600)


@serves("refuses")
async def refuses(peer: Peer) -> None:
    await peer.send({"type": "websocket.close"})


@serves("closes")
async def closes(peer: Peer) -> None:
    await peer.accept()
    await peer.send({"type": "websocket.close", "code": 4000})


@serves("waits-for-the-end")
async def waits_for_the_end(peer: Peer) -> None:
    await peer.until_disconnect()


@serves("receives-one")
async def receives_one(peer: Peer) -> None:
    """Receive one message, send it back, and do nothing until it cannot."""
    await peer.accept()
    await peer.send({"type": "websocket.send", "bytes": (await peer.receive())["bytes"]})
    await asyncio.sleep(0.05)
    await peer.until_disconnect()


@serves("denies")
async def denies(peer: Peer) -> None:
    """Refuse with a response that is sent as `sends` sends messages."""
    size, count = peer.number("size"), peer.number("count")
    await peer.send({"type": "websocket.http.response.start", "status": 418, "headers": []})
    try:
        for number in range(count):
            body = {"body": numbered(number, size), "more_body": number < count - 1}
            await peer.send({"type": "websocket.http.response.body", **body})
            peer.record.sent += 1
    except OSError:
        await peer.record.note("OSError")
    await peer.record.note("sent")
    await peer.until_disconnect()


@serves("raises")
async def raises(peer: Peer) -> None:
    await peer.accept()
    raise RuntimeError("raised after accept")


api = BoltAPI()


@api.websocket("/compiled/{name}")
async def compiled(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@compiled.on_close
async def compiled_closes(websocket: WebSocket, name: str, code: int) -> str:
    print(f"{name} closes with {code}", flush=True)
    return "goodbye"


compiled_application = api.as_asgi()


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Answer with a page, or not at all under `/poll`."""
    if scope["path"].startswith("/poll"):
        print(f"{scope['path']} has begun", flush=True)
        await asyncio.sleep(3600)
    headers = [(b"content-length", b"6")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"a page"})


async def lifespan(receive: Any, send: Any) -> None:
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await page(scope, receive, send)
    elif scope["path"].startswith("/compiled/"):
        await compiled_application(scope, receive, send)
    else:
        await receive()  # websocket.connect
        peer = Peer(scope, receive, send)
        await handlers[peer.does](peer)


# What is there now stays, and is not counted: looking for leaks is a lot faster without it.
gc.freeze()
