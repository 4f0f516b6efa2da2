"""Clients that keep the bounds of their endpoints, or break them."""

import asyncio
from contextlib import suppress

from .bounded import BURST, MAX_SIZE, RATE
from .client import ANSWERED_WITHIN, SMALL, Client, Ended, Refused
from .life import Life, behaviour
from .well_behaved import talk


@behaviour(6)
async def keeps_the_bounds(life: Life) -> None:
    def question(number: int) -> tuple[str, str]:
        text = f"{number} {life.name}".ljust(life.rng.choice([0, MAX_SIZE]))
        return text, text

    path = life.rng.choice(["close", "drop", "wait"])
    await talk(life, await life.open(f"/bounded/{path}"), question)


@behaviour(2)
async def sends_too_much(life: Life) -> None:
    client = await life.open(f"/bounded/{life.rng.choice(['close', 'drop', 'wait'])}")
    client.send("x" * (MAX_SIZE + 1))
    life.answered(await client.end(), (1009, "message too big"))


@behaviour(2)
async def sends_too_fast(life: Life) -> None:
    client = await life.open("/bounded/close")
    for number in range(20 * BURST):  # a busy server counts what it has let wait
        client.send(str(number))
    life.answered(await client.end(), (4429, "rate limit exceeded"))


@behaviour(2)
async def sends_too_fast_to_be_heard(life: Life) -> None:
    """Have some messages dropped, and no others after that."""
    client = await life.open("/bounded/drop")
    for number in range(3 * BURST):
        client.send(str(number))
    await life.pause(2, 3)
    heard: list[int] = []
    async with asyncio.timeout(ANSWERED_WITHIN):
        while not await is_heard("the last", client, heard):
            pass  # a server so busy that it found this together with those before it
    life.answered(heard[:BURST], list(range(BURST)))
    life.answered(heard, sorted(set(heard)))
    await client.close()


async def is_heard(message: str, client: Client, before: list[int]) -> bool:
    """Send a message, note the numbers that are answered before it, and tell whether it is, too."""
    client.send(message)
    with suppress(TimeoutError):
        while (answer := await client.next(3.0)) != message:
            before.append(int(answer))
        return True
    return False


@behaviour(2)
async def sends_too_fast_and_waits(life: Life) -> None:
    client = await life.open("/bounded/wait")
    for number in range(BURST + 2 * RATE):
        client.send(str(number))
    for number in range(BURST + 2 * RATE):
        life.answered(await client.next(), str(number))
    await client.close()


@behaviour(2)
async def is_idle(life: Life) -> None:
    client = await life.open("/bounded/idle")
    client.send("hello")
    life.answered(await client.next(), "hello")
    life.answered(await client.end(), (4408, "idle for too long"))


@behaviour(2)
async def lives_too_long(life: Life) -> None:
    client = await life.open("/bounded/short-lived")
    life.answered(await client.end(), (1012, "maximum lifetime reached"))


@behaviour(2)
async def reads_too_slowly(life: Life) -> None:
    """Read nothing, and find the connection ended."""
    client = await life.open("/bounded/pushes-much", buffer=SMALL)
    for _ in range(4):  # where the machine is busy, it may take a while until nothing more is taken
        client.pause()
        await life.pause(5, 6)
        client.resume()
        with suppress(TimeoutError):
            await client.end(1.0)
            break
        client.messages.clear()
    life.answered(client.has_ended, True)


@behaviour(3)
async def is_answered_late(life: Life) -> None:
    """Ask more than is read ahead, and get all answers; or leave before."""
    client = await life.open("/bounded/slow")
    count = life.rng.choice([1, 3, 10])
    for number in range(count):
        client.send(str(number))
    if count == 10:
        await life.pause(0, 4)
        client.reset()
        return
    for number in range(count):
        life.answered(await client.next(), str(number))
    await client.close()


@behaviour(3)
async def leaves_who_waits(life: Life) -> None:
    client = await life.open(life.rng.choice(["/bounded/waits", "/bounded/stubborn"]))
    await life.pause(0, 3)
    if life.rng.random() < 0.5:
        client.reset()
    else:
        await client.close()


@behaviour(4)
async def talks_beside_a_task(life: Life) -> None:
    client = await life.open("/bounded/tasks")
    number = ticks = 0
    while life.goes_on:
        client.send(f"{life.name} {number}")
        while (answer := await client.next()) != f"{life.name} {number}":
            life.answered(answer, f"tick {ticks}")
            ticks += 1
        life.answered(answer, f"{life.name} {number}")
        number += 1
        await life.pause(0.2, 1.5)
    await client.close()


@behaviour(1)
async def makes_a_task_fail(life: Life) -> None:
    client = await life.open("/bounded/tasks")
    client.send("fail")
    life.soak.tracebacks.append("RuntimeError: raised in a task")
    await client.end()
    life.answered(client.close_code, 1011)


@behaviour(4)
async def reads_a_stream(life: Life) -> None:
    path = life.rng.choice(["/bounded/numbers", "/bounded/numbers-blocking"])
    try:
        client = await life.open(path)
    except Refused as refused:
        life.answered(refused.status, 503)  # no thread is free
        return
    count = life.rng.randint(1, 20)
    for number in range(count):
        life.answered(await client.next(), str(number))
    if life.rng.random() < 0.5:
        client.reset()
    else:
        with suppress(Ended):  # the blocking one ends at 20 by itself
            await client.close()


@behaviour(2)
async def floods_who_does_not_receive(life: Life) -> None:
    """Send more than is read ahead to a handler that receives nothing, and be told to go."""
    client = await life.open("/sleeps")
    for _ in range(200):
        client.send("x" * 1_000)
        await asyncio.sleep(0)
    await client.end()
    life.answered(client.close_code, 1013)
