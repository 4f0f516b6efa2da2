"""One connection over each limit."""

from __future__ import annotations

from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import token
from tests.hostile.wire import Attempt, at, with_token

PROXY = "10.0.0.1"
CLIENT = "203.0.113.7"


def forwarded(chain: str, client: str = PROXY) -> Attempt:
    return at("/public", b"", ("X-Forwarded-For", chain), client=client)


def as_user(user: str, client: str = CLIENT) -> Attempt:
    return with_token(token(sub=user), client=client)


def anonymous(client: str = CLIENT) -> Attempt:
    return at("/public", client=client)


CLASSES = (
    HandshakeClass(
        name="limit of connections",
        good=anonymous,
        settings={"MAX_CONNECTIONS": 2},
        crowd=(lambda: anonymous("198.51.100.1"), lambda: anonymous("198.51.100.2")),
        status=503,
        code="too_many_connections",
        is_live=False,
        rows={
            "one more": anonymous,
            "one more, with a good token": lambda: with_token(token()),
            "one more, with a bad token": lambda: with_token("bad"),
        },
    ),
    HandshakeClass(
        name="limit of connections, per client",
        good=anonymous,
        settings={"MAX_CONNECTIONS_PER_CLIENT": 2},
        crowd=(anonymous, anonymous),
        status=429,
        code="too_many_connections",
        is_live=False,
        rows={
            "one more": anonymous,
            "as IPv6 has it": lambda: anonymous(f"::ffff:{CLIENT}"),
            "with a good token": lambda: with_token(token()),
            "said to come from another": lambda: forwarded("198.51.100.1", CLIENT),
            "said by many to come from another": lambda: forwarded("198.51.100.1, ::1", CLIENT),
        },
    ),
    HandshakeClass(
        name="limit of connections, of a network",
        good=lambda: anonymous("2001:db8:0:2::3"),
        settings={"MAX_CONNECTIONS_PER_CLIENT": 2},
        crowd=(lambda: anonymous("2001:db8:0:1::1"), lambda: anonymous("2001:db8:0:1::2")),
        status=429,
        code="too_many_connections",
        is_live=False,
        rows={
            "its next address": lambda: anonymous("2001:db8:0:1::3"),
            "its last address": lambda: anonymous("2001:db8:0:1:ffff:ffff:ffff:ffff"),
        },
    ),
    HandshakeClass(
        name="limit of connections, behind a proxy",
        good=lambda: forwarded(CLIENT),
        settings={"MAX_CONNECTIONS_PER_CLIENT": 2, "TRUSTED_PROXIES": [PROXY, "10.0.1.0/24"]},
        crowd=(lambda: forwarded(CLIENT), lambda: forwarded(CLIENT)),
        status=429,
        code="too_many_connections",
        is_live=False,
        rows={
            "one more": lambda: forwarded(CLIENT),
            "an address made up": lambda: forwarded(f"198.51.100.1, {CLIENT}"),
            "many made up": lambda: forwarded(f"{'198.51.100.1,' * 500}{CLIENT}"),
            "through two proxies": lambda: forwarded(f"198.51.100.1, {CLIENT}, 10.0.1.9"),
            "with a port": lambda: forwarded(f"198.51.100.1, {CLIENT}:4711"),
            "past the proxy": lambda: forwarded("198.51.100.1", CLIENT),
        },
    ),
    HandshakeClass(
        name="limit of connections, per user",
        good=lambda: as_user("crowd"),
        settings={"MAX_CONNECTIONS_PER_USER": 3},
        crowd=(
            lambda: as_user("crowd", "198.51.100.1"),
            lambda: as_user("crowd", "198.51.100.2"),
            lambda: as_user("crowd", "198.51.100.3"),
        ),
        status=429,
        code="too_many_connections",
        is_live=False,
        rows={
            "one more": lambda: as_user("crowd"),
            "in a header": lambda: at(
                "/jwt", b"", ("Authorization", f"Bearer {token(sub='crowd')}")
            ),
            "at another endpoint": lambda: with_token(token(sub="crowd"), "/blocking"),
        },
    ),
    HandshakeClass(
        name="limit of connects a second",
        good=anonymous,
        settings={"MAX_CONNECTS_PER_SECOND": 2},
        crowd=(anonymous, anonymous),
        status=429,
        code="too_many_connections",
        is_live=False,
        rows={
            "one more": anonymous,
            "with a good token": lambda: with_token(token()),
            "with a bad token": lambda: with_token("bad"),
            "of another origin": Bad(
                build=lambda: at("/public", origin="https://evil.example"),
                status=403,
                code="origin_not_allowed",
            ),
        },
    ),
)
