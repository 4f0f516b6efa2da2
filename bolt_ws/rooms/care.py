"""The once-a-second care of the rooms of one event loop."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Final

from .. import ticker
from ..metrics import broadcasts
from .layers import forget_dead, group_expiry
from .names import SHARED
from .pulse import Pulse
from .sequences import Received

if TYPE_CHECKING:
    from ..outbox import OutboxPolicy
    from .hub import Hub
    from .membership import Membership

logger = logging.getLogger("bolt_ws")

RENEW_EVERY: Final = 300.0
"""Seconds after which memberships are renewed, or half of the layer's expiry if that is less."""
RENEWALS: Final = 100
"""Rooms that are renewed at one look, or more if all could not be renewed in time."""
RENEW_SHARED_EVERY: Final = 10.0
"""The same for what all processes listen to: it tells which of them are alive."""
DEAD_AFTER: Final = 3 * RENEW_EVERY
"""Seconds without renewal after which a process counts as dead, and others remove its channels."""
REPORT_EVERY: Final = 60.0
"""Seconds between two lines in the log on what was lost or dropped."""


class Care:
    """Settles, renews, counts and reports, once a second while there are connections or rooms."""

    def __init__(self, hub: Hub, pulse: Pulse) -> None:
        self._hub = hub
        self._pulse = pulse
        self._closing: asyncio.Task[None] | None = None
        self.policies: set[OutboxPolicy] = set()
        """Those of the endpoints that have had connections here."""
        self._idle_since: float | None = None
        self._renewed_at = self._reported_at = hub.now()
        self._renewing: asyncio.Task[None] | None = None
        self._lost = 0

    def start(self) -> None:
        """Take care from now on."""
        if self._closing is None or self._closing.done():
            ticker.ticker_of(self._hub.loop).add(self._tick)

    def stop(self) -> None:
        """Take care no longer."""
        self.report()
        ticker.ticker_of(self._hub.loop).discard(self._tick)

    def _tick(self) -> None:
        if self._is_idle():
            ticker.ticker_of(self._hub.loop).discard(self._tick)
            self._closing = self._hub.run(self._close())
        else:
            self._look()

    async def _close(self) -> None:
        self.report()
        await self._hub.close()
        if self._hub.is_in_use:  # somebody has come meanwhile
            ticker.ticker_of(self._hub.loop).add(self._tick)

    def _is_idle(self) -> bool:
        """Tell whether nothing is left to do, and has not been for a while."""
        if self._hub.is_in_use:
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = self._hub.now()
        return self._hub.now() - self._idle_since >= self._hub.linger

    def _look(self) -> None:
        hub = self._hub
        now = hub.now()
        for room in list(hub.rooms.values()):
            if not self._pulse.is_down:  # else all is settled and told when the layer is back
                room.settle()
                self._count_lost(room.received, room, now)
        if not self._pulse.is_down:
            self._count_lost(hub.intake.received, None, now)
        if not hub.is_local:
            self._pulse.look()
        self._renew_if_due(now)
        if now - self._reported_at > REPORT_EVERY:
            self._reported_at = now
            self.report()

    def _renew_if_due(self, now: float) -> None:
        if self._renewing is not None and not self._renewing.done():
            return
        every = min(RENEW_EVERY, group_expiry(self._hub.layer) / 2)
        rooms = self._hub.rooms.values()
        due = [each for each in rooms if each.is_joined and now - each.renewed_at > every]
        if due or now - self._renewed_at > min(RENEW_SHARED_EVERY, every):
            self._renewed_at = now
            portion = max(RENEWALS, math.ceil(2 * ticker.TICK * len(rooms) / every))
            self._renewing = self._hub.run(self._renew(due[:portion]))

    def stop_renewing(self) -> asyncio.Task[None] | None:
        """Renew nothing: there are no connections. Return what is being cancelled."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
        return renewing

    async def _renew(self, rooms: list[Membership]) -> None:
        hub = self._hub
        try:
            for room in rooms:
                room.doubt()
            await hub.rejoin()
            for group in (SHARED, *(room.group for room in rooms)):
                await forget_dead(hub.layer, group, DEAD_AFTER)
        except Exception as error:
            hub.note_failure(error)

    def _count_lost(self, received: Received, room: Membership | None, now: float) -> None:
        lost = received.count_lost(now)
        if lost:
            self._lost += lost
            broadcasts.note_lost(lost)
            self._hub.tell_gap(room)

    def report(self) -> None:
        """Log what was lost and dropped since the last report."""
        if self._lost:
            logger.warning("%d messages were lost on their way to this process", self._lost)
            self._lost = 0
        for policy in self.policies:
            if policy.dropped:
                logger.warning(
                    "%s: %d messages were dropped for clients that read too slowly",
                    policy.name,
                    policy.dropped,
                )
                policy.dropped = 0
