"""What became of each connection, and when. Connections have names, and the tests ask by them."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.endpoint import Endpoint
from bolt_ws.states import WebSocketState

LOOKS_EVERY = 0.05  # seconds

api = BoltAPI()


class Record:
    """The events of one connection: for each the times, on the clock of the machine, and values."""

    def __init__(self) -> None:
        self.events: defaultdict[str, list[tuple[float, Any]]] = defaultdict(list)
        self._noted: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._loop = asyncio.get_running_loop()

    def note(self, event: str, value: Any = None) -> None:
        """Note an event, in any thread."""
        self.events[event].append((time.monotonic(), value))
        self._loop.call_soon_threadsafe(self._noted[event].set)

    async def wait_for(self, event: str) -> None:
        await self._noted[event].wait()


records: defaultdict[str, Record] = defaultdict(Record)
_looks: set[asyncio.Task[None]] = set()  # an event loop alone does not keep its tasks


async def begin(websocket: WebSocket, name: str) -> None:
    records[name].note("began")
    task = asyncio.create_task(look(websocket, records[name]))
    _looks.add(task)
    task.add_done_callback(_looks.discard)


async def look(websocket: WebSocket, record: Record) -> None:
    """Note when the connection is known to have ended, whatever its handler does."""
    while websocket.state is not WebSocketState.DISCONNECTED:  # noqa: ASYNC110
        await asyncio.sleep(LOOKS_EVERY)
    record.note("learned", websocket.close_code)


async def end(websocket: WebSocket, name: str, code: int) -> None:
    records[name].note("closed", code)


def watched(endpoint: Endpoint) -> Endpoint:
    """Have the ends of an endpoint's connections noted."""
    endpoint.on_connect(begin)
    endpoint.on_close(end)
    return endpoint


@contextmanager
def noted(name: str) -> Iterator[Record]:
    """Note how a handler ends."""
    record = records[name]
    try:
        yield record
    except BaseException as error:
        record.note("raised", type(error).__name__)
        raise
    finally:
        record.note("ended")


@api.websocket("/told/{name}")
async def told(websocket: WebSocket, name: str, events: str) -> None:
    """Wait for events of a connection, separated by commas, and tell all of its events."""
    await websocket.accept()
    for event in events.split(","):
        await records[name].wait_for(event)
    await websocket.send_json(records[name].events)


@api.websocket("/note/{name}/{event}")
async def note(websocket: WebSocket, name: str, event: str) -> None:
    """Note an event from outside."""
    records[name].note(event)
    await websocket.accept()


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)
