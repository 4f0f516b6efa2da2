"""The connections of one event loop, and the names under which messages are sent to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..member import Member


class Audiences:
    """Who is connected, by user, by path and by endpoint."""

    def __init__(self) -> None:
        self._members: dict[str, set[Member]] = {}
        self._keys: dict[Member, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._keys))

    def get(self, key: str) -> Collection[Member]:
        """Return the connections that messages under a name are for."""
        return self._members.get(key, ())

    def add(self, member: Member, keys: Iterable[str]) -> None:
        """Count a connection in, under each name; one that is in already gets other names."""
        self._keys[member] = keys = tuple(keys)
        for key in keys:
            self._members.setdefault(key, set()).add(member)

    def discard(self, member: Member) -> None:
        """Count a connection out."""
        for key in self._keys.pop(member, ()):
            members = self._members.get(key)
            if members is not None:
                members.discard(member)
                if not members:
                    del self._members[key]
