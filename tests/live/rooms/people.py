"""Clients that do things to others, each alone."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import jwt

from tests.settings import SECRET_KEY

from .client import Client
from .cluster import RoomServer


def as_user(user_id: str) -> str:
    """Return the query that makes somebody a user."""
    claims = {"sub": user_id, "exp": int(time.time()) + 600}
    return "?token=" + jwt.encode(claims, SECRET_KEY, algorithm="HS256")


class Person:
    """A connection to the endpoint `people`."""

    def __init__(self, client: Client, connection_id: str) -> None:
        self.client = client
        self.id = connection_id
        self._heard: deque[Any] = deque()

    @classmethod
    async def meet(cls, server: RoomServer, path: str) -> Self:
        path = path if "?" in path else path + as_user("somebody")
        client = await Client.connect(server.address, f"/people/{path}")
        return cls(client, (await client.next())["id"])

    async def do(self, *order: Any) -> Any:
        """Have the handler do something, and return what came of it."""
        self.client.send(order)
        while True:
            message = await self.client.next()
            if isinstance(message, dict) and "done" in message:
                return message["done"]
            self._heard.append(message)

    async def hears(self, count: int = 1) -> list[Any]:
        """Return the next things that others, or oneself, have sent."""
        while len(self._heard) < count:
            self._heard.append(await self.client.next())
        return [self._heard.popleft() for _ in range(count)]

    async def end(self) -> tuple[int | None, str]:
        """Wait for the server's close, and return its code and reason."""
        async with asyncio.timeout(10):
            await self.client.ended
        return self.client.close_code, self.client.close_reason


@asynccontextmanager
async def met(*wheres: tuple[RoomServer, str]) -> AsyncIterator[list[Person]]:
    """People, each at a server and a path. Afterwards they leave."""
    people: list[Person] = []
    try:
        for where in wheres:
            people.append(await Person.meet(*where))
        yield people
    finally:
        await asyncio.gather(*(each.client.close() for each in people))
