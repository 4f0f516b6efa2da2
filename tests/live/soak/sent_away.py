"""Clients that are refused, kicked, or sent away by an endpoint's error."""

from tests.live.options.raw import request

from .api import KICKED_BY_PAGE, KICKED_BY_SOCKET
from .client import Refused
from .life import Life, behaviour, token

BAD_KEY = "another key, as long as the one that it is not, and no secret at all, for it is here"


@behaviour(8)
async def is_refused(life: Life) -> None:
    path, headers, status = life.rng.choice(
        [
            ("/private/me", (), 401),
            ("/private/me?token=nonsense", (), 401),
            (f"/private/me?token={token(1, key=BAD_KEY)}", (), 401),
            (f"/private/me?token={token(1, lasts=-60)}", (), 401),
            (f"/private/staff?token={token(1)}", (), 403),
            ("/echo/text", ("Origin: https://evil.example",), 403),
            ("/nowhere", (), 404),
            ("/number?n=abc", (), 422),
            ("/number", (), 422),
        ]
    )
    try:
        await life.open(path, *headers)
    except Refused as refused:
        life.answered(refused.status, status)
    else:
        raise AssertionError(f"{path} was accepted")


@behaviour(1)
async def is_refused_by_a_close(life: Life) -> None:
    client = await life.open("/private/closes-to-refuse")
    await client.end()
    life.answered(client.close_code, 4401)


async def kick(life: Life, user_id: str) -> None:
    """Ask the page that kicks a user."""
    client = await life.connect()
    client.write(request(f"/kick/{user_id}/", "Connection: close"))
    life.answered(await client.answer(), 200)
    await client.end()


@behaviour(4)
async def is_kicked(life: Life) -> None:
    """Talk until another sends this user away."""
    user_id = f"kicked-{life.name}"
    client = await life.open(f"/private/stays?token={token(user_id)}")
    for number in range(life.rng.randint(1, 3)):
        client.send(str(number))
        life.answered(await client.next(), str(number))
        await life.pause(0, 1)
    if life.rng.random() < 0.5:
        await kick(life, user_id)
        expected = KICKED_BY_PAGE
    else:
        other = await life.open("/kicks")
        other.send(user_id)
        life.answered(await other.next(), "kicked")
        await other.close()
        expected = KICKED_BY_SOCKET
    life.answered(await client.end(), expected)


@behaviour(2)
async def is_kicked_and_does_not_read(life: Life) -> None:
    user_id = f"kicked-{life.name}"
    client = await life.open(f"/private/stays?token={token(user_id)}")
    client.pause()
    await kick(life, user_id)
    await life.pause(0, 3)
    client.reset()


@behaviour(2)
async def stays_too_long(life: Life) -> None:
    """Have a token that expires."""
    client = await life.connect()
    await client.upgrade(f"/private/stays?token={token(1, lasts=life.rng.uniform(8, 10))}")
    client.send("hello")
    life.answered(await client.next(), "hello")
    life.answered(await client.end(), (4401, "token expired"))


@behaviour(1)
async def makes_a_handler_fail(life: Life) -> None:
    client = await life.open("/raises")
    life.soak.tracebacks.append("RuntimeError: raised after accept")
    await client.end()
    life.answered(client.close_code, 1011)


@behaviour(1)
async def makes_a_handler_fail_early(life: Life) -> None:
    try:
        await life.open("/raises-before-accept")
    except Refused as refused:
        life.soak.tracebacks.append("RuntimeError: raised before accept")
        life.answered(refused.status, 500)
