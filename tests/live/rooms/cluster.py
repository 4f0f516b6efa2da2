"""Several servers of one project, the Redis that joins them, and a process that only sends."""

import asyncio
import itertools
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.live.server import ROOT, Kind, Server

from .redis_server import RedisServer

APPLICATION = "tests.live.rooms.asgi:application"
SENT_WITHIN = 30.0  # seconds
RECORD = re.compile(r"(?m)^(?=[\w.]+ [A-Z]+ |127\.0\.0\.1:)")
"""Where a record of the log begins."""
LOST_REDIS = "channels_redis.pubsub ERROR Unexpected exception in receive task\n"
"""What channels_redis itself logs when it has lost its connection."""


class RoomServer(Server):
    """A server that may have lost Redis."""

    def check_log(self) -> None:
        with self._grown:  # so that nothing is added meanwhile
            log = self.log
            records = RECORD.split(log)
            self.log = "".join(each for each in records if not each.startswith(LOST_REDIS))
            try:
                super().check_log()
            finally:
                self.log = log


class Sender:
    """A process that sends to rooms."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.rooms.send"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        self._expect("ready")

    def _expect(self, line: str) -> None:
        assert self.process.stdout
        # It never says a second line unasked, so none is in Python's buffer.
        is_there, _, _ = select.select([self.process.stdout], [], [], SENT_WITHIN)
        said = self.process.stdout.readline() if is_there else "nothing"
        if said != f"{line}\n":
            self.process.kill()
            raise AssertionError((said, self.process.communicate()[1]))

    def send(self, messages: Iterable[Any]) -> None:
        """Have messages sent, and return when they have been."""
        assert self.process.stdin
        for message in messages:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            self._expect("sent")

    def stop(self) -> None:
        """End it, and see that it ends well."""
        _, errors = self.process.communicate(timeout=SENT_WITHIN)
        assert (self.process.returncode, errors) == (0, "")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Cluster:
    """Servers of these kinds, started side by side."""

    def __init__(self, layer: str, kinds: Sequence[Kind], folder: Path) -> None:
        self.layer = layer
        self._folder = folder
        self.redis = RedisServer(folder)
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "tests.live.rooms.settings",
            "TEST_LAYER": layer,
            "TEST_REDIS": self.redis.url,
        }
        self.servers: list[RoomServer] = []
        self._numbers = itertools.count()
        sends_to = f"{self.redis.url}?client_name=sender"
        self.sender = Sender({**self.environment, "TEST_REDIS": sends_to})
        try:
            with ThreadPoolExecutor(len(kinds)) as threads:
                for _ in threads.map(self.add, kinds):
                    pass
            self.servers.sort(key=lambda each: each.log_file)
            self.sender.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def add(self, kind: Kind) -> RoomServer:
        """Start one more server."""
        log_file = self._folder / f"{next(self._numbers)}-{kind}.log"
        server = RoomServer(kind, APPLICATION, log_file, self.environment)
        self.servers.append(server)
        return server

    def stop(self) -> None:
        """Stop all that run, see that they do and that their logs are as expected."""
        self.sender.stop()
        running = [each for each in self.servers if each.process.poll() is None]
        if running:
            with ThreadPoolExecutor(len(running)) as threads:
                list(threads.map(Server.stop, running))

    def kill(self) -> None:
        for each in self.servers:
            each.kill()
        self.sender.kill()
        self.redis.stop()

    def groups(self) -> list[str]:
        """Return the groups that Redis knows of."""
        if self.layer == "core":
            return list(self.redis.client.scan_iter("asgi:group:*", count=1000))
        return self.redis.client.pubsub_channels("asgi__group__*")

    def size(self, group: str) -> int:
        """Return how many processes Redis has in a group."""
        if self.layer == "core":
            return self.redis.client.zcard(f"asgi:group:{group}")
        return self.redis.client.pubsub_numsub(f"asgi__group__{group}")[0][1]

    async def until(self, condition: Callable[[], bool], within: float) -> float:
        """Wait until something holds in Redis, which tells nobody. Return how long it took."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < within, (condition, self.groups())
            await asyncio.sleep(0.02)
        return time.monotonic() - begun
