"""What an endpoint allows its clients and its handlers: sizes, rates, times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from .exceptions import DeclarationError

OverRate = Literal["close", "drop", "wait"]

READ_AHEAD: Final = 64
"""Messages that are read for a handler which does not receive, unless its endpoint says."""

_RATE: Final = re.compile(r"(\d{1,9})\s*/\s*(s|sec|second|m|min|minute|h|hour)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one endpoint says. None is no bound."""

    max_message_size: int | None = None
    """Bytes; of a text, those of its UTF-8."""
    rate: float | None = None
    """Messages a second."""
    burst: int = 0
    """Messages that may come at once."""
    over_rate: OverRate = "close"
    read_ahead: int = READ_AHEAD
    idle_timeout: float | None = None
    """Seconds without a message from the client."""
    max_lifetime: float | None = None
    """Seconds from admission on."""
    send_timeout: float | None = None
    """Seconds in which the client takes nothing of what is sent."""
    disconnect_grace: float | None = None
    """Seconds that a handler has to end after its connection; None is the setting's."""

    @property
    def are_for_messages(self) -> bool:
        """Whether each message has to be looked at."""
        return (
            self.max_message_size is not None
            or self.rate is not None
            or self.send_timeout is not None
        )


def compile_bounds(options: Mapping[str, Any]) -> Bounds:
    """Return what an endpoint's options say. Raises `DeclarationError`, which names the option."""
    rate, count = _rate(options.get("rate_limit"))
    burst = _whole(options, "burst")
    over_rate = options.get("over_rate")
    if rate is None and (burst is not None or over_rate is not None):
        raise DeclarationError("burst and over_rate belong to a rate_limit, and there is none")
    if over_rate is not None and over_rate not in get_args(OverRate):
        known = ", ".join(map(repr, get_args(OverRate)))
        raise DeclarationError(f"over_rate must be one of {known}, not {over_rate!r}")
    return Bounds(
        max_message_size=_whole(options, "max_message_size"),
        rate=rate,
        burst=burst or count,
        over_rate=over_rate or "close",
        read_ahead=_whole(options, "read_ahead") or READ_AHEAD,
        idle_timeout=_seconds(options, "idle_timeout"),
        max_lifetime=_seconds(options, "max_lifetime"),
        send_timeout=_seconds(options, "send_timeout"),
        disconnect_grace=_seconds(options, "disconnect_grace", least=0.0),
    )


def _whole(options: Mapping[str, Any], name: str) -> int | None:
    value = options.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise DeclarationError(f"{name} must be a whole number, 1 or more, not {value!r}")
    return value


def _seconds(options: Mapping[str, Any], name: str, least: float | None = None) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (value > 0 or value == least):
        least_of_all = "more than 0" if least is None else f"{least:g} or more"
        raise DeclarationError(f"{name} must be a number of seconds, {least_of_all}, not {value!r}")
    return float(value)


def _rate(limit: Any) -> tuple[float | None, int]:
    """Return messages a second, and the number that was named."""
    if limit is None:
        return None, 0
    found = _RATE.fullmatch(limit) if isinstance(limit, str) else None
    if found is None or not int(found[1]):
        raise DeclarationError(
            f'rate_limit must be a number of messages and a unit such as "20/s", "100/m" or '
            f'"1000/h", not {limit!r}'
        )
    count = int(found[1])
    return count / _SECONDS[found[2][0]], count
