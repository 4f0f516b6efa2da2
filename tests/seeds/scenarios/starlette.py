import asyncio
import json
import time
from datetime import datetime
from typing import Any

import bolt_ws
from tests.seeds.drivers import Client, Connection
from tests.seeds.outlines import check_outline

from .registry import run_tests, scenario

PAGE = "starlette"


async def send_json(connection: Connection, value: Any) -> None:
    await connection.send(json.dumps(value))


async def receive_json(connection: Connection) -> Any:
    return json.loads(await connection.receive())


async def see(expected: dict[str, Any], *connections: Connection) -> None:
    """See that each connection receives JSON with at least what is expected."""
    for connection in connections:
        received = await receive_json(connection)
        assert {**received, **expected} == received


@scenario(PAGE, 7)
async def websocket_class(client: Client) -> None:
    check_outline(client.loaded.namespace["WebSocket"], bolt_ws.WebSocket)
    headers = {
        "Cookie": "a=b",
        "Sec-WebSocket-Protocol": "chat, other",
    }
    async with client.connect("/surface/7?q=1", headers) as ws:
        assert ws.subprotocol == "chat"
        before = {"client_state": "CONNECTED", "application_state": "CONNECTING"}
        assert await receive_json(ws) == before
        listed = await receive_json(ws)
        assert listed.pop("url").endswith("/surface/7?q=1")
        base_url = listed.pop("base_url")
        assert base_url.startswith("ws://")
        assert "'cookie': 'a=b'" in listed.pop("headers").lower()
        assert listed.pop("query_params") == "<QueryDict: {'q': ['1']}>"
        assert listed.pop("path_params") == "{'number': 7}"
        assert listed.pop("cookies") == "{'a': 'b'}"
        assert "host='127.0.0.1'" in (listed["client"] or "") or listed["client"] == "None"
        del listed["client"]
        assert listed.pop("session").startswith("RuntimeError: websocket.session needs")
        assert listed.pop("user") == "AnonymousUser"
        assert listed.pop("auth") == "None"
        for name in ("state", "client_state", "application_state"):
            assert listed.pop(name) == "WebSocketState.CONNECTED"
        assert not listed
        for message, answer in (
            ("raw", "websocket.receive: raw"),
            ("text", "text"),
            (b"bytes", b"bytes"),
            ("[1]", "[1]"),
            (b"[2]", b"[2]"),
            ("iterated", "iterated"),
            (b"iterated", b"iterated"),
            (b"[3]", "[3]"),
        ):
            await ws.send(message)
            assert await ws.receive() == answer
        url = str(await ws.receive())
        assert url.startswith(base_url)
        assert url.endswith("/surface/8")
        assert await ws.closed() == client.close(1000, "Done")


@scenario(PAGE, 261)
async def state_and_exceptions(client: Client) -> None:
    namespace = client.loaded.namespace
    states = {each.name: each.value for each in namespace["WebSocketState"]}
    assert states == {each.name: each.value for each in bolt_ws.WebSocketState}
    for name in ("WebSocketDisconnect", "WebSocketClose"):
        check_outline(namespace[name], getattr(bolt_ws, name))
    for arguments in ((), (1001,), (1001, "Bye")):
        outlined = namespace["WebSocketDisconnect"](*arguments)
        ours = bolt_ws.WebSocketDisconnect(*arguments)
        assert (ours.code, ours.reason) == (outlined.code, outlined.reason or "")
    await client.refused("/close")
    async with client.connect("/states") as ws:
        assert await receive_json(ws) == [["CONNECTED", "CONNECTING"], ["CONNECTED", "CONNECTED"]]
        await ws.close(4321)
    await client.printed("4321 DISCONNECTED")


@scenario(PAGE, 311)
async def echo(client: Client) -> None:
    async with client.connect("/ws") as ws:
        for text in ("Hello", "again"):
            await ws.send(text)
            assert await ws.receive() == f"Echo: {text}"
    await client.printed("Client disconnected")


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


@scenario(PAGE, 380)
async def path_parameters(client: Client) -> None:
    async with client.connect("/ws/user/123") as ws:
        assert await receive_json(ws) == {"type": "welcome", "user_id": 123, "room_id": None}
    async with client.connect("/ws/room/4/user/123") as ws:
        assert await receive_json(ws) == {"type": "welcome", "user_id": 123, "room_id": 4}
        await send_json(ws, {"content": "Hello"})
        assert await receive_json(ws) == {
            "type": "message",
            "user_id": 123,
            "room_id": 4,
            "content": "Hello",
        }
    await client.refused("/ws/user/ann")


@scenario(PAGE, 419)
async def authentication(client: Client) -> None:
    await client.refused("/ws")
    await client.refused("/ws?token=guessed")
    async with client.connect("/ws?token=s3kr3t") as ws:
        assert await receive_json(ws) == {"type": "authenticated", "user": "ann"}
        await send_json(ws, {"content": "Hello"})
    await client.printed("ann: {'content': 'Hello'}")
    async with client.connect("/ws", {"Authorization": "Bearer s3kr3t"}) as ws:
        assert await receive_json(ws) == {"type": "authenticated", "user": "ann"}


