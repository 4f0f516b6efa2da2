"""A server that hundreds of connections have come to and gone from holds nothing of them."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.util import find_spec

from ..server import DAPHNE
from .client import PING, Address, Client, close_frame, frame, upgrade
from .probe import MIB, WITHIN, Control, Place

SETTLED_WITHIN = 10.0  # seconds, of which Daphne takes one or two to look at its connections
POLL = 0.1
AT_ONCE = 25  # connections

WayOut = Callable[[Address], Awaitable[None]]
ways_out: dict[str, WayOut] = {}


def way_out(function: WayOut) -> WayOut:
    ways_out[function.__name__] = function
    return function


async def echo(client: Client) -> None:
    await client.send("hello")
    assert await client.message() == b"hello"


@way_out
async def closed_by_the_client(address: Address) -> None:
    async with address.opened("/echoes/any") as client:
        await echo(client)
        await client.close()


@way_out
async def aborted(address: Address) -> None:
    async with address.opened("/echoes/any") as client:
        await echo(client)


@way_out
async def ended_without_a_close_frame(address: Address) -> None:
    async with address.opened("/echoes/any") as client:
        await echo(client)
        client.writer.close()
        await client.ended()


@way_out
async def aborted_at_once(address: Address) -> None:
    async with address.connected() as client:
        await client.write(upgrade("/echoes/any"))


@way_out
async def aborted_in_the_handshake(address: Address) -> None:
    async with address.connected() as client:
        await client.write(upgrade("/echoes/any")[:-2])


@way_out
async def aborted_before_accept(address: Address) -> None:
    async with address.connected() as client:
        await client.write(upgrade("/waits-for-the-end/any"))
        await asyncio.sleep(0.01)


@way_out
async def aborted_while_sending(address: Address) -> None:
    async with address.opened(f"/sends/any?count=20&size={MIB}", 65536) as client:
        await client.reader.readexactly(1000)


@way_out
async def aborted_while_not_reading(address: Address) -> None:
    async with address.opened("/receives-one/any", 65536) as client:
        client.writer.write(frame(bytes(100_000)) * 5)
        await client.message()


@way_out
async def aborted_in_half_a_frame(address: Address) -> None:
    async with address.opened("/echoes/any") as client:
        await client.write(frame(b"ping", PING) + frame(bytes(1000))[:500])
        await client.frame()


@way_out
async def refused(address: Address) -> None:
    async with address.connected() as client:
        await client.write(upgrade("/refuses/any"))
        assert (await client.ended()).startswith(b"HTTP/1.1 403 ")


@way_out
async def closed_by_the_application(address: Address) -> None:
    async with address.opened("/closes/any") as client:
        assert await client.close_code() == 4000
        await client.write(close_frame(4000))
        await client.ended()


@way_out
async def too_big(address: Address) -> None:
    async with address.opened("/echoes/any") as client:
        await client.write(frame(bytes(MIB + 1))[:1000])
        assert await client.close_code() == 1009
        await client.ended()


@way_out
async def against_the_protocol(address: Address) -> None:
    async with address.opened("/echoes/any") as client:
        await client.write(b"\xff" + frame(b"")[1:])
        assert await client.close_code() == 1002
        await client.ended()


@way_out
async def no_request(address: Address) -> None:
    async with address.connected() as client:
        await client.write(b"\x00\r\n\r\n")
        await client.ended()


@way_out
async def failed(address: Address) -> None:
    async with address.opened("/raises/any") as client:
        assert await client.close_code() == 1011
        await client.write(close_frame(1011))
        await client.ended()


CLEAN = ["closed_by_the_client", "closed_by_the_application", "refused"]
ABORTED = [way for way in ways_out if way.startswith("aborted")]
FAILED = [way for way in ways_out if way not in CLEAN + ABORTED]
OFTEN = ("closed_by_the_client", "aborted")


async def repeat(way: str, place: Place, count: int) -> None:
    """Go one way out `count` times."""
    if way == "failed":
        place.probe.server.expected += ["RuntimeError: raised after accept"] * count
    for _ in range(0, count, AT_ONCE):
        await asyncio.gather(*(ways_out[way](place.address) for _ in range(AT_ONCE)))


# On uvloop something keeps the objects of the last connection that was broken, and of no other.
SPARE = 1 if find_spec("uvloop") else 0
_before: dict[str, int] = {}


async def counts_before(place: Place, ways: list[str], control: Control) -> dict[str, int]:
    """Return what the server held before the test, after a first round of what it does.

    Ours has that round once for all tests, and is to hold no more after the last of them.
    """
    if place.probe.server.kind.name != DAPHNE.name:
        return await counts_after_one_round([place], ways, control)
    if not _before:
        places = [Place(place.probe, transport) for transport in place.probe.addresses]
        _before.update(await counts_after_one_round(places, list(ways_out), control))
    return _before


async def counts_after_one_round(
    places: list[Place], ways: list[str], control: Control
) -> dict[str, int]:
    for way in ways:
        await asyncio.gather(*(repeat(way, each, AT_ONCE) for each in places))
    return await at_rest(control)


async def at_rest(control: Control) -> dict[str, int]:
    """Return the counts once they are the same for longer than Daphne's checks take."""
    counts: dict[str, int] = {}
    same = 0
    for _ in range(int(SETTLED_WITHIN / POLL)):
        before, counts = counts, await control.ask("counts")
        same = same + 1 if counts == before else 0
        if same * POLL > 1.5:
            return counts
        await asyncio.sleep(POLL)
    raise AssertionError(f"these change and change: {before} {counts}")


async def check_same(control: Control, before: dict[str, int]) -> None:
    """See that the server soon has no more of anything than `before`."""
    more: dict[str, tuple[int, int]] = {}
    for _ in range(int(SETTLED_WITHIN / POLL)):
        after = await control.ask("counts")
        more = {
            key: (before.get(key, 0), n)
            for key, n in after.items()
            if n > before.get(key, 0) + (SPARE if "." in key else 0)
        }
        if not more:
            return
        await asyncio.sleep(POLL)
    raise AssertionError(f"there were, and are: {more}")


async def test_nothing_is_left_of_clean_ends(place: Place) -> None:
    await check_nothing_is_left(place, CLEAN)


async def test_nothing_is_left_of_aborts(place: Place) -> None:
    await check_nothing_is_left(place, ABORTED)


async def test_nothing_is_left_of_failures(place: Place) -> None:
    await check_nothing_is_left(place, FAILED)


async def check_nothing_is_left(place: Place, ways: list[str]) -> None:
    is_first = (place.probe.server.kind.name, place.transport) == (DAPHNE.name, "tcp")
    async with asyncio.timeout(WITHIN), place.probe.control() as control:
        before = await counts_before(place, ways, control)
        for way in ways:
            await repeat(way, place, 500 if is_first and way in OFTEN else 2 * AT_ONCE)
        await check_same(control, before)
