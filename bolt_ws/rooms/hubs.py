"""The hubs of this process: one for each event loop with connections."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from .hub import Hub
from .layers import Layer, get_layer

if TYPE_CHECKING:
    from ..member import Member

FAREWELL_TIMEOUT: Final = 2.0
"""Seconds that the channel layer has when a process ends."""

_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def hub_here() -> Hub:
    """Return the hub of the running event loop on the project's channel layer.

    Raises `ImproperlyConfigured` if there is no such layer.
    """
    loop = asyncio.get_running_loop()
    layer = get_layer()
    hub = _hubs.get(loop)
    if hub is None or hub.layer is not layer:
        for other in [each for each in _hubs if each.is_closed()]:
            _hubs.pop(other, None)
        hub = _hubs[loop] = Hub(loop, layer)
    return hub


async def open_hub(member: Member) -> Hub:
    """Return the hub of the running event loop, which other processes reach from now on.

    If the channel layer fails, when it is back. It is in use until `member` is forgotten. Raises
    `ImproperlyConfigured` if there is no layer.
    """
    hub = hub_here()
    hub.enter(member, ())
    if not hub.is_open:
        await hub.ready()
    return hub


async def say_farewell() -> None:
    """Leave all groups that this event loop is in, because it ends."""
    hub = _hubs.get(asyncio.get_running_loop())
    if hub is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_TIMEOUT):
                await hub.farewell()


def hubs_on(layer: Layer) -> list[Hub]:
    """Return the hubs of this process whose event loops are there, from any thread."""
    return [
        each for each in list(_hubs.values()) if each.layer is layer and not each.loop.is_closed()
    ]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hubs.clear)
