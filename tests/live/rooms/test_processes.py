"""What is sent in one process and reaches others, what that costs, and processes that end."""

import asyncio
import json
import resource
from pathlib import Path

from tests.live.server import DAPHNE

from .client import Client, close_all, connected
from .cluster import Cluster, RoomServer
from .crowd import Crowd
from .people import Person, as_user, met

GROUP = "costs"
BROADCASTS = 50
MEMBERS = 100  # in each of two processes


async def join(name: str, *people: Person) -> None:
    for person in people:
        await person.do("join", name)


async def test_exclude(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    async with met((here, "a"), (there, "a"), (there, "a")) as (one, two, three):
        await join("exclude", one, two, three)
        await one.do("send to others", "exclude", "not to one")
        await one.do("send excluding", "exclude", "not to two", two.id)
        await two.do("send excluding", "exclude", "only to two", [one.id, three.id])
        await one.do("send", "exclude", "to all")
        assert await one.hears(2) == ["not to two", "to all"]
        # Two senders have no common order.
        assert sorted(await two.hears(3)) == ["not to one", "only to two", "to all"]
        assert await three.hears(3) == ["not to one", "not to two", "to all"]


async def test_broadcast_to_a_path_and_to_an_endpoint(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    async with met((here, "a"), (there, "a"), (there, "b")) as (one, two, three):
        await one.do("broadcast", ["to the path"], "path")
        await one.do("broadcast", ["to the endpoint"], "endpoint")
        await one.do("broadcast of the endpoint", ["to it again"])
        for each in (one, two):
            expected = [["to the path"], ["to the endpoint"], ["to it again"]]
            assert await each.hears(3) == expected
        assert await three.hears(2) == [["to the endpoint"], ["to it again"]]


async def test_a_user_is_sent_to(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    seven, eight = f"a{as_user('7')}", f"a{as_user('8')}"
    async with met((here, "a"), (here, seven), (there, seven), (there, eight)) as people:
        sender, *sevens, other = people
        await sender.do("send to user", 7, "to seven")
        await sender.do("broadcast of the endpoint", ["to all"])
        for each in sevens:
            assert await each.hears(2) == ["to seven", ["to all"]]
        for each in (sender, other):
            assert await each.hears() == [["to all"]]


async def test_a_user_is_disconnected(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    seven, eight = f"a{as_user('7')}", f"a{as_user('8')}"
    async with met((here, "a"), (here, seven), (there, seven), (there, eight)) as people:
        sender, *sevens, other = people
        await sender.do("disconnect", 7, 4007, "seven, leave")
        for each in sevens:
            assert await each.end() == (4007, "seven, leave")
        assert await sender.do("disconnect_user", 8) == 0  # nobody in this process
        assert await other.end() == (4401, "")
        assert not sender.client.ended.done()


async def test_count(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    async with met((here, "a"), (there, "a"), (there, "a")) as (one, two, three):
        await join("count", one, two)
        assert await one.do("count", "count") == [2, True]
        await join("count", three)
        assert await one.do("count", "count") == [3, True]
        assert await three.do("count", "count") == [3, True]


async def test_count_after_a_process_was_killed(cluster: Cluster) -> None:
    here, killed = cluster.servers[0], cluster.add(DAPHNE)
    async with met((here, "a"), (killed, "a")) as (one, two):
        await join("killed", one, two)
        assert await one.do("count", "killed") == [2, True]
        await asyncio.to_thread(killed.kill)
        killed.check_log()
        # Over pub/sub Redis knows at once. In a group of `core`, the dead stay for a day.
        assert await one.do("count", "killed") == [1, cluster.layer == "pubsub"]


async def test_consumers_written_by_hand(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    async with (
        met((here, "a"), (there, "a")) as (one, two),
        connected(there.address, "/hand-written/hand") as by_hand,
    ):
        await join("hand", one, two)
        await one.do("send", "hand", "from a room")
        assert await by_hand.next() == "from a room"
        await two.do("group_send", "hand", {"type": "chat.message", "text": '"by hand"'})
        assert await by_hand.next() == "by hand"
        for each in (one, two):
            heard = {"heard": '"by hand"', "room": "hand"}
            assert await each.hears(2) == ["from a room", heard]


async def test_a_process_that_ends_leaves_at_once(cluster: Cluster) -> None:
    others = [each for each in cluster.servers if each.process.poll() is None]
    ending = cluster.add(DAPHNE)
    # None of the others may leave of its own while Redis is looked at.
    async with met((ending, "a"), (ending, "a"), *((each, "a") for each in others)) as people:
        two, three, one, *_ = people
        await join("ends", one, two)
        await join("ends.too", three)
        assert (cluster.size("ends"), cluster.size("ends.too")) == (2, 1)
        shared = cluster.size("bolt_ws.shared")
        await asyncio.to_thread(ending.stop)
        assert (cluster.size("ends"), cluster.size("ends.too")) == (1, 0)
        assert cluster.size("bolt_ws.shared") == shared - 1
        for each in (two, three):
            assert (await each.end())[0] == 1012
        await one.do("send", "ends", "still here")
        assert await one.hears() == ["still here"]


async def test_servers_that_wait_for_their_clients(cluster: Cluster) -> None:
    crowd = Crowd(cluster, [f"waits.{number}" for number in range(5)], cluster.servers[2:4])
    try:
        await crowd.fill(40)
        await crowd.speak(4, 20, 20)
        await crowd.arrived(crowd.sent)
        crowd.check(crowd.sent)
        await close_all([each.client for each in crowd.people])
    finally:
        crowd.abort()


async def test_a_broadcast_costs_one_message_for_each_process(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    connecting = (
        Client.connect(server.address, f"/crowd?names={GROUP}")
        for server in (here, there)
        for _ in range(MEMBERS)
    )
    clients = await asyncio.gather(*connecting)
    try:
        await asyncio.gather(*(each.until(1) for each in clients))
        with cluster.redis.watched() as commands:
            for number in range(BROADCASTS):
                clients[0].send({"room": GROUP, "number": number})
            await asyncio.gather(*(each.until(1 + BROADCASTS) for each in clients))
        await close_all(clients)
    finally:
        for each in clients:
            each.abort()
    if cluster.layer == "pubsub":
        start = f"PUBLISH asgi__group__{GROUP} "
        assert sum(each.startswith(start) for each in commands) == BROADCASTS
        return
    messages = [each for each in commands if "bolt_ws.message" in each]
    sent = [each for each in messages if each.startswith("EVAL")]
    put = [each for each in messages if each.startswith("lua ZADD")]
    assert (len(sent), len(put)) == (BROADCASTS, 2 * BROADCASTS)


async def test_a_process_that_only_sends_has_one_connection(cluster: Cluster) -> None:
    here, *_ = cluster.servers
    messages = [{"room": "one", "number": number} for number in range(200)]
    async with connected(here.address, "/crowd?names=one") as client:
        assert await client.next() == "joined"
        before = cluster.redis.client.info("stats")["total_connections_received"]
        await asyncio.to_thread(cluster.sender.send, messages)
        assert [await client.next() for _ in messages] == messages
        opened = cluster.redis.client.info("stats")["total_connections_received"] - before
    names = [each["name"] for each in cluster.redis.client.client_list()]
    assert 1 <= names.count("sender") <= 2
    assert opened < 10  # the servers open some too


async def test_a_member_that_never_reads_is_nobody_elses_trouble(cluster: Cluster) -> None:
    here, there, *_ = cluster.servers
    async with met((here, "a"), (here, "a"), (there, "a"), (here, "a")) as people:
        sender, near, far, slow = people
        await join("slow", *people)
        before = resident(here)
        slow.client.transport.pause_reading()
        # More than the system and its outbox of 256 messages hold.
        sent = [f"{number} {'x' * 60_000}" for number in range(520)]
        for each in sent:
            await sender.do("send", "slow", each)
        for reader in (sender, near, far):
            assert await reader.hears(len(sent)) == sent
        assert resident(here) - before < 64 * 2**20
        slow.client.transport.resume_reading()
        assert await slow.end() == (1013, "reading too slowly")
        got = [json.loads(each) for each in slow.client.received][2:]  # its id, and "join"
        assert got == sent[: len(got)]
        assert len(got) < len(sent) - 256
        await sender.do("send", "slow", "and on it goes")
        assert await near.hears() == ["and on it goes"]


def resident(server: RoomServer) -> int:
    """Return the bytes of memory that a server has."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
