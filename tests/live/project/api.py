"""The endpoints that the live tests connect to."""

import asyncio
from collections import defaultdict
from typing import Any

from bolt_ws import BoltAPI, WebSocket, WebSocketException
from bolt_ws.auth import Guard, HasPermission, IsStaff, JWTAuthentication

AUDIENCE = "live-tests"

api = BoltAPI()
echo = BoltAPI(prefix="/echo")
private = BoltAPI(prefix="/private", auth=[JWTAuthentication(audience=AUDIENCE)])
ways_out = BoltAPI(prefix="/ways-out")


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


api.include(echo)
api.include(private)
api.include(ways_out)
