"""Flow control towards the client: `await send()` waits for one that does not read."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from ..server import DAPHNE
from .client import Client, close_frame, frame, upgrade
from .messages import is_numbered, numbered
from .probe import COSTS_AT_MOST, MIB, WITHIN, Control, Place, Probe, StartProbe, new_name

SIZE = 65536
SMALL_BUFFER = 65536  # of a client, so that it is soon full
DRAINED_WITHIN = 1.0  # seconds, what `impatient` has as DAPHNE_DRAIN_TIMEOUT
PROMPTLY = 3.0  # seconds


@asynccontextmanager
async def sending(
    place: Place, name: str, count: int, size: int = SIZE, tasks: int = 1
) -> AsyncIterator[tuple[Control, Client]]:
    """A connection on which the server sends, and nobody reads."""
    path = f"/sends/{name}?count={count}&size={size}&tasks={tasks}"
    async with (
        asyncio.timeout(WITHIN),
        place.probe.control() as control,
        place.address.opened(path, SMALL_BUFFER) as client,
    ):
        yield control, client


@pytest.fixture(scope="module")
def impatient(start: StartProbe) -> Iterator[Probe]:
    """A server that soon drops a client who does not drain."""
    probe = start(DAPHNE, DAPHNE_DRAIN_TIMEOUT=DRAINED_WITHIN)
    yield probe
    probe.server.stop()


async def test_a_gigabyte_to_a_client_that_does_not_read(place: Place) -> None:
    name = new_name()
    before = place.probe.memory()
    async with sending(place, name, 1024 * MIB // SIZE) as (control, _):
        sent = await control.settled(name)
        assert sent * SIZE < COSTS_AT_MOST
        assert place.probe.memory() - before < COSTS_AT_MOST
        assert (await control.ask("record", name))["events"] == []


@pytest.mark.parametrize(("size", "count"), [(SIZE, 512), (100, 100_000)])
async def test_all_arrives_once_the_client_reads(place: Place, size: int, count: int) -> None:
    name = new_name()
    async with sending(place, name, count, size) as (control, client):
        await control.settled(name)
        await check_all_arrives(client, size, count)
        await control.ask("wait", name, "sent")
        await client.close()
        record = await control.ask("wait", name, "disconnect")
        assert record["events"][:2] == ["sent", "disconnect 1000"]


async def test_messages_of_16_megabytes(place: Place) -> None:
    name = new_name()
    async with sending(place, name, 2, 16 * MIB) as (control, client):
        await check_all_arrives(client, 16 * MIB, 2)
        await control.ask("wait", name, "sent")


async def check_all_arrives(client: Client, size: int, count: int) -> None:
    """See that `count` messages of `size` bytes arrive, and in their order."""
    for number in range(count):
        data = await client.message()
        assert len(data) == size
        assert is_numbered(data, number)


async def test_several_tasks_send_at_once(place: Place) -> None:
    name, tasks, count = new_name(), 8, 64
    async with sending(place, name, count, SIZE, tasks) as (control, client):
        await control.settled(name)
        expected = [0] * tasks
        for _ in range(tasks * count):
            data = await client.message()
            assert len(data) == SIZE + 1
            assert is_numbered(data[1:], expected[data[0]])
            expected[data[0]] += 1
        assert expected == [count] * tasks
        assert (await control.ask("wait", name, "sent"))["events"] == ["sent"]


@pytest.mark.parametrize("tasks", [1, 8])
async def test_the_client_vanishes_while_a_sender_waits(place: Place, tasks: int) -> None:
    name = new_name()
    async with sending(place, name, 1024 * MIB // SIZE, SIZE, tasks) as (control, client):
        await control.settled(name)
        client.writer.transport.abort()
        await check_ended(control, name, tasks, place.probe.server.kind.code_of_vanished)


@pytest.mark.parametrize("tasks", [1, 8])
async def test_the_client_closes_while_a_sender_waits(place: Place, tasks: int) -> None:
    name = new_name()
    async with sending(place, name, 1024 * MIB // SIZE, SIZE, tasks) as (control, client):
        await control.settled(name)
        await client.write(close_frame(4321))
        await check_ended(control, name, tasks, 4321)


async def test_the_client_vanishes_while_both_sides_wait(place: Place) -> None:
    """A handler that answers what nobody reads holds up reading as well."""
    name = new_name()
    async with asyncio.timeout(WITHIN), place.probe.control() as control:
        before = place.probe.memory()
        async with place.address.opened(f"/echoes/{name}", SMALL_BUFFER) as client:
            await client.throw(lambda n: frame(numbered(n, SIZE)), 1024 * MIB // SIZE)
            assert place.probe.memory() - before < COSTS_AT_MOST
        async with asyncio.timeout(PROMPTLY):
            record = await control.ask("wait", name, "disconnect")
        code = place.probe.server.kind.code_of_vanished
        assert record["events"] == ["OSError", f"disconnect {code}"]


async def test_a_denial_response_waits_for_a_client_that_does_not_read(place: Place) -> None:
    name, count = new_name(), 256
    path = f"/denies/{name}?size={SIZE}&count={count}"
    async with (
        asyncio.timeout(WITHIN),
        place.probe.control() as control,
        place.address.connected(SMALL_BUFFER) as client,
    ):
        await client.write(upgrade(path))
        assert await control.settled(name) < count
        answer = await client.ended()
        assert answer.startswith(b"HTTP/1.1 418 ")
        assert len(answer) > count * SIZE
        assert (await control.ask("wait", name, "disconnect"))["events"][0] == "sent"


async def check_ended(control: Control, name: str, tasks: int, code: int) -> None:
    """See that all tasks that send soon get an error, and `receive` the disconnect."""
    async with asyncio.timeout(DRAINED_WITHIN + PROMPTLY):
        record = await control.ask("wait", name, "send refused")
    ends = ["sent", f"disconnect {code}", "send refused"]
    assert record["events"] == ["OSError"] * tasks + ends


@pytest.mark.parametrize(("size", "tasks"), [(SIZE, 1), (SIZE, 8), (16 * MIB, 1)])
async def test_a_client_that_never_drains_is_dropped(
    impatient: Probe, size: int, tasks: int
) -> None:
    async def check(place: Place) -> None:
        name = new_name()
        async with sending(place, name, 1024 * MIB // size, size, tasks) as (control, client):
            before = time.monotonic()
            await check_ended(control, name, tasks, 1006)
            took = time.monotonic() - before
            assert DRAINED_WITHIN * 0.8 < took < DRAINED_WITHIN + PROMPTLY
            await client.ended()

    await side_by_side(impatient, check)


async def test_a_client_that_drains_slowly_is_not_dropped(impatient: Probe) -> None:
    total = 32 * MIB

    async def check(place: Place, size: int) -> None:
        name = new_name()
        async with sending(place, name, total // size, size) as (control, client):
            began = time.monotonic()
            arrived = 0
            while time.monotonic() - began < 3 * DRAINED_WITHIN:  # half a megabyte a second
                arrived += len(await client.reader.readexactly(MIB // 10))
                await asyncio.sleep(DRAINED_WITHIN / 5)
            assert (await control.ask("record", name))["events"] == []
            heads = (2 + 8) * total // size
            await client.reader.readexactly(total + heads - arrived)
            await control.ask("wait", name, "sent")

    await side_by_side(
        impatient, lambda place: check(place, SIZE), lambda place: check(place, total // 2)
    )


async def side_by_side(probe: Probe, *checks: Callable[[Place], Awaitable[None]]) -> None:
    """Check all the ways to connect at the same time: what takes long is the waiting."""
    places = [Place(probe, transport) for transport in probe.addresses]
    await asyncio.gather(*(check(place) for check in checks for place in places))
    probe.server.check_log()
