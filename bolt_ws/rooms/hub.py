"""The rooms of one event loop: who is in them, and what comes in for them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..conf import get_settings
from .audiences import Audiences
from .care import Care
from .delivery import Delivery
from .inlets import make_inlet
from .intake import Intake
from .layers import Layer, groups_on_all_hosts, is_local
from .membership import Membership
from .names import RESERVED, SHARED
from .publisher import Publisher
from .pulse import Pulse
from .questions import Questions

if TYPE_CHECKING:
    from ..member import Member

logger = logging.getLogger("bolt_ws")

OPENING_TIMEOUT: Final = 0.5
"""Seconds that the first connection waits, before admission, for other processes to reach it."""
LEAVING_TIMEOUT: Final = 2.0
"""Seconds that the layer has to hear that the last connection has gone."""


class Hub:
    """The rooms of one event loop on one channel layer.

    With a layer that joins processes it listens, from the first connection on, to what is for
    users, paths and endpoints, and to a heartbeat of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, layer: Layer) -> None:
        self.loop = loop
        self.layer = layer
        self.id = secrets.token_hex(8)
        self.own_groups = groups_on_all_hosts(layer, f"{RESERVED}process.{self.id}")
        self.is_local = is_local(layer)
        self.linger = 0.0 if self.is_local else get_settings().room_linger
        """Seconds that a room without members is kept."""
        self.context = contextvars.Context()  # tasks outlive the connection that starts them
        self.delivery = Delivery(loop, self.context)
        self.inlet = make_inlet(layer, self)
        self.publisher = Publisher(layer, self)
        self.call = self.publisher.call
        self.rooms: dict[str, Membership] = {}
        self._connections = Audiences()
        self._pulse = Pulse(self)
        self.note_arrival = self._pulse.note_arrival
        self._channel: str | None = None
        self._opening: asyncio.Task[None] | None = None
        self.is_open = self.is_local
        """Whether other processes reach this one, as far as is known."""
        self.is_leaving = False
        """The event loop ends: nothing is restored any more."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.care = Care(self, self._pulse)
        self.questions: Questions[Any] = Questions()
        self.intake = Intake(self, self._pulse)

    # Life

    def now(self) -> float:
        """Return the event loop's time."""
        return self.loop.time()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task of the hub's."""
        task = self.loop.create_task(coroutine, name="bolt_ws rooms", context=self.context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def is_busy(self) -> bool:
        """Whether too much waits to be delivered."""
        return self.delivery.is_crowded

    async def until_ready_for_more(self) -> None:
        """Wait while too much waits to be delivered."""
        await self.delivery.until_less()

    @property
    def down_since(self) -> float | None:
        """When the layer failed, in the event loop's time; None while it does not."""
        return self._pulse.down_since

    async def until_up(self, seconds: float) -> None:
        """Wait while the layer is known to fail, so many seconds at most."""
        await self._pulse.until_up(seconds)

    def note_failure(self, error: Exception) -> None:
        """Take note that the layer has failed."""
        if self.is_local:
            logger.error("The channel layer has failed", exc_info=error)
        else:
            self._pulse.fail(error)

    async def ready(self) -> None:
        """Wait until other processes reach this one, but not for a layer that fails."""
        if self.is_open or self._pulse.is_down:
            return
        if self._opening is None:
            self._opening = self.run(self._open())
        await asyncio.wait([self._opening], timeout=OPENING_TIMEOUT)

    async def _open(self) -> None:
        try:
            await self.rejoin()
        except Exception as error:
            self.note_failure(error)
        finally:
            self._opening = None
            self.care.start()

    async def rejoin(self) -> None:
        """Have the layer told of all memberships that it may not know.

        Raises what it raises, and `ConnectionError` if it has not taken them all.
        """
        if not self.is_local:
            if self._channel is None:
                self._channel = await self.inlet.open(self.intake.take_shared)
            for group in (SHARED, *self.own_groups):
                await self.call(self.layer.group_add, group, self._channel)
            self.is_open = True
        settling = {each: each.settle() for each in list(self.rooms.values())}
        if unsettled := [work for work in settling.values() if work]:
            await asyncio.wait(unsettled)
        late = [each.name for each in settling if each.is_late]
        if late:
            raise ConnectionError(f"{len(late)} rooms could not be joined, {late[0]!r} for one")

    def doubt(self) -> None:
        """Take it that the layer has forgotten all memberships."""
        for room in self.rooms.values():
            room.doubt()

    def resume(self) -> None:
        """Tell all connections that messages may have been lost, once the layer is back."""
        self.intake.received.resume()
        for room in self.rooms.values():
            room.received.resume()
            room.has_missed = room.has_missed and not room.is_joined
        self.tell_gap()

    def has_caught_up(self, room: Membership) -> None:
        """Tell the members of a room that the layer has heard of it late."""
        if not self._pulse.is_down:  # else they are told with all others
            room.has_missed = False
            self.tell_gap(room)

    def tell_gap(self, room: Membership | None = None) -> None:
        """Tell the members of a room, or all connections, that they may have missed messages."""
        for member in tuple(self._connections if room is None else room.members):
            if member.owner is not None:
                names = tuple(member.room_names.values()) if room is None else (room.name,)
                member.owner.hear_gap(names)

    @property
    def is_in_use(self) -> bool:
        """Whether there are connections or rooms."""
        return bool(self._connections or self.rooms or self._opening)

    async def close(self) -> None:
        """Leave what is left, when the last connection has gone."""
        channel, self._channel, self.is_open = self._channel, None, self.is_local
        # What repairs memberships is waited for: it must not take up again what is left here.
        repairs = [each for each in (self._pulse.stop(), self.care.stop_renewing()) if each]
        if repairs:
            await asyncio.wait(repairs, timeout=LEAVING_TIMEOUT)
        if channel is not None:
            try:
                async with asyncio.timeout(LEAVING_TIMEOUT):
                    for group in (SHARED, *self.own_groups):
                        await self.call(self.layer.group_discard, group, channel)
            except Exception as error:
                logger.debug("The channel layer was not told of the end: %r", error)
            finally:
                self.inlet.close(channel)

    async def farewell(self) -> None:
        """Leave all groups now that have no members: nobody comes back to this event loop."""
        self.is_leaving = True
        self._pulse.stop()
        linger, self.linger = self.linger, 0.0
        for room in list(self.rooms.values()):
            room.settle()
        self.care.stop()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self.close()
        self.linger, self.is_leaving = linger, False  # if it goes on, as in a test

    # Members

    def enter(self, member: Member, keys: Iterable[str]) -> None:
        """Count a connection in, under each name that messages may be sent to it by."""
        self._connections.add(member, keys)
        member.hub = self
        if not self.is_local:
            self.care.start()
        self.care.policies.add(member.outbox_policy)

    def leave_all(self, member: Member) -> None:
        """Count a connection out, everywhere. Nothing is awaited."""
        self._connections.discard(member)
        for group in tuple(member.room_names):
            self.leave(member, group)
        self._rest()

    def leave(self, member: Member, group: str) -> None:
        """Count a member of a room out."""
        member.room_names.pop(group, None)
        room = self.rooms.get(group)
        if room is not None:
            room.remove(member)

    async def join(self, member: Member, group: str, name: str) -> None:
        """Count a member of a room in, and return when messages of other processes reach it.

        Where the layer fails it returns too; the member hears of the gap when that is back.
        """
        room = self.rooms.get(group)
        if room is None:
            room = self.rooms[group] = Membership(self, group, name)
        was_in = group in member.room_names
        room.add(member)
        member.room_names[group] = name
        self.care.start()
        try:
            work = room.settle()
            if work is not None and not self._pulse.is_down:
                await asyncio.wait([work], timeout=get_settings().room_timeout)
            room.has_missed = room.has_missed or not room.is_joined
        except BaseException:
            if not was_in:
                self.leave(member, group)
            raise
        if member.owner is None:  # it has ended meanwhile
            self.leave(member, group)

    def forget(self, room: Membership) -> None:
        """Let go of a room without members, of which the layer knows no more."""
        if self.rooms.get(room.group) is room:
            del self.rooms[room.group]
        self._rest()

    def _rest(self) -> None:
        if self.is_local and not self.is_in_use:
            self.care.stop()

    def members_of(self, group: str) -> Collection[Member]:
        """Return the members of a room in this event loop."""
        room = self.rooms.get(group)
        return () if room is None else room.members

    def count(self, group: str) -> int:
        """Return how many members of a room are in this event loop, and have not ended."""
        return sum(member.is_open for member in self.members_of(group))

    def audience(self, key: str) -> Collection[Member]:
        """Return the connections of a user, a path or an endpoint in this event loop."""
        return self._connections.get(key)

    # Messages

    async def publish(self, group: str, message: Mapping[str, Any]) -> None:
        """Send to a room. It returns when the layer has the message.

        With a layer in memory, it returns when all members have it: whoever sends more than they
        can take is slowed down, and what is sent next comes next.
        """
        room = self.rooms.get(group)
        if not self.is_local or room is None or not room.is_joined:
            await self.publisher.publish(group, message)
            return
        delivered: asyncio.Future[None] = self.loop.create_future()
        keys: list[tuple[str, int]] = []

        def await_it(sender: str, number: int) -> None:
            keys.append((sender, number))
            room.awaited[sender, number] = delivered

        try:
            await self.publisher.publish(group, message, numbered=await_it)
            await asyncio.wait([delivered], timeout=get_settings().room_timeout)
        finally:
            for key in keys:
                room.awaited.pop(key, None)
