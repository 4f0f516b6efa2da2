"""Guards and backends that do what they should not, and whom guards turn away."""

from __future__ import annotations

from typing import Any

from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import ANOTHER_KEY, token
from tests.hostile.wire import Attempt, at, with_token


def guard(answer: str, path: str = "/guard") -> Attempt:
    return at(path, f"guard={answer}")


def known(answer: str, path: str) -> Attempt:
    return at(path, f"guard={answer}&backend=identity")


def backend(answer: str) -> Attempt:
    return at("/backend", f"backend={answer}")


def to(path: str, **changed: Any) -> Attempt:
    return with_token(token(**changed), path)


def fault(build: Any) -> Bad:
    """A fault of the project's: 500, without a word of it to the client."""
    return Bad(build=build, status=500, code="internal_error")


CLASSES = (
    HandshakeClass(
        name="guard, answer",
        good=lambda: guard("true"),
        status=403,
        code="permission_denied",
        rows={
            "False": lambda: guard("false"),
            "None": lambda: guard("none"),
            "1": lambda: guard("1"),
            "a text": lambda: guard("yes"),
            "a list": lambda: guard("list"),
            "an object": lambda: guard("dict"),
            "None, in a thread": lambda: guard("none", "/guard/thread"),
            "a text, in a thread": lambda: guard("yes", "/guard/thread"),
        },
    ),
    HandshakeClass(
        name="guard, exception",
        good=lambda: guard("true", "/guard/thread"),
        status=500,
        code="internal_error",
        rows={
            "LookupError": lambda: guard("lookup-error"),
            "RecursionError": lambda: guard("recursion-error"),
            "StopAsyncIteration": lambda: guard("stop-iteration"),
            "a group": lambda: guard("group"),
            "a TimeoutError of its own": lambda: guard("timeout-error"),
            "LookupError, in a thread": lambda: guard("lookup-error", "/guard/thread"),
            "PermissionDenied": Bad(
                build=lambda: guard("permission-denied"), status=403, code="permission_denied"
            ),
            "Http404": Bad(build=lambda: guard("http404"), status=404, code="not_found"),
            "SuspiciousOperation": Bad(
                build=lambda: guard("suspicious"), status=400, code="bad_request"
            ),
            "ValidationError": Bad(build=lambda: guard("invalid"), status=422, code="invalid"),
            "WebSocketException": Bad(
                build=lambda: guard("close-4001"), status=403, code="rejected", close=4001
            ),
            "AuthenticationFailed": Bad(
                build=lambda: guard("failed"), status=401, code="authentication_failed"
            ),
        },
    ),
    HandshakeClass(
        name="guard, acting",
        good=lambda: guard("true"),
        status=500,
        code="internal_error",
        rows={
            "accepts": lambda: guard("accepts"),
            "sends": lambda: guard("sends"),
            "closes": Bad(
                build=lambda: guard("closes"), status=403, close=4001, is_answered_by_guard=True
            ),
            "rejects": Bad(build=lambda: guard("rejects"), status=404, is_answered_by_guard=True),
        },
    ),
    HandshakeClass(
        name="guard, behind ~",
        good=lambda: known("false", "/guard/not"),
        status=403,
        code="permission_denied",
        rows={
            "anonymous": Bad(
                build=lambda: guard("false", "/guard/not"), status=401, code="not_authenticated"
            ),
            "it holds": lambda: known("true", "/guard/not"),
            "PermissionDenied": lambda: known("permission-denied", "/guard/not"),
            "None": fault(lambda: known("none", "/guard/not")),
            "0 or 1": fault(lambda: known("1", "/guard/not")),
            "LookupError": fault(lambda: known("lookup-error", "/guard/not")),
            "staff": lambda: to("/no-staff", is_staff=True),
            "anonymous, and no staff": Bad(
                build=lambda: at("/no-staff"), status=401, code="not_authenticated"
            ),
        },
    ),
    HandshakeClass(
        name="guard, composed",
        good=lambda: to("/composed", permissions=["chat.view"]),
        status=403,
        code="permission_denied",
        rows={
            "neither of two": lambda: to("/composed"),
            "one of them, and banned": lambda: to("/composed", is_staff=True, banned=True),
            "one of them, and banned by a text": lambda: to(
                "/composed", is_staff=True, banned="for ever"
            ),
            "anonymous": Bad(build=lambda: at("/composed"), status=401, code="not_authenticated"),
            "the second refuses": lambda: known("false", "/guard/and"),
            "the second says a text": fault(lambda: known("yes", "/guard/and")),
        },
    ),
    HandshakeClass(
        name="guard, claims",
        good=lambda: to("/level", level=1),
        status=403,
        code="permission_denied",
        rows={
            "missing": lambda: to("/level"),
            "another": lambda: to("/level", level=2),
            "true for 1": lambda: to("/level", level=True),
            "a text for 1": lambda: to("/level", level="1"),
            "a float for 1": lambda: to("/level", level=1.0),
            "an object": lambda: to("/level", level={"1": 1}),
            "a list in a list": lambda: to("/level", level=[[1]]),
            "one of all": lambda: to("/member", groups=["a", "b"]),
            "all, and none of any": lambda: to("/member", groups=["b", "c"]),
            "a text that has all": lambda: to("/member", groups="a b c"),
            "the text false": lambda: to("/verified", email_verified="false"),
            "zero": lambda: to("/verified", email_verified=0),
            "another scope": lambda: to("/scope", scope="chat:write:all chat:read"),
            "a scope with another space": lambda: to("/scope", scope="chat:read\tchat:write"),
            "anonymous": Bad(build=lambda: at("/level"), status=401, code="not_authenticated"),
        },
    ),
    HandshakeClass(
        name="guard, none_of",
        good=lambda: to("/no-guest", roles=["editor"]),
        status=403,
        code="permission_denied",
        rows={
            "it is one": lambda: to("/no-guest", roles="guest"),
            "it is among others": lambda: to("/no-guest", roles=["editor", "guest"]),
            "hidden in a list": lambda: to("/no-guest", roles=[["guest"]]),
            "hidden in an object": lambda: to("/no-guest", roles={"guest": True}),
            "anonymous": Bad(build=lambda: at("/no-guest"), status=401, code="not_authenticated"),
        },
    ),
    HandshakeClass(
        name="backend, answer",
        good=lambda: backend("identity"),
        status=500,
        code="internal_error",
        rows={
            "True": lambda: backend("true"),
            "a text": lambda: backend("yes"),
            "an object": lambda: backend("dict"),
            "False": lambda: backend("false"),
            "LookupError": lambda: backend("lookup-error"),
            "nobody": Bad(build=lambda: backend("none"), status=401, code="not_authenticated"),
            "AuthenticationFailed": Bad(
                build=lambda: backend("failed"), status=401, code="authentication_failed"
            ),
        },
    ),
    HandshakeClass(
        name="everybody is welcome, but no bad credential",
        good=lambda: at("/all-welcome"),
        rows={
            "garbage": lambda: with_token("garbage", "/all-welcome"),
            "empty": lambda: with_token("", "/all-welcome"),
            "expired": Bad(build=lambda: to("/all-welcome", exp=1), code="token_expired"),
            "of another key": lambda: with_token(token(ANOTHER_KEY), "/all-welcome"),
        },
    ),
)
