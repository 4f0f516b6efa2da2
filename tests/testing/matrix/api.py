"""An endpoint for each kind of code that may use the database: a handler, a guard, a dependency.

Each one tells the client what it did, and goes on until the client leaves.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from asgiref.sync import sync_to_async
from channels.db import aclose_old_connections, database_sync_to_async
from django.db import close_old_connections, connection, transaction

from bolt_ws import BlockingWebSocket, BoltAPI, Depends, WebSocket
from bolt_ws.auth import Guard

from .models import Note
from .work import Work, awork, link, work

api = BoltAPI()

ROWS = 20
"""What one transaction writes."""


@api.websocket("/async_handler")
async def async_handler(websocket: WebSocket) -> None:
    done = [
        await awork("asynchronous ORM"),
        await sync_to_async(work)("sync_to_async"),
        await database_sync_to_async(work)("database_sync_to_async"),
    ]
    await aclose_old_connections()
    done.append(await awork("after aclose_old_connections"))
    await websocket.send_json(done)
    async for name in websocket.iter_text():
        await websocket.send_json([await awork(name)])


@api.websocket("/sync_handler")
def sync_handler(websocket: BlockingWebSocket) -> None:
    done = [work("ORM")]
    with transaction.atomic():
        done.append(work("atomic"))
        with transaction.atomic():
            work("rolled back")
            transaction.set_rollback(True)
    close_old_connections()
    done.append(work("after close_old_connections"))
    connection.close()
    done.append(work("after close"))
    websocket.send_json(done)
    for name in websocket.iter_text():
        with transaction.atomic():
            answer = work(name)
        websocket.send_json([answer])


@api.websocket("/transaction")
def transactional(websocket: BlockingWebSocket) -> None:
    """Write `ROWS` rows, say how many there are more, and keep them if the client says so."""
    for is_kept in websocket.iter_json():
        with transaction.atomic():
            before = Note.objects.count()
            for _ in range(ROWS):
                Note.objects.create(text="in a transaction")
            more = Note.objects.count() - before
            transaction.set_rollback(not is_kept)
        websocket.send_json([more, link()])


class PlainGuard(Guard):
    def has_permission(self, websocket: WebSocket) -> bool:
        websocket.context.done = [work("plain guard")]
        return True


class CoroutineGuard(Guard):
    async def has_permission(self, websocket: WebSocket) -> bool:
        websocket.context.done.append(await awork("coroutine guard"))
        return True


@api.websocket("/guard", guards=[PlainGuard(), CoroutineGuard()])
async def guarded(websocket: WebSocket) -> None:
    await websocket.send_json(websocket.context.done)
    async for name in websocket.iter_text():
        await websocket.send_json([await awork(name)])


def plain() -> Work:
    return work("plain dependency")


async def coroutine() -> Work:
    return await awork("coroutine dependency")


def generator() -> Iterator[Work]:
    yield work("generator")
    work("generator's end")


async def asynchronous_generator() -> AsyncIterator[Work]:
    yield await awork("asynchronous generator")
    await awork("asynchronous generator's end")


@api.websocket("/dependency")
async def dependent(
    websocket: WebSocket,
    first: Annotated[Work, Depends(plain)],
    second: Annotated[Work, Depends(coroutine)],
    third: Annotated[Work, Depends(generator)],
    fourth: Annotated[Work, Depends(asynchronous_generator)],
) -> None:
    await websocket.send_json([first, second, third, fourth])
    async for name in websocket.iter_text():
        await websocket.send_json([await awork(name)])


EXPECTED = {
    "async_handler": [
        "asynchronous ORM",
        "sync_to_async",
        "database_sync_to_async",
        "after aclose_old_connections",
    ],
    "sync_handler": ["ORM", "atomic", "after close_old_connections", "after close"],
    "guard": ["plain guard", "coroutine guard"],
    "dependency": [
        "plain dependency",
        "coroutine dependency",
        "generator",
        "asynchronous generator",
    ],
}
"""What each endpoint writes before its first message, in order."""
AT_THE_END = {"dependency": ["asynchronous generator's end", "generator's end"]}
"""What it writes when the connection has ended."""
