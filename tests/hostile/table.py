"""What a class of hostile handshakes is, and all classes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.hostile.wire import Attempt
from tests.support import Connection

Build = Callable[[], Attempt]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One hostile handshake, and what it is answered with. None is what its class says."""

    build: Build
    status: int | None = None
    code: str | None = None
    """The word for programs in the answer and in the log."""
    close: int | None = None
    """The close code of `refuse="close"`; None is 4000 + status."""
    raises: type[BaseException] | None = None
    """What is raised on to the server, where that is documented."""
    is_answered_by_guard: bool = False
    """The guard itself ends the connection: with its code, and without a line of ours."""
    during: Callable[[Connection], Awaitable[None]] | None = None
    """What happens while it waits for its answer."""
    is_heard: bool = True
    """Somebody is there to be told."""
    settings: Mapping[str, Any] | None = None
    """Of `BOLT_WS`, in place of its class's."""
    is_live: bool = True
    """A real client can send it, and a real server hands it on, or answers 400 itself."""


@dataclass(frozen=True, kw_only=True)
class HandshakeClass:
    """Handshakes that are hostile in one way, and the nearest good one."""

    name: str
    good: Build
    rows: Mapping[str, Build | Bad]
    status: int = 401
    code: str = "authentication_failed"
    settings: Mapping[str, Any] = field(default_factory=dict)
    crowd: tuple[Build, ...] = ()
    """Who is connected already; in front of the good handshake, one fewer."""
    is_live: bool = True


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: a hostile handshake with all that its class says."""

    kind: HandshakeClass
    name: str
    build: Build
    status: int
    code: str
    close: int
    settings: Mapping[str, Any]
    raises: type[BaseException] | None
    is_answered_by_guard: bool
    during: Callable[[Connection], Awaitable[None]] | None
    is_heard: bool
    is_live: bool

    def __str__(self) -> str:
        return f"{self.kind.name}: {self.name}"


def rows_of(kind: HandshakeClass) -> list[Row]:
    """Return the rows of a class."""
    return [_row(kind, name, each) for name, each in kind.rows.items()]


def _row(kind: HandshakeClass, name: str, given: Build | Bad) -> Row:
    bad = given if isinstance(given, Bad) else Bad(build=given)
    status = bad.status or kind.status
    return Row(
        kind=kind,
        name=name,
        build=bad.build,
        status=status,
        code=bad.code or kind.code,
        close=bad.close or 4000 + status,
        settings=kind.settings if bad.settings is None else bad.settings,
        raises=bad.raises,
        is_answered_by_guard=bad.is_answered_by_guard,
        during=bad.during,
        is_heard=bad.is_heard,
        is_live=kind.is_live and bad.is_live and bad.during is None,
    )
