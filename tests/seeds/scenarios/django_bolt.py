import json

from django.contrib.auth.models import User

from bolt_ws.auth import create_jwt_for_user
from tests.seeds.drivers import Client

from .registry import run_tests, scenario

PAGE = "django-bolt"


@scenario(PAGE, 11)
async def basic_endpoint(client: Client) -> None:
    async with client.connect("/ws/echo") as ws:
        for text in ("Hello", "again"):
            await ws.send(text)
            assert await ws.receive() == f"Echo: {text}"


@scenario(PAGE, 32)
async def lifecycle(client: Client) -> None:
    async with client.connect("/ws/chat") as ws:
        for text in ("hi", "there"):
            await ws.send(text)
            assert await ws.receive() == f"You said: {text}"
    async with client.connect("/ws/chat") as ws:
        await ws.close(1001)


@scenario(PAGE, 52)
async def send_text(client: Client) -> None:
    async with client.connect("/") as ws:
        assert await ws.receive() == "Hello, World!"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 58)
async def send_bytes(client: Client) -> None:
    async with client.connect("/") as ws:
        assert await ws.receive() == b"\x00\x01\x02\x03"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 64)
async def send_json(client: Client) -> None:
    async with client.connect("/") as ws:
        assert json.loads(await ws.receive()) == {"type": "message", "data": "Hello"}
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 72)
async def receive_text(client: Client) -> None:
    async with client.connect("/0") as ws:
        await ws.send("a single message")
        assert await ws.closed() == client.close(1000)
    async with client.connect("/") as ws:
        for text in ("first of the texts", "second of the texts", "third of the texts"):
            await ws.send(text)
    await client.printed("Received: second of the texts")
    await client.printed("Received: third of the texts")


@scenario(PAGE, 83)
async def receive_bytes(client: Client) -> None:
    async with client.connect("/") as ws:
        for size in (1, 4321, 4322):
            await ws.send(b"\x00" * size)
    await client.printed("Received 4321 bytes")
    await client.printed("Received 4322 bytes")


@scenario(PAGE, 92)
async def receive_json(client: Client) -> None:
    async with client.connect("/") as ws:
        for number in range(3):
            await ws.send(json.dumps({"json": number}))
    await client.printed("Received: {'json': 1}")
    await client.printed("Received: {'json': 2}")


@scenario(PAGE, 103)
async def path_parameter(client: Client) -> None:
    async with client.connect("/ws/room/lobby") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "[lobby] Hello"
    await client.refused("/ws/room/")


@scenario(PAGE, 115)
async def query_parameter(client: Client) -> None:
    await client.refused("/ws/connect")
    await client.refused("/ws/connect?token=guessed")
    async with client.connect("/ws/connect?token=secret") as ws:
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 130)
async def close(client: Client) -> None:
    async with client.connect("/") as ws:
        assert await ws.closed() == client.close(1000)
    async with client.connect("/0") as ws:
        assert await ws.closed() == client.close(1000)
    async with client.connect("/1") as ws:
        assert await ws.closed() == client.close(1000, "Normal closure")


@scenario(PAGE, 139)
async def client_disconnect(client: Client) -> None:
    async with client.connect("/ws") as ws:
        await ws.send("Hello")
        assert await ws.receive() == "Hello"
        await ws.close(1001)  # ends the iteration quietly, so that nothing is printed


@scenario(PAGE, 167)
async def close_code(client: Client) -> None:
    async with client.connect("/") as ws:
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 177)
async def authentication(client: Client) -> None:
    token = create_jwt_for_user(User(pk=7))
    async with client.connect(f"/ws/protected?token={token}") as ws:
        assert await ws.receive() == "Welcome, user 7"
        assert await ws.closed() == client.close(1000)
    await client.refused("/ws/protected")
    await client.refused("/ws/protected?token=<jwt>")
    expired = create_jwt_for_user(User(pk=7), expires_in=-60)
    await client.refused(f"/ws/protected?token={expired}")


@scenario(PAGE, 201)
async def state(client: Client) -> None:
    async with client.connect("/") as ws:
        assert await ws.receive() == "Still connected"
        assert await ws.closed() == client.close(1000)


@scenario(PAGE, 218)
async def test_client(client: Client) -> None:
    assert await run_tests(client) == ["test_echo"]
    await basic_endpoint(client)  # what the page's client saw in process is what is served


@scenario(PAGE, 232)
async def broadcast(client: Client) -> None:
    async with client.connect("/ws/broadcast") as one:
        await one.send("alone")
        assert await one.receive() == "alone"
        async with client.connect("/ws/broadcast") as two:
            await two.send("here now")
            assert await two.receive() == "here now"
            assert await one.receive() == "here now"
            async with client.connect("/ws/broadcast") as gone:
                await gone.send("I am off")
                assert await gone.receive() == "I am off"
                await gone.vanish()
                for ws in (one, two):
                    assert await ws.receive() == "I am off"
                await one.send("survived")
                for ws in (one, two):
                    assert await ws.receive() == "survived"
    async with client.connect("/ws/broadcast") as three:
        await three.send("nobody is left")
        assert await three.receive() == "nobody is left"


@scenario(PAGE, 251)
async def rooms(client: Client) -> None:
    async with client.connect("/ws/room/a") as one, client.connect("/ws/room/b") as elsewhere:
        await one.send("Hello")
        assert await one.receive() == "[a] Hello"
        async with client.connect("/ws/room/a") as two:
            await two.send("Good morning")
            assert await two.receive() == "[a] Good morning"
            assert await one.receive() == "[a] Good morning"
            async with client.connect("/ws/room/a") as gone:
                await gone.vanish()
                await two.send("survived")
                for ws in (one, two):
                    assert await ws.receive() == "[a] survived"
        await elsewhere.send("Hello")
        assert await elsewhere.receive() == "[b] Hello"
        await one.send("Bye")
        assert await one.receive() == "[a] Bye"
