"""Endpoints that query, each in its way."""

from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import DatabaseError, connections

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.auth import JWTAuthentication

api = BoltAPI()


def ask(sql: str, *arguments: Any, using: str = "default") -> Any:
    """Return the one value that a statement gives."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchone()[0]


def double(number: int, using: str = "default") -> int:
    return int(ask("select %s * 2", number, using=using))


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@api.websocket("/queries")
async def queries(websocket: WebSocket) -> None:
    """Answer a number with what the database makes of it, asked in all ways that there are."""
    async for number in websocket.iter_json():
        answers = [
            [
                (await User.objects.using(using).aget(pk=number)).username,
                await User.objects.using(using).filter(pk__lte=number).acount(),
                await sync_to_async(double)(number, using),
                await database_sync_to_async(double)(number, using),
            ]
            for using in ("default", "pooled")
        ]
        await websocket.send_json(answers)


@api.websocket("/me", auth=[JWTAuthentication()])
async def me(websocket: WebSocket) -> None:
    """Answer with the user's name, and with what a query says of it."""
    user = await websocket.auser()
    async for number in websocket.iter_json():
        await user.arefresh_from_db(using="pooled")
        await websocket.send_json([user.username, await sync_to_async(double)(number)])


@api.websocket("/blocking")
def blocking(ws: BlockingWebSocket) -> None:
    for text in ws.iter_text():
        ws.send_json(double(int(text)))


@api.websocket("/sleep")
async def sleep(websocket: WebSocket) -> None:
    """Have the database take as many seconds as each message says."""
    async for seconds in websocket.iter_json():
        await sync_to_async(ask)("select pg_sleep(%s)", seconds)
        await websocket.send_text("slept")


@api.websocket("/backend/{using}")
async def backend(websocket: WebSocket, using: str) -> None:
    """Answer each message with the process of PostgreSQL that serves us, 0 for none."""
    async for _ in websocket.iter_text():
        try:
            await websocket.send_json(
                await sync_to_async(ask)("select pg_backend_pid()", using=using)
            )
        except DatabaseError:
            await websocket.send_json(0)
