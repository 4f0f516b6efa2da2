import json

from bolt_ws import WebSocketDisconnect
from tests.seeds.drivers import Client

from .registry import scenario

PAGE = "bocadillo"


@scenario(PAGE, 26)
async def echo(client: Client) -> None:
    await events(client)
    async with client.connect("/echo") as ws:
        await ws.close(1001)  # while it receives


@scenario(PAGE, 171)
async def events(client: Client) -> None:
    async with client.connect("/echo") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "You said: Hello"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 74)
async def parameters(client: Client) -> None:
    async with client.connect("/chat/news", {"User": "ann"}) as ws:
        for message in ("Hello", {"n": 1}):
            await ws.send(json.dumps(message))
            assert json.loads(await ws.receive()) == {"user": "ann", "message": message}
    async with client.connect("/chat/news?anonymous=true") as ws:
        await ws.send("1")
        assert json.loads(await ws.receive()) == {"user": "Anonymous", "message": 1}
    await client.refused("/chat/news?anonymous=perhaps")


@scenario(PAGE, 100)
async def receive(client: Client) -> None:
    async with client.connect("/") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "'Hello'"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 106)
async def receive_type(client: Client) -> None:
    async with client.connect("/chat") as ws:
        await ws.send('{"n": 1}')
        assert await ws.receive() == "{'n': 1}"
        await ws.send("{")
        code, _ = await ws.closed()
        assert (code, "") == client.close(1007)


@scenario(PAGE, 116, 125)
async def iteration(client: Client) -> None:
    async with client.connect("/echo") as ws:
        for text in ("Hello", "again"):
            await ws.send(text)
            assert await ws.receive() == text
    async with client.connect("/echo") as ws:
        await ws.close(1001)


@scenario(PAGE, 137)
async def send(client: Client) -> None:
    async with client.connect("/") as ws:
        assert await ws.receive() == "Hello, WebSockets!"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 143)
async def send_type(client: Client) -> None:
    async with client.connect("/chat") as ws:
        await ws.send('{"n": 1}')
        assert json.loads(await ws.receive()) == {"text": '{"n": 1}'}


@scenario(PAGE, 153, 159)
async def value_type(client: Client) -> None:
    async with client.connect("/chat") as ws:
        for value in ({"n": 1}, [None], "text"):
            await ws.send(json.dumps(value))
            assert json.loads(await ws.receive()) == value


@scenario(PAGE, 195)
async def accept_and_close(client: Client) -> None:
    async with client.connect("/hello") as ws:
        assert await ws.closed() == client.close(1000)
    await client.printed("Going to accept connection…")
    await client.printed("Connection closed!")


@scenario(PAGE, 207)
async def async_with(client: Client) -> None:
    async with client.connect("/hello") as ws:
        assert await ws.closed() == client.close(1000)
    await client.printed("Going to accept connection…")
    await client.printed("Connection closed normally!")


@scenario(PAGE, 222)
async def reject(client: Client) -> None:
    await client.refused("/hello")
    await client.refused("/hello", {"Api-Key": "guessed"})
    async with client.connect("/hello", {"Api-Key": "s3kr3t"}) as ws:
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 235)
async def close_with_code(client: Client) -> None:
    async with client.connect("/") as ws:
        assert await ws.closed() == client.close(1003)


@scenario(PAGE, 246)
async def returning_errors(client: Client) -> None:
    async with client.connect("/dangerous") as ws:
        await ws.send("safe")
        assert await ws.receive() == "OK"
        await ws.send("dangerous")
        assert await ws.closed() == client.close(4003)
    async with client.connect("/dangerous") as ws:
        for _ in range(100):
            await ws.send("safe")
            assert await ws.receive() == "OK"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 279)
async def caught_close_codes(client: Client) -> None:
    for code in (1000, 1001):
        async with client.connect("/chat") as ws:
            await ws.close(code)
    async with client.connect("/chat") as ws:
        await ws.vanish()  # 1006
    async with client.connect("/chat") as ws:
        await ws.close(4000, raises=WebSocketDisconnect(4000))
