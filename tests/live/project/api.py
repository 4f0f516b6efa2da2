"""The endpoints that the live tests connect to."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import connection
from django.http import StreamingHttpResponse

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    Depends,
    Query,
    WebSocket,
    WebSocketClose,
    WebSocketException,
)
from bolt_ws.auth import AuthenticationFailed, Guard, HasPermission, IsStaff, JWTAuthentication

AUDIENCE = "live-tests"

api = BoltAPI()
echo = BoltAPI(prefix="/echo")
private = BoltAPI(prefix="/private", auth=[JWTAuthentication(audience=AUDIENCE)])
ways_out = BoltAPI(prefix="/ways-out")
blocking = BoltAPI(prefix="/blocking")
connection_api = BoltAPI(prefix="/connection")

torn_down: asyncio.Queue[str] = asyncio.Queue()


@dataclass
class Point:
    x: int
    y: int


@echo.websocket("/text")
async def echo_text(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@echo.websocket("/bytes")
async def echo_bytes(websocket: WebSocket) -> None:
    await websocket.accept()
    async for data in websocket.iter_bytes():
        await websocket.send_bytes(data)


@echo.websocket("/json")
async def echo_json(websocket: WebSocket) -> None:
    await websocket.accept()
    async for value in websocket.iter_json():
        await websocket.send_json(value)


@api.websocket("/room/{room_id}")
async def room(websocket: WebSocket, room_id: int, history: int = 0) -> None:
    await websocket.send_json([room_id, history])


@api.websocket("/subprotocol")
async def subprotocol(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol=websocket.subprotocols[-1])


@private.websocket("/me")
async def me(websocket: WebSocket) -> None:
    seen = (websocket.url, websocket.scope["query_string"], dict(websocket.query_params))
    await websocket.send_json({"user_id": websocket.context.user_id, "seen": repr(seen)})


@private.websocket("/stays")
async def stays(websocket: WebSocket) -> None:
    """Echo, and take `{"token": ...}` for a new token."""
    await websocket.accept()
    async for message in websocket.iter_text():
        if not message.startswith("{"):
            await websocket.send_text(message)
            continue
        try:
            await websocket.reauthenticate(json.loads(message)["token"])
        except AuthenticationFailed as error:
            await websocket.send_text(error.code)
        else:
            await websocket.send_text("renewed")


@private.websocket("/stays-blocking")
def stays_blocking(websocket: BlockingWebSocket) -> None:
    websocket.accept()
    for message in websocket.iter_text():
        websocket.send_text(message)


@private.websocket("/staff", guards=[IsStaff()])
async def staff(websocket: WebSocket) -> None:
    await websocket.send_text("staff")


@private.websocket("/permission", guards=[HasPermission("chat.add_room")])
async def permission(websocket: WebSocket) -> None:
    await websocket.send_text("permission")


class BrokenGuard(Guard):
    def has_permission(self, websocket: object) -> bool:
        raise RuntimeError("the guard broke")


@api.websocket("/broken-guard", guards=[BrokenGuard()])
async def broken_guard(websocket: WebSocket) -> None:
    await websocket.send_text("fell open")


@ways_out.websocket("/returns")
async def returns(websocket: WebSocket) -> None:
    await websocket.accept()


@ways_out.websocket("/never-accepts")
async def never_accepts(websocket: WebSocket) -> None:
    pass


@ways_out.websocket("/raises-before-accept")
async def raises_before_accept(websocket: WebSocket) -> None:
    raise RuntimeError("raised before accept")


@ways_out.websocket("/raises-after-accept")
async def raises_after_accept(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError("raised after accept")


@ways_out.websocket("/closes-before-accept")
async def closes_before_accept(websocket: WebSocket) -> None:
    await websocket.close(4001, "not today")


@ways_out.websocket("/closes/{code}")
async def closes(websocket: WebSocket, code: int) -> None:
    await websocket.accept()
    await websocket.close(code, "as asked")


@ways_out.websocket("/exception/{code}")
async def exception(websocket: WebSocket, code: int) -> None:
    await websocket.accept()
    raise WebSocketException(code, "as asked")


@ways_out.websocket("/exception-before-accept")
async def exception_before_accept(websocket: WebSocket) -> None:
    raise WebSocketException(4001, "not today")


ends: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)


@ways_out.websocket("/watched/{name}")
async def watched(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    try:
        await websocket.receive_text()
    finally:
        ends[name].put_nowait(websocket.close_code)


@ways_out.websocket("/end-of/{name}")
async def end_of(websocket: WebSocket, name: str) -> None:
    """Send the code that `watched` ended with, once it has ended."""
    await websocket.send_json(await ends[name].get())


@ways_out.websocket("/waits")
async def waits(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        await websocket.receive_text()
    finally:
        print("the waiting handler ended")


@blocking.websocket("/echo")
def blocking_echo(ws: BlockingWebSocket) -> None:
    ws.accept()
    for message in ws:
        ws.send_text(message)


@blocking.websocket("/counts")
def blocking_counts(ws: BlockingWebSocket, to: int) -> None:
    for number in range(to):
        ws.send_text(str(number))


@blocking.websocket("/users")
def blocking_users(ws: BlockingWebSocket) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 + 1")
        ws.send_json(cursor.fetchone())


@blocking.websocket("/waits")
def blocking_waits(ws: BlockingWebSocket) -> None:
    ws.accept()
    print("the blocking handler got", ws.recv(), flush=True)


@connection_api.websocket("/chat/{room}", value_type="text")
async def chat(websocket: WebSocket, room: str) -> None:
    async for message in websocket:
        await websocket.broadcast(message)


@chat.on_connect
def greet(websocket: BlockingWebSocket, room: str) -> str:
    return f"Welcome to {room}"


@chat.on_close
async def part(websocket: WebSocket, code: int) -> str:
    await websocket.broadcast(f"left with {code}", exclude=websocket)
    return "Goodbye"


@connection_api.websocket("/quits", value_type=Point)
async def quits(websocket: WebSocket) -> None:
    async with websocket:
        point = await websocket.receive()
        await websocket.send(Point(point.y, point.x))


@quits.on_close
async def say_goodbye(websocket: WebSocket) -> dict[str, bool]:
    return {"goodbye": True}


@connection_api.websocket("/rejects/{status}")
async def rejects(websocket: WebSocket, status: int) -> None:
    await websocket.reject(status, "as asked")


@connection_api.websocket("/streams")
async def streams(websocket: WebSocket) -> None:
    async def parts() -> AsyncIterator[str]:
        for part in "abc":
            yield part

    if "websocket.http.response" in (websocket.scope.get("extensions") or {}):
        await websocket.send_denial_response(StreamingHttpResponse(parts(), status=418))
    await websocket.reject(418)


class Handled(Exception):
    pass


@connection_api.exception_handler(Handled)
def handle(websocket: BlockingWebSocket, error: Handled) -> None:
    websocket.close(4242, str(error))


@connection_api.websocket("/handled")
async def handled(websocket: WebSocket) -> None:
    await websocket.accept()
    raise Handled("handled")


async def opened() -> AsyncIterator[str]:
    try:
        yield "open"
    finally:
        torn_down.put_nowait("torn down")


@connection_api.websocket("/depends")
async def depends(
    websocket: WebSocket,
    resource: Annotated[str, Depends(opened)],
    limit: Annotated[int, Query(ge=1)] = 1,
) -> None:
    await websocket.send_json([resource, limit])


@connection_api.websocket("/torn-down")
async def was_torn_down(websocket: WebSocket) -> None:
    await websocket.send_text(await torn_down.get())


class Consumer(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data)


connection_api.add_websocket_route("/consumer", Consumer)
connection_api.add_websocket_route("/closed", WebSocketClose(4000, "moved"))

api.include(echo)
api.include(private)
api.include(ways_out)
api.include(blocking)
api.include(connection_api)
