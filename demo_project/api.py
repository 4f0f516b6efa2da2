"""The chat's WebSocket endpoint: `bolt_ws.asgi.get_asgi_application()` looks for a module `api`.

Frames to the server are `{"text": "..."}`. Frames from it have a `type`: `joined` and `left` (with
`name`, and with `here`, how many connections are in the room now), `message` (`user_id`, `name`,
`text`, `at`), `note` (`name`, `text` and `private`, from a view), `gap` (messages may be missing)
and `error` (`detail`).
"""

from contextlib import suppress
from typing import Annotated, Any

import msgspec
from django.utils import timezone

from bolt_ws import BoltAPI, CloseCode, RoomUnavailable, WebSocket, room
from bolt_ws.auth import IsAuthenticated, JWTAuthentication
from demo_project.forms import MAX_LENGTH, is_room_name

api = BoltAPI()


class Incoming(msgspec.Struct):
    text: Annotated[str, msgspec.Meta(max_length=MAX_LENGTH)]


@api.websocket("/ws/room/{room_id}", auth=[JWTAuthentication()], guards=[IsAuthenticated()])
async def chat(websocket: WebSocket, room_id: str) -> None:
    if not is_room_name(room_id):
        await websocket.close(CloseCode.POLICY_VIOLATION, "No room can have this name.")
        return
    try:
        async with websocket.join(group(room_id)) as members:
            await announce("joined", websocket, room_id)
            async for frame in websocket.iter_text():
                try:
                    message = read(frame, websocket)
                except ValueError as error:
                    await websocket.send_json({"type": "error", "detail": str(error)})
                    continue
                try:
                    await members.send_json(message)
                except RoomUnavailable:
                    detail = "The chat is out of order: this was not sent."
                    await websocket.send_json({"type": "error", "detail": detail})
    finally:
        await announce("left", websocket, room_id)


@chat.on_gap
async def tell_of_gap(websocket: WebSocket, room_id: str) -> None:
    await websocket.send_json({"type": "gap", "here": await room(group(room_id)).acount()})


def group(room_id: str) -> str:
    """The name under which bolt_ws knows a room of the chat."""
    return f"chat.{room_id}"


async def announce(event: str, websocket: WebSocket, room_id: str) -> None:
    """Tell the room who came or left, and how many are there now."""
    members = room(group(room_id))
    with suppress(RoomUnavailable):  # the next one who comes or leaves tells the number again
        here = await members.acount()
        await members.asend_json({"type": event, "name": name(websocket), "here": here})


def read(frame: str, websocket: WebSocket) -> dict[str, Any]:
    """The message that a frame is. Raises `ValueError`, for the sender to read, if it is none."""
    try:
        text = msgspec.json.decode(frame, type=Incoming).text.strip()
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"Not a message: {error}") from error
    if not text:
        raise ValueError("A message needs some text.")
    author = {"user_id": websocket.context.user_id, "name": name(websocket)}
    return {"type": "message", **author, "text": text, "at": timezone.now().isoformat()}


def name(websocket: WebSocket) -> str:
    return str(websocket.context.claims.get("username", websocket.context.user_id))
