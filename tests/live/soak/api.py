"""The endpoints of the soak."""

import asyncio
import ctypes
import os
import time
from typing import Annotated, Any

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import connection

from bolt_ws import BlockingWebSocket, BoltAPI, Depends, WebSocket, user
from bolt_ws.auth import IsStaff, JWTAuthentication
from bolt_ws.options import EndpointOptions

from .bounded import bounded
from .counts import counts, holders

KICKED_BY_PAGE = (4321, "kicked by a page")
KICKED_BY_SOCKET = (4322, "kicked by a socket")
PIECE = 64 * 1024  # bytes

api = BoltAPI()
echo = BoltAPI(prefix="/echo")
private = BoltAPI(prefix="/private", auth=[JWTAuthentication()])

_libc = ctypes.CDLL(None)


@api.websocket("/control")
async def control(websocket: WebSocket) -> None:
    """Tell what the process holds, or what holds the objects of a type."""
    async for name in websocket.iter_text():
        if name:
            await websocket.send_json(holders(name))
            continue
        found = counts()
        _libc.malloc_trim(0)  # what is free must not count as held
        await websocket.send_json(found)


# Answers


@echo.websocket("/text")
async def echo_text(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@echo.websocket("/bytes")
async def echo_bytes(websocket: WebSocket) -> None:
    async for data in websocket.iter_bytes():
        await websocket.send_bytes(data)


@echo.websocket("/json")
async def echo_json(websocket: WebSocket) -> None:
    async for value in websocket.iter_json():
        await websocket.send_json(value)


@echo.websocket("/blocking")
def echo_blocking(websocket: BlockingWebSocket) -> None:
    for number, text in enumerate(websocket.iter_text()):
        if number % 4 == 0:
            User.objects.get(pk=1)
        websocket.send_text(text)


@api.websocket("/orm")
async def orm(websocket: WebSocket) -> None:
    """Answer a user's number with the user's name."""
    async for number in websocket.iter_json():
        found = await User.objects.aget(pk=number)
        await websocket.send_text(found.username)


@database_sync_to_async
def double(number: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 2 * %s", [number])
        return int(cursor.fetchone()[0])


@api.websocket("/sql")
async def sql(websocket: WebSocket) -> None:
    """Answer a number with its double."""
    async for number in websocket.iter_json():
        await websocket.send_json(await double(number))


# Rooms

# A room that is flooded fills the one channel that Redis has for the process: that of all rooms.
LIMITS: EndpointOptions = {}
if "TEST_REDIS" in os.environ:
    LIMITS = {"rate_limit": "20/s", "over_rate": "wait"}


@api.websocket("/chat/{name}", **LIMITS)
async def chat(websocket: WebSocket, name: str) -> None:
    async with websocket.join(f"chat.{name}") as room:
        async for text in websocket.iter_text():
            await room.send_text(text)


@api.websocket("/peers/{name}")
async def peers(websocket: WebSocket, name: str) -> None:
    async for text in websocket.iter_text():
        await websocket.broadcast(text)


# Handlers that do not receive


@api.websocket("/push")
async def push(websocket: WebSocket) -> None:
    number = 0
    while True:
        await websocket.send_json(number)
        number += 1
        await asyncio.sleep(0.2)


@api.websocket("/sleeps")
async def sleeps(websocket: WebSocket) -> None:
    await websocket.accept()
    # No sleep(3600): asyncio keeps the timers that were cancelled, a hundred of them, and all that
    # they hold, until their time comes.
    await asyncio.Event().wait()


@api.websocket("/sleeps-blocking")
def sleeps_blocking(websocket: BlockingWebSocket) -> None:
    websocket.accept()
    for _ in range(20):
        time.sleep(0.1)
        websocket.send_text("awake")


@api.websocket("/big")
async def big(websocket: WebSocket) -> None:
    """Send so many pieces for each number."""
    piece = bytes(PIECE)
    async for count in websocket.iter_json():
        for _ in range(count):
            await websocket.send_bytes(piece)


# Who has to show a token


@private.websocket("/me")
async def me(websocket: WebSocket) -> None:
    """Answer a number with it and the user's name, which is in the database."""
    async for number in websocket.iter_json():
        found = await websocket.auser()
        await websocket.send_json([number, found.username])


@private.websocket("/stays")
async def stays(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@private.websocket("/staff", guards=[IsStaff()])
async def staff(websocket: WebSocket) -> None:
    await websocket.accept()


@private.websocket("/closes-to-refuse", refuse="close")
async def closes_to_refuse(websocket: WebSocket) -> None:
    await websocket.accept()


@api.websocket("/kicks")
async def kicks(websocket: WebSocket) -> None:
    async for user_id in websocket.iter_text():
        await user(user_id).adisconnect(*KICKED_BY_SOCKET)
        await websocket.send_text("kicked")


@api.websocket("/number")
async def number(websocket: WebSocket, n: int) -> None:
    await websocket.accept()


# What goes wrong


async def is_slow() -> None:
    await asyncio.sleep(0.5)


@api.websocket("/slow-to-admit")
async def slow_to_admit(websocket: WebSocket, _slow: Annotated[Any, Depends(is_slow)]) -> None:
    await websocket.send_text("admitted")


@api.websocket("/raises")
async def raises(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError("raised after accept")


@api.websocket("/raises-before-accept")
async def raises_before_accept(websocket: WebSocket) -> None:
    raise RuntimeError("raised before accept")


api.include(echo)
api.include(bounded)
api.include(private)
