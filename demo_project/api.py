"""The demo's WebSocket endpoints: `bolt_ws.asgi.get_asgi_application()` looks for a module `api`.

`/ws/room/{room_id}` is the chat. Frames to the server are `{"text": "..."}`. Frames from it have a
`type`: `joined` and `left` (with `name`, and with `here`, how many connections are in the room
now), `message` (`user_id`, `name`, `text`, `at`), `note` (`name`, `text` and `private`, from a
view), `gap` (messages may be missing) and `error` (`detail`).

`/ws/status` sends what this process does, every other second: `here` (open connections of the chat)
and `messages` (that they have sent).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from django.utils import timezone

from bolt_ws import BoltAPI, CloseCode, RoomUnavailable, WebSocket, room
from bolt_ws.auth import IsAuthenticated, JWTAuthentication, SessionAuthentication
from bolt_ws.metrics import snapshot
from demo_project.forms import MAX_LENGTH, is_room_name

api = BoltAPI()


class Incoming(msgspec.Struct):
    text: Annotated[str, msgspec.Meta(max_length=MAX_LENGTH)]


# Nobody types as fast, or as much: who does is a program, and is closed. Who says nothing for half
# an hour is not there, and who does not read what others say is not to be waited for.
@api.websocket(
    "/ws/room/{room_id}",
    auth=[JWTAuthentication()],
    guards=[IsAuthenticated()],
    max_message_size=16 * 1024,
    rate_limit="5/s",
    burst=20,
    idle_timeout=30 * 60,
    send_timeout=30,
)
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


# The session's cookie opens it, and no token. After an hour, it has to be good still.
@api.websocket_stream("/ws/status", auth=[SessionAuthentication()], max_lifetime=60 * 60)
async def status() -> AsyncIterator[dict[str, int]]:
    while True:
        figures = snapshot()["endpoints"].get("chat")
        if figures is None:  # nobody came yet
            yield {"here": 0, "messages": 0}
        else:
            yield {"here": figures["open"], "messages": figures["messages_received"]}
        await asyncio.sleep(2)


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
