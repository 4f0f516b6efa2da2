"""What a client of the soak knows and does, whichever way it behaves."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import jwt

from tests.settings import SECRET_KEY

from .client import Client

Behaviour = Callable[["Life"], Awaitable[None]]

behaviours: dict[str, tuple[Behaviour, int]] = {}
"""By name: what a client does, and how often compared with others."""


def behaviour(weight: int) -> Callable[[Behaviour], Behaviour]:
    """Have clients behave like this, so often compared with others."""

    def add(function: Behaviour) -> Behaviour:
        behaviours[function.__name__] = function, weight
        return function

    return add


@dataclass
class Soak:
    """What all clients share."""

    address: str
    ends_at: float
    """In the event loop's time: none begins or goes on talking after it."""
    lives: Counter[str] = field(default_factory=Counter)
    """How many have lived, by behaviour."""
    answers: int = 0
    open: set[Client] = field(default_factory=set)
    most_open: int = 0
    errors: list[str] = field(default_factory=list)
    """What a client did not get that it was to get."""
    tracebacks: list[str] = field(default_factory=list)
    """The last lines of those that the server's log has to hold."""


@dataclass
class Life:
    """One client, from its first byte to its last."""

    soak: Soak
    name: str
    """No other has it."""
    rng: random.Random
    ends_at: float
    """When it is to end if it ends by itself, in the event loop's time."""
    clients: list[Client] = field(default_factory=list)

    async def connect(self, buffer: int | None = None) -> Client:
        """Return a connection that nothing was sent on. It ends with this life."""
        return self._note(await Client.connect(self.soak.address, buffer))

    async def open(self, path: str, *headers: str, buffer: int | None = None) -> Client:
        """Return an open WebSocket. It ends with this life. Raises `Refused`."""
        client = await self.connect(buffer)
        await client.upgrade(path, headers)
        return client

    def _note(self, client: Client) -> Client:
        self.clients.append(client)
        soak = self.soak
        soak.open.add(client)
        soak.most_open = max(soak.most_open, len(soak.open))
        return client

    def end(self) -> None:
        """Drop what is still open."""
        for client in self.clients:
            client.transport.abort()
            self.soak.open.discard(client)

    @property
    def goes_on(self) -> bool:
        return asyncio.get_running_loop().time() < self.ends_at

    async def pause(self, shortest: float, longest: float) -> None:
        """Wait for some seconds."""
        await asyncio.sleep(self.rng.uniform(shortest, longest))

    async def rest(self) -> None:
        """Wait until the end of this life."""
        await asyncio.sleep(max(0.0, self.ends_at - asyncio.get_running_loop().time()))

    def answered(self, answer: object, expected: object) -> None:
        """See that an answer is the one expected. Raises `AssertionError`."""
        if answer != expected:
            raise AssertionError(f"got {answer!r:.200} in place of {expected!r:.200}")
        self.soak.answers += 1


def token(user_id: object, *, lasts: float = 3600, key: str = SECRET_KEY, **claims: object) -> str:
    """Return a JSON Web Token for a user."""
    now = time.time()
    return jwt.encode({"sub": str(user_id), "iat": now, "exp": now + lasts, **claims}, key)
