import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.seeds.drivers import Client, Connection

from .registry import scenario

PAGE = "cello"


@scenario(PAGE, 14)
async def quick_start(client: Client) -> None:
    async with client.connect("/ws") as ws:
        assert await ws.receive() == "Connected!"
        for text in ("Hello!", "again"):
            await ws.send(text)
            assert await ws.receive() == f"Echo: {text}"


@scenario(PAGE, 48)
async def nothing(client: Client) -> None:
    await client.refused("/ws/chat")  # it ends before it was accepted


@scenario(PAGE, 70)
async def sending(client: Client) -> None:
    async with client.connect("/ws") as ws:
        assert await ws.receive() == "Hello, client!"
        assert await ws.receive() == b"\x00\x01\x02\x03"
        assert await ws.receive() == "Structured message"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 91)
async def receiving(client: Client) -> None:
    async with client.connect("/ws") as ws:
        for message, line in (
            ("received by Cello", "Text: received by Cello"),
            (b"\x00" * 5432, "Binary: 5432 bytes"),
            ("", "Text: "),
        ):
            await ws.send(message)
            await client.printed(line)


@scenario(PAGE, 128)
async def factories(client: Client) -> None:
    for number, kind in enumerate(("text", "binary", "ping", "close")):
        async with client.connect(f"/{number}") as ws:
            assert await ws.receive() == kind
            if kind == "text":
                assert await ws.receive() == "Hello"
            elif kind == "binary":
                assert await ws.receive() == b"\x00\x01\x02"
            assert await ws.closed() == client.close(1000)


@scenario(PAGE, 146)
async def type_checking(client: Client) -> None:
    async with client.connect("/") as ws:
        await ws.send("checked by type")
        assert await ws.closed() == client.close(1000)
    await client.printed("Text: checked by type")
    async with client.connect("/") as ws:
        await ws.send(b"\x00" * 6543)
        assert await ws.closed() == client.close(1000)
    await client.printed("Binary: 6543 bytes")
    async with client.connect("/1") as ws:
        assert await ws.closed() == client.close(1000)
    await client.printed("Client closing connection")


@scenario(PAGE, 172)
async def lifecycle(client: Client) -> None:
    async with client.connect("/ws/lifecycle") as ws:
        assert await ws.receive() == "Welcome!"
        await ws.send("Hello")
        assert await ws.receive() == "Got: Hello"
    await client.printed("Client disconnected")


@scenario(PAGE, 195)
async def sending_json(client: Client) -> None:
    async with client.connect("/ws/data") as ws:
        assert json.loads(await ws.receive()) == {"type": "connected", "status": "ok"}
        await ws.send('{"command": "list"}')
        assert json.loads(await ws.receive()) == {"done": "list"}
        await ws.send("{")
        assert json.loads(await ws.receive()) == {"error": "Invalid JSON"}
        await ws.send('{"command": "quit"}')
        assert json.loads(await ws.receive()) == {"done": "quit"}


@scenario(PAGE, 221)
async def chat_room(client: Client) -> None:
    def notice(message: str, online: int) -> dict[str, Any]:
        return {"type": "system", "message": message, "users_online": online}

    async def see(expected: dict[str, Any], *connections: Connection) -> None:
        for connection in connections:
            assert json.loads(await connection.receive()) == expected

    async with client.connect("/ws/chat") as one:
        await see(notice("Welcome to the chat!", 1), one)
        async with client.connect("/ws/chat") as two:
            await see(notice("Welcome to the chat!", 2), two)
            await see(notice("A new user joined", 2), one)
            async with client.connect("/ws/chat") as three:
                await see(notice("Welcome to the chat!", 3), three)
                await see(notice("A new user joined", 3), one, two)
                await three.send("Hello")
                await see({"type": "message", "text": "Hello"}, one, two, three)
                await three.vanish()
                await see(notice("A user left", 2), one, two)
                await one.send("Hello?")
                await see({"type": "message", "text": "Hello?"}, one, two)
        await see(notice("A user left", 1), one)
        await one.send("Nobody?")
        await see({"type": "message", "text": "Nobody?"}, one)


@scenario(PAGE, 286)
async def path_parameters(client: Client) -> None:
    async with client.connect("/ws/rooms/lobby") as one, client.connect("/ws/rooms/7") as two:
        assert await one.receive() == "Joined room: lobby"
        assert await two.receive() == "Joined room: 7"
        await one.send("Hello")
        assert await one.receive() == "[lobby] Hello"


@scenario(PAGE, 330)
async def python_client(client: Client) -> None:
    namespace = client.loaded.namespace
    lines: list[str] = []

    @asynccontextmanager
    async def connect(path: str) -> AsyncIterator[Connection]:
        async with client.connect(path) as ws:
            yield ws
            assert await ws.receive() == "Echo: Hello from Python!"  # the page leaves before it

    namespace.update(connect=connect, print=lines.append)
    async with asyncio.timeout(10):
        await namespace["client"]()
    assert lines == ["Received: Connected!"]
