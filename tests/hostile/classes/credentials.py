"""Cookies, API keys and tickets."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from django.contrib.auth.models import User
from django.contrib.sessions.serializers import JSONSerializer
from django.core import signing
from django.core.cache import cache

from bolt_ws.auth import create_ticket, hash_api_key, tickets
from tests.hostile.project.settings import AUTHENTICATION_BACKENDS
from tests.hostile.project.users import ALICE, GONE
from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import ANOTHER_KEY, API_KEY, full_token
from tests.hostile.wire import SITE, Attempt, at, with_headers

SALT = "django.contrib.sessions.backends.signed_cookies"


def session(user: User = ALICE, *, key: str | None = None, **changed: Any) -> str:
    """The session of Django's `signed_cookies` that a login makes, but for what is changed."""
    held = {
        "_auth_user_id": str(user.pk),
        "_auth_user_backend": AUTHENTICATION_BACKENDS[0],
        "_auth_user_hash": user.get_session_auth_hash(),
        **changed,
    }
    return signing.dumps(held, key=key, salt=SALT, serializer=JSONSerializer, compress=True)


def logged_in(cookie: str, path: str = "/session", **options: Any) -> Attempt:
    return at(path, cookie=f"sessionid={cookie}", secrets=(cookie,), **options)


def of_last_month() -> str:
    with mock.patch("django.core.signing.time.time", return_value=time.time() - 30 * 86400):
        return session()


def over() -> str:
    return session(_session_expiry=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())


def changed_password() -> str:
    user = User(pk=ALICE.pk, password="the hash of an older password")
    return session(user)


def access(made: str, **options: Any) -> Attempt:
    return at("/full", cookie=f"access={made}", secrets=(made,), **options)


def two_access_cookies() -> Attempt:
    first, second = full_token(), full_token(sub="8")
    return at("/full", cookie=f"access={first}; access={second}", secrets=(first, second))


def key(value: str | bytes, name: str = "X-API-Key") -> Attempt:
    return with_headers("/key", (name, value))


def two_keys() -> Attempt:
    return with_headers("/key", ("X-API-Key", API_KEY), ("X-API-Key", API_KEY))


def ticket(made: str, path: str = "/ticket") -> Attempt:
    return at(path, f"ticket={made}", secrets=(made,))


def used() -> Attempt:
    made = create_ticket(ALICE)
    tickets._redeem(made, "/ticket")
    return ticket(made)


def expired() -> Attempt:
    made = create_ticket(ALICE)
    cache.touch(tickets._key(made), -1)
    return ticket(made)


def used_elsewhere() -> Attempt:
    """A ticket that was tried at a path that it is not for is used up."""
    made = create_ticket(ALICE, path="/ticket")
    try:
        tickets._redeem(made, "/ticket/other")
    except Exception:
        return ticket(made)
    raise AssertionError


def two_tickets() -> Attempt:
    first, second = create_ticket(ALICE), create_ticket(ALICE)
    return at("/ticket", f"ticket={first}&ticket={second}", secrets=(first, second))


