"""Hundreds of clients in rooms over several processes, and what each of them must have got."""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .client import Client, post
from .cluster import Cluster, RoomServer

ALL_WITHIN = 60.0  # seconds for all messages of one part
JOINED = b'"joined"'
GAP = b'{"gap":'
AT_ONCE = 50
"""Handshakes at the same time."""
PAUSE = 0.01
"""Seconds between two messages of a sender that goes on and on."""


@dataclass(eq=False)
class Person:
    """One client."""

    rooms: tuple[str, ...]
    server: RoomServer
    client: Client
    messages: Iterator[dict[str, Any]]
    """What it sends."""

    def send(self, count: int = 1) -> None:
        """Send messages to its rooms in turn."""
        for message in itertools.islice(self.messages, count):
            self.client.send(message)

    @property
    def got(self) -> list[bytes]:
        """What has come through its rooms."""
        return [each for each in self.client.received if each != JOINED and each[:7] != GAP]

    @property
    def gaps(self) -> list[list[str]]:
        """The rooms of each gap that it has heard of."""
        return [json.loads(each)["gap"] for each in self.client.received if each[:7] == GAP]


class Crowd:
    """Clients in rooms, spread over servers, and all that is sent to the rooms."""

    def __init__(self, cluster: Cluster, rooms: list[str], servers: list[RoomServer]) -> None:
        self.cluster = cluster
        self.rooms = rooms
        self.servers = servers
        self.people: list[Person] = []
        self.sent: dict[bytes, dict[str, Any]] = {}
        """All messages, as clients get them."""
        self._view_messages = [
            self._messages(f"view {number}", rooms) for number in range(len(servers))
        ]
        self._process_messages = self._messages("process", rooms)

    def _messages(self, sender: str, rooms: Sequence[str]) -> Iterator[dict[str, Any]]:
        for number, room in enumerate(itertools.cycle(rooms)):
            message = {"room": room, "from": sender, "number": number}
            self.sent[json.dumps(message, separators=(",", ":")).encode()] = message
            yield message

    async def fill(self, clients: int) -> None:
        """Connect clients, each in one room or in two."""
        servers = self.servers
        spread = random.Random(clients)
        turn = asyncio.Semaphore(AT_ONCE)

        async def connect(number: int) -> Person:
            rooms = tuple(spread.sample(self.rooms, 1 + number % 2))
            server = servers[number // 2 % len(servers)]
            async with turn:
                client = await Client.connect(server.address, f"/crowd?names={','.join(rooms)}")
                await client.until(1)
            return Person(rooms, server, client, self._messages(f"client {number}", rooms))

        self.people = await asyncio.gather(*map(connect, range(clients)))

    def abort(self) -> None:
        """End all connections."""
        for person in self.people:
            person.client.abort()

    # Sending

    async def speak(self, each: int, views: int, process: int) -> None:
        """Have everybody send `each` messages, and as many through views and the process."""
        for person in self.people:
            person.send(each)
        addresses = [
            (server.address, messages)
            for server, messages in zip(self.servers, self._view_messages, strict=True)
            if server.process.poll() is None
        ]
        share = views // len(addresses)
        await asyncio.gather(
            self._send_by_process(process),
            *(self._send_by_view(*address, share) for address in addresses),
        )

    async def _send_by_view(
        self, address: str, messages: Iterator[dict[str, Any]], count: int
    ) -> None:
        left = count
        while left:
            some = list(itertools.islice(messages, min(left, 5)))
            left -= len(some)
            await post(address, "/send/", some)

    async def _send_by_process(self, count: int) -> None:
        messages = list(itertools.islice(self._process_messages, count))
        await asyncio.to_thread(self.cluster.sender.send, messages)

    async def chatter(self, until: asyncio.Event) -> None:
        """Send a little all the time, in all three ways."""

        async def go_on(send: Callable[[], Awaitable[None]]) -> None:
            while not until.is_set():
                await send()
                await asyncio.sleep(PAUSE)

        async def send_by_clients() -> None:
            for person in random.sample(self.people, 5):
                person.send()

        view = self.servers[0].address, self._view_messages[0], 1
        await asyncio.gather(
            go_on(send_by_clients),
            go_on(lambda: self._send_by_view(*view)),
            go_on(lambda: self._send_by_process(1)),
        )

    # Receiving

    async def arrived(self, messages: Collection[bytes]) -> None:
        """Wait until each has the messages of its rooms."""
        by_room = {
            room: {each for each in messages if self.sent[each]["room"] == room}
            for room in self.rooms
        }

        async def wait(person: Person) -> None:
            missing = set().union(*(by_room[room] for room in person.rooms))
            seen = 0
            while True:
                received = person.client.received
                missing.difference_update(received[seen:])
                seen = len(received)
                if not missing:
                    return
                await person.client.until(seen + len(missing))

        try:
            async with asyncio.timeout(ALL_WITHIN):
                await asyncio.gather(*map(wait, self.people))
        except TimeoutError:
            self.check(messages)
            raise

    async def have_heard_of_gap(self, within: float) -> None:
        """Wait until each has heard of a gap."""

        async def wait(person: Person) -> None:
            seen = 0
            received = person.client.received
            while not any(each.startswith(GAP) for each in received[seen:]):
                seen = len(received)
                await person.client.until(seen + 1)

        try:
            async with asyncio.timeout(within):
                await asyncio.gather(*map(wait, self.people))
        except TimeoutError:
            deaf = Counter(each.server.log_file.name for each in self.people if not each.gaps)
            raise AssertionError(f"not heard of the gap, by server: {deaf}") from None

    def check_gaps(self) -> None:
        """See that each has heard of one gap, in all of its rooms, and is connected still."""
        wrong = [each.gaps for each in self.people if each.gaps != [sorted(each.rooms)]]
        assert not wrong, (len(wrong), wrong[:5])
        assert not [each.client.close_code for each in self.people if each.client.ended.done()]

    def check(self, messages: Collection[bytes]) -> None:
        """See that each has those of `messages` that were for it, and has nothing twice.

        Nor anything out of its sender's order, nor of another room.
        """
        wrong = []
        for number, person in enumerate(self.people):
            counts = Counter(person.got)
            wrong += [(number, "twice", each) for each, count in counts.items() if count > 1]
            last: dict[str, int] = {}
            for each in person.got:
                message = self.sent[each]
                if message["room"] not in person.rooms:
                    wrong.append((number, "not its room", each))
                by = message["from"]
                if last.get(by, -1) >= message["number"]:
                    wrong.append((number, "out of order", each))
                last[by] = message["number"]
            wrong += [
                (number, "missing", each)
                for each in messages
                if self.sent[each]["room"] in person.rooms and each not in counts
            ]
        kinds = Counter(kind for _, kind, _ in wrong)
        assert not wrong, (kinds, wrong[:20])
