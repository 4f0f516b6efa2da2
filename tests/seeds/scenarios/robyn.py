from tests.seeds.drivers import Client

from .registry import scenario

PAGE = "robyn"


@scenario(PAGE, 16)
async def endpoint(client: Client) -> None:
    async with client.connect("/web_socket") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "Echo: Hello"


@scenario(PAGE, 41)
async def receiving(client: Client) -> None:
    async with client.connect("/ws") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "Got: Hello"
    await client.printed(r"Client [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} disconnected")


@scenario(PAGE, 61)
async def sending(client: Client) -> None:
    async with client.connect("/ws") as ws:
        for text in ("Hello", "again"):
            await ws.send(text)
            assert await ws.receive() == f"Echo: {text}"


@scenario(PAGE, 123)
async def easy_access_parameters(client: Client) -> None:
    async with client.connect("/ws?room=chat&page=5") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "room=chat page=5 msg=Hello"
    async with client.connect("/ws") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "room=default page=1 msg=Hello"
    await client.refused("/ws?page=five")


@scenario(PAGE, 149)
async def closing(client: Client) -> None:
    async with client.connect("/ws") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "Got: Hello"
        await ws.send("quit")
        assert await ws.closed() == client.close(1000)