CLASSES = (
    HandshakeClass(
        name="session, cookie",
        good=lambda: logged_in(session()),
        code="not_authenticated",
        rows={
            "none": lambda: at("/session"),
            "empty": lambda: logged_in(""),
            "garbage": lambda: logged_in("garbage" * 10),
            "another name": lambda: at("/session", cookie=f"sessionId={session()}"),
            "signed with another key": lambda: logged_in(session(key=ANOTHER_KEY)),
            "changed": lambda: logged_in(session()[1:]),
            "unsigned": lambda: logged_in(session().partition(":")[0]),
            "of last month": lambda: logged_in(of_last_month()),
            "over by its own word": lambda: logged_in(over()),
            "of an inactive user": lambda: logged_in(session(GONE)),
            "of a user who is unknown": lambda: logged_in(session(User(pk=99, password="x"))),
            "of a user whose password changed": lambda: logged_in(changed_password()),
            "of a user of another kind": lambda: logged_in(session(_auth_user_id="not a number")),
            "of a backend that is gone": lambda: logged_in(session(_auth_user_backend="os.path")),
            "without a hash": lambda: logged_in(session(_auth_user_hash=None)),
            "of nobody": lambda: logged_in(session(_auth_user_id=None)),
            "longer than a browser keeps": lambda: logged_in("x" * 5000),
            "a null byte, quoted": lambda: logged_in('"\\000\\000\\000"'),
            "bytes of latin-1": lambda: at("/session", cookie=b"sessionid=\xe9\xe8\xff" * 10),
            "in the query": lambda: at("/session", f"sessionid={session()}"),
        },
    ),
    HandshakeClass(
        name="cookie of a middleware, any origin",
        good=lambda: at("/middleware/any-origin", cookie="visitor=ann"),
        status=403,
        code="permission_denied",
        rows={
            "foreign": lambda: at(
                "/middleware/any-origin", cookie="visitor=ann", origin="https://evil.example"
            ),
            "another port": lambda: at(
                "/middleware/any-origin", cookie="visitor=ann", origin=f"{SITE}:8080"
            ),
        },
    ),
    HandshakeClass(
        name="session, origin",
        good=lambda: logged_in(session()),
        status=403,
        code="origin_not_allowed",
        rows={
            "none": Bad(build=lambda: logged_in(session(), origin=None), code="origin_required"),
            "foreign": lambda: logged_in(session(), origin="https://evil.example"),
            "null": lambda: logged_in(session(), origin="null"),
            "empty": lambda: logged_in(session(), origin=""),
            "foreign, where any is allowed": lambda: logged_in(
                session(), "/session/any-origin", origin="https://evil.example"
            ),
            "none, where any is allowed": Bad(
                build=lambda: logged_in(session(), "/session/any-origin", origin=None),
                code="origin_required",
            ),
        },
    ),
    HandshakeClass(
        name="token in a cookie",
        good=lambda: access(full_token()),
        rows={
            "no origin": Bad(
                build=lambda: access(full_token(), origin=None), status=403, code="origin_required"
            ),
            "a foreign origin": Bad(
                build=lambda: access(full_token(), origin="https://evil.example"),
                status=403,
                code="origin_not_allowed",
            ),
            "garbage": lambda: access("garbage" * 5),
            "empty": lambda: access(""),
            "two": two_access_cookies,
            "of another key": lambda: access(full_token(role=None)),
        },
    ),
    HandshakeClass(
        name="API key",
        good=lambda: key(API_KEY),
        rows={
            "none": Bad(build=lambda: at("/key"), code="not_authenticated"),
            "empty": lambda: key(""),
            "wrong": lambda: key(API_KEY[::-1]),
            "one letter else": lambda: key(API_KEY[:-1] + "A"),
            "its beginning": lambda: key(API_KEY[:32]),
            "too short": lambda: key("short"),
            "too long": lambda: key(API_KEY * 20),
            "its hash": lambda: key(hash_api_key(API_KEY)),
            "twice": two_keys,
            "a comma": lambda: key(f"{API_KEY}, {API_KEY}"),
            "a space within": lambda: key(f"{API_KEY[:20]} {API_KEY[20:]}"),
            "letters of no ASCII": lambda: key(f"{API_KEY}\N{SNOWMAN}"),
            "bytes of latin-1": lambda: key(b"\xe9" * 40),
            "in another header": Bad(
                build=lambda: key(API_KEY, "Authorization"), code="not_authenticated"
            ),
            "in the query": Bad(
                build=lambda: at("/key", f"X-API-Key={'k' * 40}"), code="not_authenticated"
            ),
        },
    ),
    HandshakeClass(
        name="ticket",
        good=lambda: ticket(create_ticket(ALICE, path="/ticket")),
        code="invalid_ticket",
        rows={
            "none": Bad(build=lambda: at("/ticket"), code="not_authenticated"),
            "empty": lambda: ticket(""),
            "unknown": lambda: ticket("A" * 43),
            "garbage": lambda: ticket("garbage"),
            "too long": lambda: ticket("A" * 5000),
            "used": used,
            "expired": expired,
            "of another path": lambda: ticket(
                create_ticket(ALICE, path="/ticket"), "/ticket/other"
            ),
            "used up at another path": used_elsewhere,
            "two": Bad(build=two_tickets, code="authentication_failed"),
            "the name in the cache": lambda: ticket(tickets._key(create_ticket(ALICE))[-43:]),
            "a null byte": lambda: ticket("%00" * 43),
            "letters of no ASCII": lambda: ticket("%C3%A9" * 43),
            "another case": lambda: ticket(create_ticket(ALICE).swapcase()),
        },
    ),
)
