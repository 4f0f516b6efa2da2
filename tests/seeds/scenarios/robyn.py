import re

from tests.seeds.drivers import Client

from .registry import scenario

PAGE = "robyn"

UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


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
    await client.printed(f"Client {UUID} disconnected")


@scenario(PAGE, 61)
async def sending(client: Client) -> None:
    async with client.connect("/ws") as ws:
        for text in ("Hello", "again"):
            await ws.send(text)
            assert await ws.receive() == f"Echo: {text}"


@scenario(PAGE, 78)
async def broadcasting(client: Client) -> None:
    async with client.connect("/chat") as one, client.connect("/chat") as two:
        await one.send("Hello")
        told = await two.receive()
        assert re.fullmatch(f"User {UUID}: Hello", str(told))
        assert await one.receive() == told
        assert await one.receive() == "Your message was sent"
        async with client.connect("/chat") as three:
            await three.vanish()
            await two.send("Bye")
            told = await one.receive()
            assert re.fullmatch(f"User {UUID}: Bye", str(told))
            assert await two.receive() == told
            assert await two.receive() == "Your message was sent"


@scenario(PAGE, 98)
async def query_parameters(client: Client) -> None:
    async with client.connect("/ws?name=robin") as robin:
        await robin.send("Hello")
        assert await robin.receive() == "Hello robin: Hello"
        async with client.connect("/ws?name=gordon&role=commissioner") as gordon:
            assert await gordon.receive() == "Gordon authorized!"
            assert await robin.receive() == "Gordon authorized!"
            await gordon.send("Good evening")
            assert await gordon.receive() == "Hello gordon: Good evening"
        await robin.send("Bye")
        assert await robin.receive() == "Hello robin: Bye"


@scenario(PAGE, 174)
async def callbacks(client: Client) -> None:
    async with client.connect("/chat") as one, client.connect("/chat") as two:
        greetings = {str(await one.receive()), str(await two.receive())}
        assert len(greetings) == 2
        for greeting in greetings:
            assert re.fullmatch(f"Welcome, {UUID}!", greeting)
        await one.send("Hello")
        assert await one.receive() == "Hello"
        assert await two.receive() == "Hello"
        await two.send(b"no text")  # so that the server is the one who closes
        assert await two.receive() == "Goodbye!"
        code, _ = await two.closed()
        assert (code, "") == client.close(1003)
        await one.send("Bye")
        assert await one.receive() == "Bye"


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
