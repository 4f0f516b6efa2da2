"""The membership of this process in the group that a room is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .sequences import Received

if TYPE_CHECKING:
    from ..member import Member
    from .hub import Hub


class Membership:
    """One room, as far as it is in this event loop: its members, and whether the layer knows.

    What the layer has been told follows what is wanted, one call after the other; so joins and
    leaves may come in any order and be cancelled at any point.
    """

    def __init__(self, hub: Hub, group: str, name: str) -> None:
        self._hub = hub
        self.group = group
        self.name = name
        self.members: dict[Member, None] = {}
        """In the order in which they joined."""
        self.received = Received()
        self.idle_since: float | None = None
        """When the last member left, None while there is one."""
        self.channel: str | None = None
        """Where the group's messages come in, None while there is no channel."""
        self.awaited: dict[tuple[object, object], asyncio.Future[None]] = {}
        """Who waits until a message is delivered here: by its sender and number."""
        self.is_joined = False
        """Whether the layer has the channel in the group."""
        self.has_missed = False
        """Whether there may have been messages since somebody joined, and before the layer knew."""
        self.renewed_at = 0.0
        """When the layer was told last."""
        self._version = self._known_version = 0
        """What the layer is to be told, and what it has been told."""
        self._work: asyncio.Task[None] | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether there are members, or have been just now."""
        if self.members:
            return True
        since = self.idle_since
        return since is not None and self._hub.now() - since < self._hub.linger

    @property
    def is_settled(self) -> bool:
        """Whether the layer knows what is wanted."""
        if self.is_wanted:
            return self.is_joined and self._known_version == self._version
        return self.channel is None

    @property
    def is_late(self) -> bool:
        """Whether the layer does not know what is wanted, nor is being told."""
        return not self.is_settled and (self._work is None or self._work.done())

    def add(self, member: Member) -> None:
        """Count a member in."""
        self.members[member] = None
        self.idle_since = None

    def remove(self, member: Member) -> None:
        """Count a member out."""
        self.members.pop(member, None)
        if not self.members and self.idle_since is None:
            self.idle_since = self._hub.now()
            # Where a coroutine is collected whose loop is gone, nothing can be done any more.
            if not self._hub.linger and self._hub.loop.is_running():
                self.settle()

    def settle(self) -> asyncio.Task[None] | None:
        """Have the layer told what is wanted. Return the task that does, None if it knows."""
        if self._work is None or self._work.done():
            self._work = None
            if not self.is_settled:
                self._work = self._hub.run(self._settle())
                self._work.add_done_callback(self._settled)
            elif not self.is_wanted:
                self._hub.forget(self)
        return self._work

    def doubt(self) -> None:
        """Take it that the layer has forgotten the membership: `settle()` tells it again."""
        self._version += 1

    def _settled(self, task: asyncio.Task[None]) -> None:
        if self._work is task:
            self._work = None
        if self._work is None and self.is_settled and not self.is_wanted:
            self._hub.forget(self)

    async def _settle(self) -> None:
        while not self.is_settled:
            try:
                if self.is_wanted:
                    await self._join()
                else:
                    await self._leave()
            except Exception as error:  # it is tried again, at the latest in a second
                self._hub.note_failure(error)
                return

    async def _join(self) -> None:
        hub = self._hub
        if self.channel is None:
            self.channel = await hub.inlet.open(self._take)
        version = self._version
        await hub.call(hub.layer.group_add, self.group, self.channel)
        self._known_version = version
        self.is_joined = True
        self.renewed_at = hub.now()
        if self.has_missed:
            hub.has_caught_up(self)

    async def _leave(self) -> None:
        hub = self._hub
        self.is_joined = False
        await hub.call(hub.layer.group_discard, self.group, self.channel)
        if self.channel is not None:
            hub.inlet.close(self.channel)
            self.channel = None
            for waiting in self.awaited.values():  # what is on its way is lost
                resolve(waiting)

    def _take(self, message: Mapping[str, Any]) -> None:
        self._hub.intake.take_for_room(self, message)


def resolve(future: asyncio.Future[None]) -> None:
    """Have whoever waits go on."""
    if not future.done():
        future.set_result(None)
