"""Connecting with a JWT: compiled handlers against Channels with a middleware, as most write it.

Two parts: in process, with an `asyncio.Queue` on either side, and over Daphne, ours and stock,
where what counts is the time that the server computes: this client is slower than it. A connection
is made, its first message is read, and it is closed. Channels has two middlewares: one that only
verifies the token, and one that loads the user too, as the usual recipe does. Rounds are
interleaved; each figure is the median of its rounds.

    python benchmarks/connect_with_jwt.py [--rounds 7] [--connects 400]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import django
import jwt
from django.conf import settings

FOLDER = Path(os.environ.setdefault("CONNECT_FOLDER", tempfile.mkdtemp()))
KEY = "benchmark" * 6
DAPHNE = os.environ.get("BENCH_DAPHNE", "stock")  # a server's; this script itself has none

settings.configure(
    SECRET_KEY=KEY,
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "db.sqlite3"}},
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    BOLT_WS={"DAPHNE": DAPHNE},
)
django.setup()

from channels.db import database_sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.urls import path  # noqa: E402
from servers import OURS, STOCK, Server, prepare  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402

from bolt_ws import BoltAPI, WebSocket  # noqa: E402
from bolt_ws.auth import JWTAuthentication  # noqa: E402

if DAPHNE == "complete":
    import bolt_ws.daphne

    bolt_ws.daphne.install()

Application = Callable[..., Awaitable[Any]]

api = BoltAPI()


@api.websocket("/bolt_ws", auth=[JWTAuthentication()])
async def hello(websocket: WebSocket) -> None:
    """Say who is there."""
    await websocket.send_text(websocket.context.user_id)
    await websocket.receive()


class Hello(AsyncWebsocketConsumer):
    """The same in Channels."""

    async def connect(self) -> None:
        """Say who is there."""
        await self.accept()
        await self.send(text_data=str(self.scope["user_id"]))


class Middleware:
    """What verifies a token for Channels, and loads the user if it is told to."""

    def __init__(self, inner: Application, *, loads: bool) -> None:
        self.inner = inner
        self.loads = loads

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Put the user into the scope, or refuse."""
        token = scope["query_string"].decode().removeprefix("token=")
        try:
            claims = jwt.decode(token, KEY, algorithms=["HS256"])
        except jwt.PyJWTError:
            await send({"type": "websocket.close"})
            return
        user_id = claims["sub"]
        if self.loads:
            user_id = (await database_sync_to_async(User.objects.get)(pk=user_id)).pk
        await self.inner({**scope, "user_id": user_id}, receive, send)


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                *api.urlpatterns,
                path("verifies", Middleware(Hello.as_asgi(), loads=False)),
                path("loads", Middleware(Hello.as_asgi(), loads=True)),
            ]
        )
    }
)
IN_PROCESS = {
    "bolt_ws": "/bolt_ws",
    "Channels, verifies": "/verifies",
    "Channels, loads the user": "/loads",
}
OVER_DAPHNE = {
    "bolt_ws on ours": (OURS, "/bolt_ws"),
    "bolt_ws on stock": (STOCK, "/bolt_ws"),
    "Channels on stock, verifies": (STOCK, "/verifies"),
    "Channels on stock, loads the user": (STOCK, "/loads"),
}


async def in_process(route: str, token: str, connects: int) -> float:
    """Return the microseconds of one connection."""
    start = time.perf_counter()
    for _ in range(connects):
        inbound: asyncio.Queue[Any] = asyncio.Queue()
        outbound: asyncio.Queue[Any] = asyncio.Queue()
        scope = {
            "type": "websocket",
            "path": route,
            "query_string": f"token={token}".encode(),
            "headers": [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")],
            "client": ["127.0.0.1", 5000],
            "server": ["127.0.0.1", 80],
            "subprotocols": [],
        }
        task = asyncio.ensure_future(application(scope, inbound.get, outbound.put))
        inbound.put_nowait({"type": "websocket.connect"})
        assert (await outbound.get())["type"] == "websocket.accept"
        assert (await outbound.get())["text"] == "1"
        inbound.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await task
    return (time.perf_counter() - start) / connects * 1e6


async def over_daphne(server: Server, route: str, token: str, connects: int) -> float:
    """Return the connections for each second that the server computes, eight at a time."""
    left = iter(range(connects))

    async def client() -> None:
        for _ in left:
            url = f"ws://{server.address}{route}?token={token}"
            async with connect(url, compression=None, origin=f"http://{server.address}") as ws:  # type: ignore[arg-type]
                assert await ws.recv() == "1"

    start = server.busy()
    await asyncio.gather(*(client() for _ in range(8)))
    return connects / (server.busy() - start)


def report(title: str, unit: str, figures: dict[str, list[float]], *, less_is_better: bool) -> None:
    """Print the medians, and the first one's ratio to each."""
    medians = {name: statistics.median(values) for name, values in figures.items()}
    first = next(iter(medians))
    print(f"{title:38}{unit:>12}{first + ' better':>24}")
    for name, value in medians.items():
        ratio = value / medians[first] if less_is_better else medians[first] / value
        print(f"  {name:36}{value:12.1f}{ratio:23.2f}x")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connects", type=int, default=400)
    options = parser.parse_args()
    prepare()
    call_command("migrate", verbosity=0)
    User.objects.create(pk=1, username="ann")
    token = jwt.encode({"sub": "1", "exp": int(time.time()) + 3600}, KEY, "HS256")
    times: dict[str, list[float]] = {name: [] for name in IN_PROCESS}
    rates: dict[str, list[float]] = {name: [] for name in OVER_DAPHNE}
    application = "connect_with_jwt:application"
    with Server(OURS, application) as ours, Server(STOCK, application) as stock:
        servers = {OURS: ours, STOCK: stock}
        for _ in range(options.rounds):
            for name, route in IN_PROCESS.items():
                times[name].append(asyncio.run(in_process(route, token, options.connects)))
            for name, (kind, route) in OVER_DAPHNE.items():
                rates[name].append(
                    asyncio.run(over_daphne(servers[kind], route, token, options.connects))
                )
    report("in process", "us/connect", times, less_is_better=True)
    report("over Daphne", "connects/s", rates, less_is_better=False)
    print("budget: bolt_ws on ours over Channels on stock >= 2")


if __name__ == "__main__":
    main()
