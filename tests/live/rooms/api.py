"""The endpoints that the tests of rooms connect to, and a consumer written by hand."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer

from bolt_ws import BoltAPI, Room, WebSocket, adisconnect_user, user
from bolt_ws.auth import JWTAuthentication

api = BoltAPI()


@api.websocket("/crowd")
async def crowd(websocket: WebSocket, names: str) -> None:
    """Join rooms, and send to them what the client says: `{"room": ..., ...}`."""
    joined = {name: await websocket.join(name) for name in names.split(",")}
    await websocket.send_json("joined")
    async for message in websocket.iter_json():
        await joined[message["room"]].send_json(message)


@crowd.on_gap
async def crowd_gap(websocket: WebSocket, rooms: tuple[str, ...]) -> None:
    await websocket.send_json({"gap": sorted(rooms)})


@api.websocket("/people/{place}", auth=[JWTAuthentication()])
async def people(websocket: WebSocket, place: str) -> None:
    """Do what the client says, `[what, ...]`, and answer `{"done": ...}`."""
    await websocket.send_json({"id": websocket.id})
    rooms: dict[str, Room] = {}
    async for order in websocket.iter_json():
        await websocket.send_json({"done": await do(websocket, rooms, order)})


async def do(websocket: WebSocket, rooms: dict[str, Room], order: list[Any]) -> Any:
    match order:
        case ["join", name]:
            rooms[name] = await websocket.join(name)
        case ["send", name, data]:
            await rooms[name].send_json(data)
        case ["send to others", name, data]:
            await rooms[name].send_json(data, exclude=websocket)
        case ["send excluding", name, data, exclude]:
            await rooms[name].send_json(data, exclude=exclude)
        case ["broadcast", data, scope]:
            await websocket.broadcast(data, scope=scope)
        case ["broadcast of the endpoint", data]:
            await people.broadcast(data)
        case ["send to user", user_id, data]:
            await user(user_id).asend_json(data)
        case ["disconnect", user_id, code, reason]:
            await user(user_id).adisconnect(code, reason)
        case ["disconnect_user", user_id]:
            return await adisconnect_user(user_id)
        case ["count", name]:
            count = await rooms[name].count()
            return [count, count.is_complete]
        case ["group_send", name, message]:
            await get_channel_layer().group_send(name, message)
        case _:
            raise ValueError(f"unknown order {order!r}")
    return order[0]


@people.on("chat.message")
async def people_hear(websocket: WebSocket, event: dict[str, Any], room: str) -> None:
    await websocket.send_json({"heard": event["text"], "room": room})


class HandWritten(AsyncWebsocketConsumer):
    """A consumer of Channels, in the group that its path ends with."""

    async def connect(self) -> None:
        self.group = self.scope["path"].rpartition("/")[2]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def bolt_ws_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


api.add_websocket_route("/hand-written/{group}", HandWritten.as_asgi())
