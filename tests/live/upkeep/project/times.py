"""Handlers whose endpoints bound times, and who wait no longer than they say."""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket

from .records import Record, noted, watched

RESTS = 2.2  # seconds, long enough for a reader to start
SECONDS = 2.0  # of each bound

api = BoltAPI(prefix="/times")


@watched
@api.websocket("/idle/{name}", idle_timeout=SECONDS)
async def idle(websocket: WebSocket, name: str) -> None:
    with noted(name):
        await websocket.send_text("begun")
        async for text in websocket.iter_text():
            await websocket.send_text(text)


@watched
@api.websocket("/idle-pushes/{name}", idle_timeout=SECONDS)
async def idle_pushes(websocket: WebSocket, name: str) -> None:
    """Do not receive, and what the client says counts all the same."""
    with noted(name):
        while True:
            await websocket.send_text("more")
            await asyncio.sleep(0.1)


@watched
@api.websocket("/lives/{name}", max_lifetime=SECONDS)
async def lives(websocket: WebSocket, name: str) -> None:
    with noted(name):
        await websocket.send_text("begun")
        async for text in websocket.iter_text():
            await websocket.send_text(text)


@watched
@api.websocket("/sends/{name}", send_timeout=SECONDS)
async def sends(websocket: WebSocket, name: str, count: int, size: int) -> None:
    with noted(name) as record:
        await websocket.accept()
        for _ in range(count):
            await websocket.send_bytes(bytes(size))
        record.note("sent")
        await record.wait_for("released")


@watched
@api.websocket("/sleeps/{name}")
async def sleeps(websocket: WebSocket, name: str) -> None:
    """Have the grace of the settings."""
    with noted(name):
        await websocket.send_text("begun")
        await asyncio.sleep(3600)


@watched
@api.websocket("/short-waits/{name}")
async def short_waits(websocket: WebSocket, name: str, to: int) -> None:
    """Count to `to`, waiting for each number for up to two milliseconds, or not at all."""
    with noted(name) as record:
        await websocket.accept()
        counted = Counted(to)
        for wait in counted:
            try:
                counted.take(await websocket.receive_text(timeout=wait))
            except TimeoutError:
                counted.timeouts += 1
            if counted.has_to_rest():
                await asyncio.sleep(RESTS)
        await websocket.send_json(counted.result(record))


@watched
@api.websocket("/short-blocking-waits/{name}")
def short_blocking_waits(websocket: BlockingWebSocket, name: str, to: int) -> None:
    with noted(name) as record:
        websocket.accept()
        counted = Counted(to)
        for wait in counted:
            try:
                counted.take(websocket.receive_text(timeout=wait))
            except TimeoutError:
                counted.timeouts += 1
            if counted.has_to_rest():
                time.sleep(RESTS)
        websocket.send_json(counted.result(record))


class Counted:
    """Numbers that have come, and how long to wait for each next one."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.number = self.wrong = self.timeouts = 0
        self._rests = [to // 2, to // 4]
        self._random = random.Random(8)

    def __iter__(self) -> Iterator[float]:
        for _ in itertools.takewhile(lambda _: self.number < self.to, itertools.count()):
            yield max(0.0, self._random.uniform(-0.001, 0.002))

    def take(self, text: str) -> None:
        self.wrong += int(text) != self.number
        self.number += 1

    def has_to_rest(self) -> bool:
        if self._rests and self.number >= self._rests[-1]:
            self._rests.pop()
            return True
        return False

    def result(self, record: Record) -> list[int]:
        result = [self.number, self.wrong, self.timeouts]
        record.note("received", result)
        return result
