"""What was broadcast in the course of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..rooms.envelopes import Broadcast as Broadcast
from ..rooms.envelopes import listeners


@contextmanager
def capture_broadcasts() -> Iterator[list[Broadcast]]:
    """Yield a list that fills with all that is broadcast meanwhile, heard or not.

    Each is a `Broadcast`: what was sent, and to whom. It is sent all the same.
    """
    heard: list[Broadcast] = []
    listeners.append(heard.append)
    try:
        yield heard
    finally:
        listeners.remove(heard.append)