@scenario(PAGE, 459)
async def connection_manager(client: Client) -> None:
    def message(user: str, content: str) -> dict[str, Any]:
        return {"type": "message", "user_id": user, "room_id": "a", "content": content}

    async with client.connect("/ws/a?user_id=ann") as ann, client.connect("/ws/b") as elsewhere:
        async with client.connect("/ws/a?user_id=bob") as bob:
            await see({"type": "user_joined", "user_id": "bob", "count": 2}, ann)
            async with client.connect("/ws/a") as gone:
                await see({"type": "user_joined", "user_id": "anonymous", "count": 3}, ann, bob)
                await send_json(gone, {"content": "Hello"})
                await see(message("anonymous", "Hello"), ann, bob, gone)
                await gone.vanish()  # and stays in the page's set until a send fails
            for content in ("Hello?", "Still there?"):
                await send_json(bob, {"content": content})
                await see(message("bob", content), ann, bob)
        await send_json(ann, {"content": "Nobody?"})
        await see(message("ann", "Nobody?"), ann)
        await send_json(elsewhere, {"content": "Hello"})
        await see({"room_id": "b", "content": "Hello"}, elsewhere)


@scenario(PAGE, 551)
async def subprotocols(client: Client) -> None:
    def offer(protocols: str) -> dict[str, str]:
        return {"Sec-WebSocket-Protocol": protocols}

    async with client.connect("/ws", offer("other, chat")) as ws:
        assert ws.subprotocol == "chat"
        await ws.send("Hello")
        assert await ws.receive() == "[CHAT] Hello"
    async with client.connect("/ws", offer("api.v1, chat")) as ws:
        assert ws.subprotocol == "api.v1"
        await send_json(ws, {"command": "list_users"})
        assert await receive_json(ws) == {"type": "user_list", "users": ["ann"]}
        await send_json(ws, {"command": "send_message", "message_id": 7})
        assert await receive_json(ws) == {"type": "message_sent", "id": 7}
    async with client.connect("/ws", offer("notification")) as ws:
        assert ws.subprotocol == "notification"
        assert await ws.receive() == "a notification"
    for headers in ({}, offer("other")):
        async with client.connect("/ws", headers) as ws:
            assert ws.subprotocol is None
            assert await ws.receive() == "no protocol"


@scenario(PAGE, 608)
async def graceful_shutdown(client: Client) -> None:
    async with client.connect("/ws") as one, client.connect("/ws") as two:
        await see({"type": "connected"}, one, two)
        async with client.connect("/ws") as gone:
            await see({"type": "connected"}, gone)
            await gone.vanish()
        await client.printed("Connection closed. Active: 2")
        await send_json(one, {"type": "ping"})
        assert await receive_json(one) == {"type": "pong"}
        await send_json(one, {"type": "echo", "data": [1]})
        assert await receive_json(one) == {"type": "echo_response", "data": [1]}
        await send_json(one, {"type": "what"})
        await see({"type": "error", "message": "Unknown message type: what"}, one)
        await one.send("{")
        await see({"type": "error", "message": "Invalid JSON format"}, one)
        await send_json(one, [])
        await see({"type": "error", "message": "Failed to process message"}, one)
        await asyncio.sleep(1.2)  # longer than the page waits for a message
        await send_json(two, {"type": "ping"})
        assert await receive_json(two) == {"type": "pong"}
        async with client.connect("/shutdown") as control:
            await see({"type": "server_shutdown"}, one, two)
            for ws in (one, two):
                assert await ws.closed() == client.close(1001, "Server shutdown")
            assert await control.closed() == client.close(1000)
    await client.printed("Connection closed. Active: 0")
    async with client.connect("/ws") as ws:
        await see({"type": "connected"}, ws)
        async with client.connect("/interrupt") as control:
            assert await control.closed() == client.close(1000)
        assert await ws.closed() == client.close(1000)
    await client.printed("Received signal 2, starting graceful shutdown...")


@scenario(PAGE, 729)
async def test_client(client: Client) -> None:
    assert await run_tests(client) == [
        "test_websocket",
        "test_websocket_json",
        "test_websocket_with_params",
        "test_websocket_disconnect",
    ]
    for drive in (echo, json_messages, path_parameters):
        await drive(client)  # what the page's client saw in process is what is served


@scenario(PAGE, 773)
async def live_updates(client: Client) -> None:
    async with client.connect("/ws") as ws:
        for _ in range(2):
            update = await receive_json(ws)
            assert update["type"] == "update"
            assert abs(datetime.fromisoformat(update["timestamp"]).timestamp() - time.time()) < 60
            assert 1 <= update["data"]["value"] <= 100
            assert update["metrics"] == {"cpu": 12.5, "memory": 50.0}
    await client.printed("Client disconnected from live updates")


@scenario(PAGE, 813)
async def collaborative_editing(client: Client) -> None:
    def state(content: str, version: int) -> dict[str, Any]:
        return {"type": "document_state", "content": content, "version": version}

    def change(user: str, text: str, version: int) -> dict[str, Any]:
        return {
            "type": "document_change",
            "operation": {"insert": text},
            "user_id": user,
            "version": version,
        }

    async with client.connect("/ws/d?user_id=ann") as ann:
        assert await receive_json(ann) == state("", 0)
        async with client.connect("/ws/d?user_id=bob") as bob:
            assert await receive_json(bob) == state("", 0)
            assert await receive_json(ann) == {"type": "user_joined", "user_id": "bob"}
            async with client.connect("/ws/d?user_id=eve") as eve:
                assert await receive_json(eve) == state("", 0)
                await see({"type": "user_joined", "user_id": "eve"}, ann, bob)
                await eve.vanish()  # and stays in the page's dict until a send fails
            await send_json(ann, {"insert": "a"})
            assert await receive_json(bob) == change("ann", "a", 1)
            await send_json(bob, {"insert": "b"})
            assert await receive_json(ann) == change("bob", "b", 2)
        async with client.connect("/ws/d?user_id=cid") as cid:
            assert await receive_json(cid) == state("ab", 2)
            assert await receive_json(ann) == {"type": "user_joined", "user_id": "cid"}
