"""Numbers on messages: what tells a message that came twice, and one that did not come."""

from __future__ import annotations

import secrets
from typing import Final

GRACE: Final = 1.0
"""Seconds that a missing message may be late."""
MAX_MISSING: Final = 1000
"""Missing messages of one sender that are waited for."""
MAX_GROUPS: Final = 100_000
"""Groups whose last number a sender remembers."""
MAX_SENDERS: Final = 1000
"""Senders that are remembered for one group."""
FORGET_AFTER: Final = 600.0
"""Seconds without a message after which a sender is forgotten."""


class Numbers:
    """The sending side: a number for each message, by group."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._token = secrets.token_hex(6)
        self._epochs = 0
        self._last: dict[str, int] = {}
        self._senders: dict[str, str] = {}

    def next(self, group: str) -> tuple[str, int]:
        """Return who sends, and the number of the next message to a group."""
        if len(self._last) >= MAX_GROUPS:
            self._forget()  # nobody misses anything: all that follows is another sender's
        number = self._last[group] = self._last.get(group, 0) + 1
        return self._senders.get(group, self._token), number

    def begin_anew(self, group: str) -> None:
        """Let nobody miss a message that may not have been sent: what follows is another sender's.

        Its number must not be given again: it may have been sent after all.
        """
        self._epochs += 1
        self._senders[group] = f"{self._token}.{self._epochs}"
        self._last[group] = 0


class _Heard:
    """One sender, as heard by one receiver."""

    __slots__ = ("at", "is_resuming", "last", "missing")

    def __init__(self, number: int, now: float) -> None:
        self.last = number
        self.at = now
        self.is_resuming = False
        self.missing: dict[int, float] = {}


class Received:
    """The receiving side, for one group."""

    __slots__ = ("_lost", "_senders")

    def __init__(self) -> None:
        self._senders: dict[str, _Heard] = {}
        self._lost = 0

    def take(self, sender: str, number: int, now: float) -> bool:
        """Note a message. Return False for one that was received before."""
        heard = self._senders.get(sender)
        if heard is None:
            if len(self._senders) >= MAX_SENDERS:
                self._forget_half()
            self._senders[sender] = _Heard(number, now)
            return True
        heard.at = now
        if number <= heard.last:
            return heard.missing.pop(number, None) is not None
        if heard.is_resuming:
            heard.is_resuming = False
        elif number > heard.last + 1:
            first = max(heard.last + 1, number - MAX_MISSING)
            self._lost += first - heard.last - 1
            heard.missing.update(dict.fromkeys(range(first, number), now))
        heard.last = number
        return True

    def _forget_half(self) -> None:
        """Forget those who have not been heard for longest."""
        recent = sorted(self._senders.items(), key=lambda each: each[1].at)[MAX_SENDERS // 2 :]
        self._senders = dict(recent)

    def resume(self) -> None:
        """Miss nothing that was sent before: its loss is known."""
        self._lost = 0
        for heard in self._senders.values():
            heard.is_resuming = True
            heard.missing.clear()

    def count_lost(self, now: float) -> int:
        """Return how many messages have not come in time, since this was asked last."""
        lost, self._lost = self._lost, 0
        for sender, heard in list(self._senders.items()):
            if heard.missing:
                late = [number for number, since in heard.missing.items() if now - since > GRACE]
                lost += len(late)
                for number in late:
                    del heard.missing[number]
            elif now - heard.at > FORGET_AFTER:
                del self._senders[sender]
        return lost
