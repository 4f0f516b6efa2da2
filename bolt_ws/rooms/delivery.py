"""One message after the other, each to all who are to get it, in one event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Collection, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ..metrics import broadcasts
from .frame import Frame

if TYPE_CHECKING:
    from ..member import Member

TURN: Final = 256
"""Members that are served before others have a turn."""
PATIENCE: Final = 8
"""Members that a message waits a turn of the event loop for, each time a server is not done with
one at once. Then the others are served in tasks of their own, all in one turn."""
CROWDED: Final = 512
"""Messages that may wait to be delivered; then the channel layer is read no further."""


class Parcel:
    """A message on its way to the members of a group."""

    __slots__ = ("_members", "done", "exclude", "frame", "left", "posted_at", "waits")

    def __init__(
        self,
        frame: Frame,
        members: Callable[[], Collection[Member]],
        exclude: Collection[str] = (),
        done: Callable[[], object] | None = None,
    ) -> None:
        self.frame = frame
        self._members = members
        self.exclude = frozenset(exclude)
        self.done = done
        """Called when all have it, or it is in their outboxes."""
        self.left: Iterator[Member] | None = None
        self.posted_at = 0.0
        """When it was taken, in steady seconds."""
        self.waits = 0

    def begin(self) -> None:
        """Find who is to get it: those who are there when its turn has come."""
        members = self._members()
        if self.exclude:
            members = [each for each in members if each.id not in self.exclude]
        self.left = iter(tuple(members))


class Delivery:
    """Hands out messages: those of all rooms one after the other, so that none overtakes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        self._loop = loop
        self._context = context
        self._queue: deque[Parcel] = deque()
        self._parcel: Parcel | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = 0
        """Which task hands out: the one that was started last."""
        self._less: asyncio.Event = asyncio.Event()

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits that no more should be taken from the channel layer."""
        return len(self._queue) >= CROWDED

    async def until_less(self) -> None:
        """Wait until less waits to be delivered."""
        while self.is_crowded:
            self._less.clear()
            await self._less.wait()

    def post(self, parcel: Parcel) -> None:
        """Take a message, to be delivered after all that were taken before."""
        parcel.posted_at = monotonic()
        self._queue.append(parcel)
        if self._task is None or self._task.done():
            self._go_on()

    def _go_on(self) -> None:
        self._turn += 1
        # A context of its own: under an eager task factory one task begins within the other.
        self._task = self._loop.create_task(
            self._run(self._turn), name="bolt_ws delivery", context=self._context.copy()
        )

    async def _run(self, turn: int) -> None:
        while self._turn == turn and (parcel := self._current()) is not None:
            rest = await self._hand_out(parcel)
            if rest is not None:  # a server is not done at once: this task stays with the member
                self._go_on()
                await rest
                return
            self._parcel = None
            broadcasts.note_delivery(monotonic() - parcel.posted_at)
            if parcel.done is not None:
                parcel.done()
            if parcel.frame.has_to_wait:  # a burst must not look like a client that is slow
                await asyncio.sleep(0)

    def _current(self) -> Parcel | None:
        if self._parcel is None and self._queue:
            self._parcel = self._queue.popleft()
            self._parcel.begin()
            if not self.is_crowded:
                self._less.set()
        return self._parcel

    async def _hand_out(self, parcel: Parcel) -> Any:
        frame, left = parcel.frame, parcel.left
        assert left is not None
        if parcel.waits >= PATIENCE:
            for member in left:
                member.hand_later(frame, self._loop)
            return None
        for count, member in enumerate(left, 1):
            rest = member.hand(frame)
            if rest is not None:
                parcel.waits += 1
                return rest
            if count % TURN == 0:
                await asyncio.sleep(0)
        return None
