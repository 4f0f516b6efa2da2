"""How many may be connected: in this process, of one client address, of one user."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from ipaddress import ip_address, ip_network
from time import monotonic
from typing import Final

from .client_address import client_address, trusted_proxies
from .conf import get_settings
from .exceptions import Refusal
from .handshake import Handshake

RETRY_AFTER: Final = 5
"""Seconds after which a client that found no place is told to try again."""
MAX_ADDRESSES: Final = 65_536
"""Client addresses whose rate is remembered at once, some 15 MB; the oldest are forgotten first."""

_Owner = tuple[str, str | None]
"""What has places: its kind, and which of them."""


class Lease:
    """The places that one connection takes, until `release`."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: list[_Owner] = []

    def take(self, websocket: Handshake) -> None:
        """Take a place in the process and one of the client. Raises a `Refusal`: 503, 429."""
        limits = get_settings()
        of_process, of_client = limits.max_connections, limits.max_connections_per_client
        rate = limits.max_connects_per_second
        client: str | None = None
        if rate is not None or of_client is not None:
            client = _client_of(websocket)
        if rate is not None and (wait := _rates.wait(client, rate)):
            raise _too_many(
                429,
                "Too many connection attempts",
                f'the client {client} is over BOLT_WS["MAX_CONNECTS_PER_SECOND"], {rate:g}',
                wait,
            )
        if of_client is not None:
            self._take(("client", client), of_client, "MAX_CONNECTIONS_PER_CLIENT")
        if of_process is not None:  # last: who is one too many takes nobody else's place
            self._take(("process", None), of_process, "MAX_CONNECTIONS", 503)

    def take_user(self, user_id: str) -> None:
        """Take a place of the user. Raises a `Refusal`: 429."""
        most = get_settings().max_connections_per_user
        if most is not None:
            self._take(("user", user_id), most, "MAX_CONNECTIONS_PER_USER")

    def _take(self, owner: _Owner, most: int, setting: str, status: int = 429) -> None:
        if not _places.take(owner, most):
            who = " ".join(filter(None, owner))
            advice = f'the {who} has reached BOLT_WS["{setting}"], {most}'
            raise _too_many(status, "Too many connections", advice)
        self._taken.append(owner)

    def release(self) -> None:
        """Give all places back. The second time, it does nothing."""
        while self._taken:
            _places.give_back(self._taken.pop())


class _Places:
    """How many places each owner has taken; none is remembered that has none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[_Owner, int] = {}
        self._returned: deque[_Owner] = deque()

    def take(self, owner: _Owner, most: int) -> bool:
        """Take a place, and tell whether there was one."""
        with self._lock:
            self._count_returned()
            count = self._counts.get(owner, 0)
            if is_free := count < most:
                self._counts[owner] = count + 1
        self._settle()
        return is_free

    def give_back(self, owner: _Owner) -> None:
        """Take one place less.

        Waits for no lock: the garbage collector ends a coroutine whose loop is gone, in any
        thread and wherever that is, in `take` for instance.
        """
        self._returned.append(owner)
        self._settle()

    def _settle(self) -> None:
        # Whoever fails to have the lock leaves it to who has it, who looks once more after it.
        while self._returned and self._lock.acquire(blocking=False):
            try:
                self._count_returned()
            finally:
                self._lock.release()

    def _count_returned(self) -> None:
        while self._returned:
            owner = self._returned.popleft()
            left = self._counts[owner] - 1
            if left:
                self._counts[owner] = left
            else:
                del self._counts[owner]


class _Rates:
    """A token bucket for each client, as big as a second's tokens and never smaller than one.

    Kept as the time when the bucket is full again (the generic cell rate algorithm, ITU-T I.371):
    a bucket that is full by now says nothing, and is forgotten.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full_at: OrderedDict[str | None, float] = OrderedDict()

    def wait(self, client: str | None, rate: float) -> float:
        """Take a token, and return 0.0, or the seconds until there is one."""
        now, interval = monotonic(), 1 / rate
        with self._lock:
            self._forget(now)
            full_at = max(self._full_at.get(client, now), now) + interval
            # A millionth more, so that sums of floats do not cost a token.
            if (wait := full_at - now - max(1.0, interval)) > interval * 1e-6:
                return wait
            self._full_at[client] = full_at
            self._full_at.move_to_end(client)
        return 0.0

    def _forget(self, now: float) -> None:
        # Two at each call, so that the past is forgotten faster than it grows.
        for _ in range(2):
            if not self._full_at:
                return
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= MAX_ADDRESSES:
                return
            del self._full_at[oldest]


_places = _Places()
_rates = _Rates()


def _client_of(websocket: Handshake) -> str | None:
    """Return whom to count as one client. All whose address is unknown are one.

    Of IPv6 it is the /64 network: that is what one subscriber gets (RFC 6177), and in it an
    address costs nothing.
    """
    trusted_proxies()  # raises ImproperlyConfigured for an entry that is none
    address = client_address(websocket.scope)
    if address is None or ip_address(address).version == 4:
        return address
    return str(ip_network((address, 64), strict=False))


def _too_many(status: int, detail: str, advice: str, wait: float = RETRY_AFTER) -> Refusal:
    headers = {"Retry-After": str(max(1, math.ceil(wait)))}
    refusal = Refusal(status, "too_many_connections", detail, headers)
    refusal.add_note(advice)  # for our log: the client gets the detail only
    return refusal
