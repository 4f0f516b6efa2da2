import json
import time

from tests.seeds.drivers import Client

from .registry import scenario

PAGE = "starlette"


@scenario(PAGE, 338)
async def json_messages(client: Client) -> None:
    async with client.connect("/ws/json") as ws:
        await ws.send(json.dumps({"type": "ping"}))
        pong = json.loads(await ws.receive())
        assert pong["type"] == "pong"
        assert abs(pong["timestamp"] - time.time()) < 60
        await ws.send(json.dumps({"type": "message", "content": "Hello"}))
        assert json.loads(await ws.receive()) == {
            "type": "response",
            "original": "Hello",
            "processed": "HELLO",
        }
        await ws.send("{}")
        unknown = {"type": "error", "message": "Unknown message type"}
        assert json.loads(await ws.receive()) == unknown
        await ws.send("{")
        assert json.loads(await ws.receive()) == {"type": "error", "message": "Invalid JSON"}
        assert await ws.closed() == client.close(1003)
    async with client.connect("/ws/json"):
        pass
    await client.printed("Client disconnected")
