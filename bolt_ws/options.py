"""What an endpoint can say besides its path, and whether it can say so."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, cast, get_args

from .auth.backends import Authentication
from .auth.guards import Guard
from .bounds import OverRate
from .exceptions import DeclarationError
from .outbox import OutboxPolicy, Overflow
from .values import ValueType, compile_value_type

Middleware = Callable[[Any], Any]


class EndpointOptions(TypedDict, total=False):
    """What an endpoint can say besides its path."""

    name: str | None
    """Else the function's name, while that is unique."""
    auth: Sequence[Authentication] | None
    """Authentication backends; None is the API's."""
    guards: Sequence[Guard] | None
    """Conditions before accept; None is the API's."""
    origins: Sequence[str] | None
    """Origins that may connect besides the site's own; "*" is any. None is the API's."""
    refuse: Literal["deny", "close"] | None
    """How a handshake is refused; None is the API's."""
    opt: Mapping[str, Any] | None
    """Whatever guards are to know of the endpoint: `websocket.opt`."""
    close_at_expiry: bool | None
    """False keeps the connection open after its credential has expired."""
    auto_accept: bool | None
    """None accepts at first use, True before the handler, False leaves it to the handler."""
    value_type: Any
    """`receive_type` and `send_type` in one."""
    receive_type: Any
    """What `receive()` gives: "text", "bytes", "json", "event" or a type to validate against."""
    send_type: Any
    """What `send()` takes."""
    caught_close_codes: Any
    """Codes of a client's close that end the handler quietly; the builtin `all` is every one."""
    outbox: int | None
    """Messages of rooms that may wait for a connection whose client reads slowly: 256."""
    overflow: Overflow | None
    """What one more does: "close" the connection with 1013, "drop_oldest" or "drop_newest"."""
    max_message_size: int | None
    """Bytes of a message from the client; one that is bigger closes the connection with 1009."""
    rate_limit: str | None
    """Messages of a client, such as "20/s", "100/m" or "1000/h"."""
    burst: int | None
    """Messages that may come at once; else the number in `rate_limit`."""
    over_rate: OverRate | None
    """What one more does: "close" the connection with 4429, "drop" the message or "wait"."""
    read_ahead: int | None
    """Messages that are read for a handler which does not receive: 64."""
    idle_timeout: float | None
    """Seconds without a message from the client; then the connection is closed with 4408."""
    max_lifetime: float | None
    """Seconds after which the connection is closed with 1012."""
    send_timeout: float | None
    """Seconds in which the client takes nothing of what is sent; then it is closed with 1013."""
    disconnect_grace: float | None
    """Seconds that the handler has to end after its connection; `math.inf` is for ever."""
    middleware: Sequence[Middleware] | None
    """ASGI middleware around the endpoint, the outermost first."""


def merged(old: EndpointOptions, new: EndpointOptions) -> EndpointOptions:
    """Return what an endpoint says that was declared before: the new words first."""
    kept = {name: value for name, value in old.items() if name != "name"}
    said = {name: value for name, value in new.items() if value is not None}
    return cast("EndpointOptions", {**kept, **said})


def check_options(options: EndpointOptions) -> None:
    """Raise `DeclarationError` for an option that is unknown or cannot be."""
    known = EndpointOptions.__annotations__
    if unknown := sorted(options.keys() - known.keys()):
        raise DeclarationError(
            f"unknown option {', '.join(map(repr, unknown))}; known are {', '.join(sorted(known))}"
        )
    name = options.get("name")
    if not (name is None or (isinstance(name, str) and name.isprintable())):
        raise DeclarationError(f"name must be text in one line, not {name!r}")
    for option in ("auto_accept", "close_at_expiry"):
        value = options.get(option)
        if not isinstance(value, bool | None):
            raise DeclarationError(f"{option} must be None, True or False, not {value!r}")
    if not isinstance(options.get("opt"), Mapping | None):
        raise DeclarationError(f"opt must be a mapping, not {options['opt']!r}")
    check_refuse(options.get("refuse"))


def check_middleware(middleware: Sequence[Middleware] | None) -> tuple[Middleware, ...]:
    """Return the middleware. Raises `DeclarationError`."""
    if middleware is None:
        return ()
    if not isinstance(middleware, list | tuple) or not all(map(callable, middleware)):
        raise DeclarationError(
            f"middleware must be a list of functions that take an ASGI application, not "
            f"{middleware!r}"
        )
    return tuple(middleware)


def compile_types(options: EndpointOptions) -> tuple[ValueType | None, ValueType | None]:
    """Return how to receive and how to send. Raises `DeclarationError`."""
    both = options.get("value_type")
    receive = options.get("receive_type", both)
    send = options.get("send_type", both)
    return (
        None if receive is None else compile_value_type(receive),
        None if send is None else compile_value_type(send),
    )


def compile_outbox(options: EndpointOptions, name: str) -> OutboxPolicy:
    """Return what happens to messages that a connection is too slow for.

    Raises `DeclarationError`.
    """
    policy = OutboxPolicy(name=name)
    limit, overflow = options.get("outbox"), options.get("overflow")
    if limit is not None:
        if type(limit) is not int or limit < 1:
            raise DeclarationError(f"outbox must be a number of messages, 1 or more, not {limit!r}")
        policy.limit = limit
    if overflow is not None:
        if overflow not in get_args(Overflow):
            known = ", ".join(map(repr, get_args(Overflow)))
            raise DeclarationError(f"overflow must be one of {known}, not {overflow!r}")
        policy.overflow = overflow
    return policy


def check_codes(codes: Any) -> frozenset[int] | None:
    """Return the codes that are caught, None for all. Raises `DeclarationError`."""
    if codes is builtins.all:
        return None
    if not isinstance(codes, list | tuple | set | frozenset) or not all(
        type(code) is int and 1000 <= code <= 4999 for code in codes
    ):
        raise DeclarationError(
            f"caught_close_codes must be a tuple of close codes or the builtin all, not {codes!r}"
        )
    return frozenset(codes)


def check_refuse(refuse: Any) -> None:
    """Raise `DeclarationError` for what is no way to refuse."""
    if refuse not in (None, "deny", "close"):
        raise DeclarationError(f'refuse must be "deny" or "close", not {refuse!r}')
