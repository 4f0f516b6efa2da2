"""Figures of this process: what its connections have come to, endpoint by endpoint.

A message costs nothing here. Each connection has counted its own; the totals are those of the
connections that have ended, and a sum over the open ones when somebody asks.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import Final, Protocol, TypedDict

BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)
"""Seconds: upper bounds of what the times of broadcasts are counted in."""
MAX_REASONS: Final = 100
"""Codes of refusals that an endpoint is counted by. Any other is "other": an authentication backend
may take its codes from anywhere."""

_STANDARD_CODES: Final = frozenset(range(1000, 1016))


class EndpointFigures(TypedDict):
    """What has become of one endpoint's connections, in this process and since its start."""

    open: int
    """Connections that are accepted and have not ended."""
    connections: int
    """Connections that were accepted."""
    refusals: dict[str, int]
    """Refused handshakes, by the refusal's `code`."""
    closes: dict[str, int]
    """Connections that have ended, by close code: what a client has made up is "3xxx" or "4xxx"."""
    messages_received: int
    bytes_received: int
    messages_sent: int
    bytes_sent: int
    outbox_drops: int
    """Messages of rooms that were dropped for clients that read too slowly."""
    rate_limit_drops: int
    """Messages of clients that were dropped by a `rate_limit` with `over_rate="drop"`."""
    errors: int
    """Exceptions that have ended a connection or a handshake: each is in the log too."""


class Snapshot(TypedDict):
    """The figures of this process, as JSON has it."""

    endpoints: dict[str, EndpointFigures]
    """By the endpoint's name; "" are the paths that no endpoint has."""
    broadcasts: int
    """Messages that were handed to all who are to get them here: of a room, a path, a user."""
    broadcast_seconds: float
    """How long that took, all in all."""
    broadcast_buckets: dict[str, int]
    """How many took at most so many seconds, by the number of seconds; the last is "+Inf"."""
    lost_messages: int
    """Messages of rooms that did not reach this process."""


class Countable(Protocol):
    """A connection that has counted its messages."""

    messages_received: int
    bytes_received: int
    messages_sent: int
    bytes_sent: int
    outbox_drops: int
    """Messages of rooms that were dropped, for the client read too slowly."""

    @property
    def dropped(self) -> int:
        """Messages of the client that a rate limit has dropped."""


class _Totals:
    """The figures of one endpoint."""

    __slots__ = ("closes", "connections", "ended", "errors", "open", "refusals")

    def __init__(self) -> None:
        self.open: set[Countable] = set()
        self.connections = 0
        self.refusals: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self.ended = [0] * 6
        self.errors = 0

    def figures(self) -> EndpointFigures:
        counts = list(map(sum, zip(self.ended, *map(_counts_of, tuple(self.open)), strict=True)))
        return {
            "open": len(self.open),
            "connections": self.connections,
            "refusals": dict(self.refusals),
            "closes": dict(self.closes),
            "messages_received": counts[0],
            "bytes_received": counts[1],
            "messages_sent": counts[2],
            "bytes_sent": counts[3],
            "outbox_drops": counts[4],
            "rate_limit_drops": counts[5],
            "errors": self.errors,
        }


class Figures:
    """The figures of all endpoints. Any thread may use it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin at nothing: a fork's copy has counted for the parent."""
        # The garbage collector ends a coroutine whose loop is gone, in any thread and wherever that
        # is: a thread that has the lock may need it again.
        self._lock = threading.RLock()
        self._totals: dict[str, _Totals] = {}

    def note_accept(self, endpoint: str, connection: Countable) -> None:
        """Note that a connection of an endpoint was accepted."""
        with self._lock:
            totals = self._of(endpoint)
            totals.connections += 1
            totals.open.add(connection)

    def note_end(self, endpoint: str, connection: Countable, code: int, *, by_client: bool) -> None:
        """Note that a connection has ended, with a code that the client may have chosen."""
        with self._lock:
            totals = self._of(endpoint)
            if connection not in totals.open:  # it is the parent's, and this a fork
                return
            totals.open.remove(connection)
            totals.closes[close_label(code, by_client=by_client)] += 1
            for at, count in enumerate(_counts_of(connection)):
                totals.ended[at] += count

    def note_refusal(self, endpoint: str, code: str) -> None:
        """Note that a handshake was refused."""
        with self._lock:
            refusals = self._of(endpoint).refusals
            is_known = code in refusals or len(refusals) < MAX_REASONS
            refusals[code if is_known else "other"] += 1

    def note_error(self, endpoint: str) -> None:
        """Note that an exception has ended a connection, or a handshake."""
        with self._lock:
            self._of(endpoint).errors += 1

    def endpoints(self) -> dict[str, EndpointFigures]:
        """Return the figures of each endpoint that has had a handshake."""
        with self._lock:
            return {name: totals.figures() for name, totals in sorted(self._totals.items())}

    def _of(self, endpoint: str) -> _Totals:
        totals = self._totals.get(endpoint)
        if totals is None:
            totals = self._totals[endpoint] = _Totals()
        return totals


def _counts_of(connection: Countable) -> tuple[int, ...]:
    return (
        connection.messages_received,
        connection.bytes_received,
        connection.messages_sent,
        connection.bytes_sent,
        connection.outbox_drops,
        connection.dropped,
    )


def close_label(code: int, *, by_client: bool) -> str:
    """Return what ends with `code` are counted under. A client may choose any of 3000 to 4999."""
    if not by_client or code in _STANDARD_CODES:
        return str(code)
    return f"{code // 1000}xxx" if 3000 <= code <= 4999 else "other"


class BroadcastFigures:
    """The figures of what rooms, users, paths and endpoints are sent."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin at nothing: a fork's copy has counted for the parent."""
        self._lock = threading.Lock()
        self._counts = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._lost = 0

    def note_delivery(self, seconds: float) -> None:
        """Note that a message was handed to all who are to get it, and how long that took."""
        at = bisect_left(BUCKETS, seconds)
        with self._lock:  # of several event loops
            self._counts[at] += 1
            self._seconds += seconds

    def note_lost(self, messages: int) -> None:
        """Note that so many messages did not reach this process."""
        with self._lock:
            self._lost += messages

    def read(self) -> tuple[list[int], float, int]:
        """Return the counts of each bucket and the ones before it, the seconds, what was lost."""
        with self._lock:
            return list(accumulate(self._counts)), self._seconds, self._lost


figures: Final = Figures()
"""Those of this process."""
broadcasts: Final = BroadcastFigures()
"""Those of this process."""


def snapshot() -> Snapshot:
    """Return the figures of this process since it started.

    Plain dicts, so that `json.dumps` and `JsonResponse` take them. From any thread, at any time.
    All but `open` only grow.
    """
    counts, seconds, lost = broadcasts.read()
    bounds = [*map(str, BUCKETS), "+Inf"]
    return {
        "endpoints": figures.endpoints(),
        "broadcasts": counts[-1],
        "broadcast_seconds": seconds,
        "broadcast_buckets": dict(zip(bounds, counts, strict=True)),
        "lost_messages": lost,
    }


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=figures.forget)
    os.register_at_fork(after_in_child=broadcasts.forget)
