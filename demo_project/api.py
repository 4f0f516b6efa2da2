"""The chat's WebSocket endpoint: `bolt_ws.asgi.get_asgi_application()` looks for a module `api`.

Frames to the server are `{"text": "..."}`. Frames from it have a `type`: `joined` and `left` (with
`name` and the `members` who are there now), `message` (`user_id`, `name`, `text`, `at`) and `error`
(`detail`).
"""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from django.utils import timezone

from bolt_ws import BoltAPI, CloseCode, WebSocket, WebSocketDisconnect
from bolt_ws.auth import IsAuthenticated, JWTAuthentication
from demo_project.forms import is_room_name

MAX_LENGTH = 500  # characters of a message

api = BoltAPI()

# Who is where, in this process. bolt_ws's rooms will replace this: they reach every process, and a
# slow member does not hold up the others.
members: dict[str, set[WebSocket]] = {}


class Incoming(msgspec.Struct):
    text: Annotated[str, msgspec.Meta(max_length=MAX_LENGTH)]


@api.websocket("/ws/room/{room_id}", auth=[JWTAuthentication()], guards=[IsAuthenticated()])
async def room(websocket: WebSocket, room_id: str) -> None:
    if not is_room_name(room_id):
        await websocket.close(CloseCode.POLICY_VIOLATION, "No room can have this name.")
        return
    await websocket.accept()
    try:
        await enter(websocket, room_id)
        async for frame in websocket.iter_text():
            try:
                text = read(frame)
            except ValueError as error:
                await websocket.send_json({"type": "error", "detail": str(error)})
            else:
                at = timezone.now().isoformat()
                await tell(room_id, "message", **author(websocket), text=text, at=at)
    finally:
        await leave(websocket, room_id)


def read(frame: str) -> str:
    """The text of a message. Raises `ValueError`, for the sender to read, if it is not one."""
    try:
        text = msgspec.json.decode(frame, type=Incoming).text.strip()
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"Not a message: {error}") from error
    if not text:
        raise ValueError("A message needs some text.")
    return text


async def enter(websocket: WebSocket, room_id: str) -> None:
    first = name(websocket) not in names(room_id)
    members.setdefault(room_id, set()).add(websocket)
    if first:
        await tell(room_id, "joined", name=name(websocket), members=names(room_id))
    else:  # one more tab of someone who is here already: news to that tab alone
        await websocket.send_json(
            {"type": "joined", "name": name(websocket), "members": names(room_id)}
        )


async def leave(websocket: WebSocket, room_id: str) -> None:
    here = members.get(room_id, set())
    here.discard(websocket)
    if not here:
        members.pop(room_id, None)
    if name(websocket) not in names(room_id):
        await tell(room_id, "left", name=name(websocket), members=names(room_id))


async def tell(room_id: str, type: str, **fields: Any) -> None:
    """Send a frame to everyone in the room. Who is gone by now is taken out by their handler."""

    async def deliver(member: WebSocket) -> None:
        with suppress(WebSocketDisconnect):
            await member.send_json({"type": type, **fields})

    # A copy, because members come and go while this waits.
    await asyncio.gather(*[deliver(member) for member in list(members.get(room_id, ()))])


def author(websocket: WebSocket) -> dict[str, Any]:
    return {"user_id": websocket.context["user_id"], "name": name(websocket)}


def name(websocket: WebSocket) -> str:
    return str(websocket.context.claims.get("username", websocket.context["user_id"]))


def names(room_id: str) -> list[str]:
    return sorted({name(member) for member in members.get(room_id, ())})
