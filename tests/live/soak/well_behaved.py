"""Clients that do as they should, and that are to get every answer."""

import json
import string
from collections.abc import Callable

from .client import Client, Refused
from .life import Life, behaviour, token
from .prepare import USERS

AT_ONCE = 5
"""Messages that a client sends before it looks for their answers."""
ALPHABET = string.ascii_letters + "äöü€ "

Message = str | bytes
Question = Callable[[int], tuple[Message, Message]]
"""What makes, of a number, a message and its answer."""


async def talk(life: Life, client: Client, question: Question) -> None:
    """Ask, and see that all is answered in order; then close."""
    number = 0
    while True:
        expected = []
        for _ in range(life.rng.randint(1, AT_ONCE)):
            message, answer = question(number)
            client.send(message)
            expected.append(answer)
            number += 1
        for answer in expected:
            life.answered(await client.next(), answer)
        if not life.goes_on:
            break
        await life.pause(0.2, 1.5)
    if client.messages:
        raise AssertionError(f"got {client.messages.popleft()!r:.200} without asking")
    await client.close(life.rng.choice([1000, 1001, 3000, 4999]))


def words(life: Life, number: int) -> str:
    """Return a text that no other message of this life has."""
    size = life.rng.choice([0, 10, 100, 1_000, 20_000])
    return f"{number} {life.name} " + life.rng.choice(ALPHABET) * size


@behaviour(12)
async def asks_for_text(life: Life) -> None:
    def question(number: int) -> tuple[str, str]:
        text = words(life, number)
        return text, text

    await talk(life, await life.open("/echo/text"), question)


@behaviour(8)
async def asks_for_bytes(life: Life) -> None:
    def question(number: int) -> tuple[bytes, bytes]:
        data = words(life, number).encode()
        return data, data

    await talk(life, await life.open("/echo/bytes"), question)


@behaviour(8)
async def asks_for_json(life: Life) -> None:
    def question(number: int) -> tuple[str, str]:
        value = json.dumps({"number": number, "words": [life.name]}, separators=(",", ":"))
        return value, value

    await talk(life, await life.open("/echo/json"), question)


@behaviour(3)
async def asks_a_thread(life: Life) -> None:
    def question(number: int) -> tuple[str, str]:
        text = words(life, number)
        return text, text

    try:
        client = await life.open("/echo/blocking")
    except Refused as refused:
        life.answered(refused.status, 503)  # no thread is free
    else:
        await talk(life, client, question)


@behaviour(4)
async def asks_the_orm(life: Life) -> None:
    def question(number: int) -> tuple[str, str]:
        user_id = life.rng.randint(1, USERS)
        return str(user_id), f"user {user_id}"

    await talk(life, await life.open("/orm"), question)


@behaviour(4)
async def asks_the_database(life: Life) -> None:
    await talk(life, await life.open("/sql"), lambda number: (str(number), str(2 * number)))


@behaviour(4)
async def asks_with_a_token(life: Life) -> None:
    user_id = life.rng.randint(1, USERS)
    client = await life.open(f"/private/me?token={token(user_id)}")
    await talk(life, client, lambda number: (str(number), f'[{number},"user {user_id}"]'))


@behaviour(8)
async def chats(life: Life) -> None:
    """Send to a room, and get it all back, and what others send in their order."""
    await hear_all(life, await life.open(f"/chat/{life.rng.randrange(50)}"))


@behaviour(4)
async def chats_with_peers(life: Life) -> None:
    await hear_all(life, await life.open(f"/peers/{life.rng.randrange(20)}"))


@behaviour(2)
async def chats_loudly(life: Life) -> None:
    await hear_all(life, await life.open(f"/chat/loud-{life.rng.randrange(4)}"), 20_000)


async def hear_all(life: Life, client: Client, size: int = 10) -> None:
    last: dict[str, int] = {}

    async def hear_until(number: int) -> None:
        while last.get(life.name, -1) < number:
            sender, _, rest = str(await client.next()).partition(" ")
            if not rest:
                continue  # of one who vanishes
            heard = rest.split(" ", 1)[0]
            if int(heard) != last.get(sender, int(heard) - 1) + 1:
                raise AssertionError(f"message {heard} of {sender} after {last[sender]}")
            last[sender] = int(heard)
            life.soak.answers += 1

    number = -1
    while life.goes_on:
        for _ in range(life.rng.randint(1, 2)):
            number += 1
            client.send(f"{life.name} {number} " + "." * size)
        await hear_until(number)
        await life.pause(0.5, 2)
    await client.close()


@behaviour(6)
async def listens(life: Life) -> None:
    """Hear numbers, none of them missing, and leave."""
    client = await life.open("/push")
    number = 0
    while life.goes_on:
        life.answered(await client.next(), str(number))
        number += 1
    await life.rng.choice([client.close, leave_at_once(client)])()


def leave_at_once(client: Client) -> Callable[[], object]:
    async def leave() -> None:
        client.reset()

    return leave


@behaviour(6)
async def is_silent(life: Life) -> None:
    """Say nothing to a handler that says nothing, and is still connected at the end."""
    client = await life.open("/sleeps")
    await life.rest()
    await client.close()
