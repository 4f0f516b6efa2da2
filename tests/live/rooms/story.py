"""What happens to a crowd: messages, then faults, then messages again."""

import asyncio
import random

from .client import close_all
from .cluster import Cluster
from .crowd import Crowd

CLIENTS = 400
ROOMS = 20
EACH, BY_VIEWS, BY_PROCESS = 10, 500, 500
"""Messages of each client, of views and of the process: 5,000 in all."""
AWAY = 0.5  # seconds
BACK_WITHIN = 5.0  # seconds after Redis
GONE_WITHIN = 5.0


async def tell(cluster: Cluster) -> None:
    """See that all messages arrive, that they do again after faults, and that nothing is left."""
    rooms = [f"room.{number}" for number in range(ROOMS)]
    crowd = Crowd(cluster, rooms, cluster.servers)
    try:
        await crowd.fill(CLIENTS)
        await crowd.speak(EACH, BY_VIEWS, BY_PROCESS)
        assert len(crowd.sent) == 5_000
        await crowd.arrived(crowd.sent)
        crowd.check(crowd.sent)
        await fail(crowd)
        before = len(crowd.sent)
        await crowd.speak(1, 20, 20)
        after = list(crowd.sent)[before:]
        await crowd.arrived(after)
        crowd.check_gaps()
        await close_all([each.client for each in crowd.people])
        crowd.check(after)
        await cluster.until(lambda: not cluster.groups(), GONE_WITHIN)
    finally:
        crowd.abort()


async def fail(crowd: Crowd) -> None:
    """Have clients vanish, a process die and Redis restart, while everybody sends."""
    cluster, servers = crowd.cluster, crowd.cluster.servers
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(crowd.chatter(over))
        for person in random.sample(crowd.people, len(crowd.people) // 10):
            person.client.abort()
            crowd.people.remove(person)
        killed = servers[-1]
        await asyncio.to_thread(killed.kill)
        killed.check_log()
        crowd.people = [each for each in crowd.people if each.server is not killed]
        await asyncio.to_thread(cluster.redis.stop)
        await asyncio.sleep(AWAY)
        await asyncio.to_thread(cluster.redis.start)
        await crowd.have_heard_of_gap(BACK_WITHIN)
        over.set()
