"""What the channel layer brings: to whom each message goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .delivery import Parcel
from .envelopes import COUNT, COUNTED, HEARTBEAT, MESSAGE, payload_in
from .frame import Frame
from .membership import Membership, resolve
from .names import RESERVED
from .sequences import Received

if TYPE_CHECKING:
    from ..member import Member
    from .hub import Hub
    from .pulse import Pulse

logger = logging.getLogger("bolt_ws")

Control = Callable[[Mapping[str, Any]], object]

controls: Final[dict[str, Control]] = {}
"""What messages to all processes do, by their types."""


class Intake:
    """Takes the messages of one hub."""

    def __init__(self, hub: Hub, pulse: Pulse) -> None:
        self._hub = hub
        self._pulse = pulse
        self.received = Received()
        """What has come for users, paths and endpoints."""

    def take_shared(self, message: Mapping[str, Any]) -> None:
        """Take a message to all processes."""
        kind = message.get("type")
        if kind == HEARTBEAT:
            self._pulse.hear(message.get("number"), message.get("shard"))
        elif self._is_new(self.received, message):
            if kind == MESSAGE:
                self.post_to(message["to"], message)
            elif kind == COUNT:
                self._hub.run(self._answer_count(str(message["room"]), str(message["reply"])))
            elif kind in controls:
                controls[kind](message)
            else:
                logger.warning("The channel layer brought a message of the unknown type %r", kind)

    def take_for_room(self, room: Membership, message: Mapping[str, Any]) -> None:
        """Take a message that has come through the group of a room."""
        kind = message.get("type")
        if kind == MESSAGE:
            if self._is_new(room.received, message):
                self._deliver(room, message)
        else:
            _take_foreign(room, message)

    async def deliver_to(self, key: str, message: Mapping[str, Any]) -> None:
        """Hand a message to the connections of a user, a path or an endpoint in this event loop."""
        if self._hub.audience(key):
            delivered: asyncio.Future[None] = self._hub.loop.create_future()
            self.post_to(key, message, partial(resolve, delivered))
            await delivered

    def post_to(
        self, key: str, message: Mapping[str, Any], done: Callable[[], object] | None = None
    ) -> None:
        """Start to do that."""
        if self._hub.audience(key):
            self._post(lambda: self._hub.audience(key), message, done)

    def _deliver(self, room: Membership, message: Mapping[str, Any]) -> None:
        waiting = room.awaited.get((message.get("sender"), message.get("number")))
        done = None if waiting is None else partial(resolve, waiting)
        self._post(lambda: room.members, message, done)

    def _post(
        self,
        members: Callable[[], Collection[Member]],
        message: Mapping[str, Any],
        done: Callable[[], object] | None,
    ) -> None:
        frame, exclude = Frame(payload_in(message)), message.get("exclude", ())
        self._hub.delivery.post(Parcel(frame, members, exclude, done))

    def _is_new(self, received: Received, message: Mapping[str, Any]) -> bool:
        sender, number = message.get("sender"), message.get("number")
        if isinstance(sender, str) and isinstance(number, int):
            return received.take(sender, number, self._hub.now())
        return True  # a hand-written one

    async def _answer_count(self, group: str, reply: str) -> None:
        hub = self._hub
        message = {"type": COUNTED, "from": hub.id, "count": hub.count(group)}
        try:
            await hub.call(hub.layer.group_send, reply, message)
        except Exception as error:
            logger.debug("A question for the members of a room was not answered: %r", error)


def _take_foreign(room: Membership, message: Mapping[str, Any]) -> None:
    """Take a message of a hand-written sender, for the callbacks that are declared for its type."""
    is_ours = str(message.get("type")).startswith(RESERVED)
    unheard = [
        member
        for member in tuple(room.members)
        if member.owner is not None and (is_ours or not member.owner.hear(room.name, message))
    ]
    if unheard:
        logger.warning(
            "The room %r got a message of the type %r, for which %d of its connections have no "
            "handler: declare one with @endpoint.on(...)",
            room.name,
            message.get("type"),
            len(unheard),
        )
