"""How many are in a room, in all processes."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from .care import RENEW_SHARED_EVERY
from .envelopes import COUNT, COUNTED
from .hub import Hub
from .hubs import hubs_on
from .inlets import Inlet, make_inlet
from .layers import Layer, count_processes, get_layer, is_local
from .names import RESERVED, SHARED
from .questions import Questions

TIMEOUT: Final = 1.0
"""Seconds that processes have to answer."""


class MemberCount(int):
    """A number of members, and how far it can be believed."""

    is_complete: bool
    """Whether all processes that the channel layer knows of have answered: one that has died does
    not, and nobody does while the layer fails."""

    def __new__(cls, count: int, *, is_complete: bool) -> MemberCount:
        """Return a number."""
        made = super().__new__(cls, count)
        made.is_complete = is_complete
        return made

    def __repr__(self) -> str:
        return f"MemberCount({int(self)}, is_complete={self.is_complete})"

    __str__ = int.__repr__


def local_members(group: str) -> int:
    """Return how many members of a room are in this process."""
    return sum(hub.count(group) for hub in hubs_on(get_layer()))


async def count(group: str) -> MemberCount:
    """Ask all processes for the members of a room."""
    layer = get_layer()
    if is_local(layer):
        return MemberCount(local_members(group), is_complete=True)
    hubs = hubs_on(layer)
    here = next((each for each in hubs if each.loop is asyncio.get_running_loop()), None)
    asker = _Asker() if here is None else here
    inlet = make_inlet(layer, asker) if here is None else here.inlet
    question = _Question(layer, group, asker)
    return await asker.questions.ask(group, partial(question.ask, inlet, hubs))


_asking: set[asyncio.Task[None]] = set()  # an event loop alone does not keep its tasks


class _Asker:
    """Who asks from an event loop without connections."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.Context()
        self.questions: Questions[MemberCount] = Questions()

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task, which the layer waits for."""
        task = self.loop.create_task(coroutine)
        _asking.add(task)
        task.add_done_callback(_asking.discard)
        return task

    @property
    def is_busy(self) -> bool:
        """Never too much is on its way."""
        return False

    async def until_ready_for_more(self) -> None:
        """Never too much is on its way."""

    def note_arrival(self) -> None:
        """Nobody wonders whether the layer is there."""

    def note_failure(self, error: Exception) -> None:
        """Leave it to the timeout."""


class _Question:
    def __init__(self, layer: Layer, group: str, asker: Hub | _Asker) -> None:
        self._layer = layer
        self._asker = asker
        self._group = group
        self._answers: dict[str, int] = {}
        self._answered = asyncio.Event()

    def _take(self, message: Mapping[str, Any]) -> None:
        if message.get("type") == COUNTED:
            self._answers[str(message["from"])] = int(message["count"])
            self._answered.set()

    async def ask(self, inlet: Inlet, hubs: list[Hub], turn: Callable[[], Any]) -> MemberCount:
        is_complete = False
        try:
            async with asyncio.timeout(TIMEOUT), turn():
                is_complete = await self._ask(inlet)
        except Exception:  # it fails: what this process knows is not nothing
            is_complete = False
        for hub in hubs:
            self._answers.setdefault(hub.id, hub.count(self._group))
        return MemberCount(sum(self._answers.values()), is_complete=is_complete)

    async def _ask(self, inlet: Inlet) -> bool:
        channel = await inlet.open(self._take)
        deadline = asyncio.get_running_loop().time() + TIMEOUT
        group = f"{RESERVED}reply.{secrets.token_hex(8)}"
        try:
            await self._layer.group_add(group, channel)
            question = {"type": COUNT, "room": self._group, "reply": group}
            await self._layer.group_send(SHARED, question)
            expected = await count_processes(self._layer, SHARED, 3 * RENEW_SHARED_EVERY)
            # A bound of its own: redis-py may have swallowed the cancellation of the one around.
            async with asyncio.timeout_at(deadline):
                while expected is None or len(self._answers) < expected:
                    self._answered.clear()
                    await self._answered.wait()
            return True
        finally:
            inlet.close(channel)
            self._asker.run(self._discard(group, channel))  # nobody has to wait for that

    async def _discard(self, group: str, channel: str) -> None:
        with suppress(Exception):
            async with asyncio.timeout(TIMEOUT):
                await self._layer.group_discard(group, channel)
