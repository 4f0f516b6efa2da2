"""What a token claims, well signed: until when, of whom, from whom, for whom."""

from __future__ import annotations

import time
from typing import Any

from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import claiming, full_claims, full_token, sign, token
from tests.hostile.wire import Attempt, at, with_token


def saying(**changed: Any) -> Attempt:
    """A token with claims as PyJWT may refuse to encode them."""
    good = {"sub": "7", "exp": int(time.time()) + 60}
    return with_token(sign(payload={**good, **changed}))


def expiring(text: str) -> Attempt:
    return with_token(claiming(f'{{"sub":"7","exp":{text}}}'))


def full(**changed: Any) -> Attempt:
    return with_token(full_token(**changed), "/full")


def full_null(name: str) -> Attempt:
    return with_token(sign(payload={**full_claims(), name: None}), "/full")


def to(path: str, **changed: Any) -> Attempt:
    return with_token(token(**changed), path)


CLASSES = (
    HandshakeClass(
        name="claim exp",
        good=lambda: saying(exp=time.time() + 30.5),
        rows={
            "missing": lambda: with_token(sign(payload={"sub": "7"})),
            "null": lambda: expiring("null"),
            "past": Bad(build=lambda: saying(exp=int(time.time()) - 1), code="token_expired"),
            "this very second": Bad(
                build=lambda: saying(exp=int(time.time())), code="token_expired"
            ),
            "long past": Bad(build=lambda: expiring("1"), code="token_expired"),
            "zero": Bad(build=lambda: expiring("0"), code="token_expired"),
            "negative": Bad(build=lambda: expiring("-1e300"), code="token_expired"),
            "a text of digits": lambda: expiring('"9999999999"'),
            "a text": lambda: expiring('"never"'),
            "NaN": lambda: expiring("NaN"),
            "Infinity": lambda: expiring("Infinity"),
            "-Infinity": lambda: expiring("-Infinity"),
            "more than a float holds": lambda: expiring("1e999"),
            "400 digits": lambda: expiring("9" * 400),
            "5,000 digits": lambda: expiring("9" * 5000),
            "true": Bad(build=lambda: expiring("true"), code="token_expired"),
            "a list": lambda: expiring("[9999999999]"),
            "an object": lambda: expiring('{"exp":9999999999}'),
            "past, and no staff": Bad(
                build=lambda: to("/staff", exp=int(time.time()) - 1), code="token_expired"
            ),
            "past, in a header": Bad(
                build=lambda: at(
                    "/jwt", b"", ("Authorization", f"Bearer {token(exp=int(time.time()) - 1)}")
                ),
                code="token_expired",
            ),
        },
    ),
    HandshakeClass(
        name="claims nbf and iat",
        good=lambda: saying(nbf=int(time.time()) - 1, iat=int(time.time()) - 1),
        rows={
            "nbf in the future": lambda: saying(nbf=int(time.time()) + 30),
            "nbf, a text of digits": lambda: saying(nbf="1"),
            "nbf null": lambda: saying(nbf=None),
            "nbf true": lambda: saying(nbf=True),
            "nbf, 400 digits": lambda: saying(nbf=10**400),
            "iat in the future": lambda: saying(iat=int(time.time()) + 30),
            "iat, a text": lambda: saying(iat="yesterday"),
            "iat, a list": lambda: saying(iat=[1]),
            "iat true": lambda: saying(iat=True),
        },
    ),
    HandshakeClass(
        name="claim sub",
        good=lambda: saying(sub="8d0e1b52-5d55-4ff7-b4dc-3f9c2ea7f6a1"),
        rows={
            "missing": lambda: with_token(sign(payload={"exp": 9999999999})),
            "null": lambda: saying(sub=None),
            "empty": lambda: saying(sub=""),
            "a number": lambda: saying(sub=7),
            "true": lambda: saying(sub=True),
            "a list": lambda: saying(sub=["7"]),
            "an object": lambda: saying(sub={"id": 7}),
            "a newline": lambda: saying(sub="7\nWARNING nothing"),
            "a null byte": lambda: saying(sub="7\x00"),
            "half a surrogate": lambda: saying(sub="\ud800"),
            "written from right to left": lambda: saying(sub="\u202e7"),
        },
    ),
    HandshakeClass(
        name="claim aud",
        good=full,
        rows={
            "missing": lambda: full(aud=None),
            "null": lambda: full_null("aud"),
            "another": lambda: full(aud="another"),
            "in capitals": lambda: full(aud="HOSTILE"),
            "its beginning": lambda: full(aud="hostil"),
            "none of a list": lambda: full(aud=["a", "b"]),
            "an empty list": lambda: full(aud=[]),
            "a number": lambda: full(aud=1),
            "an object": lambda: full(aud={"hostile": 1}),
            "a list with a number": lambda: full(aud=["hostile", 1]),
            "one where none is expected": lambda: saying(aud="hostile"),
        },
    ),
    HandshakeClass(
        name="claim iss",
        good=full,
        rows={
            "missing": lambda: full(iss=None),
            "null": lambda: full_null("iss"),
            "another": lambda: full(iss="https://evil.example"),
            "its beginning": lambda: full(iss="https://issuer"),
            "more than it": lambda: full(iss="https://issuer.example.evil.example"),
            "a slash more": lambda: full(iss="https://issuer.example/"),
            "a list": lambda: full(iss=["https://issuer.example"]),
            "a number": lambda: full(iss=1),
        },
    ),
    HandshakeClass(
        name="claim token_type",
        good=lambda: saying(token_type="access"),
        rows={
            "refresh": lambda: saying(token_type="refresh"),
            "sliding": lambda: saying(token_type="sliding"),
            "in capitals": lambda: saying(token_type="ACCESS"),
            "null": lambda: saying(token_type=None),
            "a list": lambda: saying(token_type=["access"]),
            "true": lambda: saying(token_type=True),
        },
    ),
    HandshakeClass(
        name="claims required",
        good=full,
        rows={"missing": lambda: full(role=None), "null": lambda: full_null("role")},
    ),
    HandshakeClass(
        name="token, revoked",
        good=lambda: full(jti="another", sub="another-user"),
        code="token_revoked",
        rows={
            "by its ID": lambda: full(jti="revoked"),
            "by its user, issued before": lambda: full(sub="revoked-user", iat=1),
            "by its user, issued who knows when": lambda: full(sub="revoked-user"),
            "by its user, issued in that second": Bad(
                build=lambda: full(sub="revoked-user", iat=int(time.time())),
                is_live=False,  # a server revoked it when it started
            ),
        },
    ),
    HandshakeClass(
        name="token, ID that nobody could revoke",
        good=lambda: full(jti="2"),
        rows={
            "a list": lambda: full(jti=["revoked"]),
            "an object": lambda: full(jti={"revoked": 1}),
            "empty": Bad(build=lambda: full(jti=""), code="token_revoked"),
            "true": lambda: full(jti=True),
        },
    ),
    HandshakeClass(
        name="claim is_staff",
        good=lambda: to("/staff", is_staff=True),
        status=403,
        code="permission_denied",
        rows={
            "missing": lambda: to("/staff"),
            "a text": lambda: to("/staff", is_staff="true"),
            "a number": lambda: to("/staff", is_staff=1),
            "a list": lambda: to("/staff", is_staff=[True]),
            "an object": lambda: to("/staff", is_staff={"is_staff": True}),
            "False": lambda: to("/staff", is_staff=False),
            "only a superuser": lambda: to("/staff", is_superuser=True),
        },
    ),
    HandshakeClass(
        name="claim is_superuser",
        good=lambda: to("/admin", is_superuser=True),
        status=403,
        code="permission_denied",
        rows={
            "a text": lambda: to("/admin", is_superuser="true"),
            "a number": lambda: to("/admin", is_superuser=1),
            "only staff": lambda: to("/admin", is_staff=True),
            "a text, for a permission": lambda: to("/permission", is_superuser="yes"),
        },
    ),
    HandshakeClass(
        name="claim permissions",
        good=lambda: to("/permission", permissions=["chat.view"]),
        status=403,
        code="permission_denied",
        rows={
            "missing": lambda: to("/permission"),
            "empty": lambda: to("/permission", permissions=[]),
            "another": lambda: to("/permission", permissions=["chat.add"]),
            "more letters": lambda: to("/permission", permissions=["chat.view_all"]),
            "fewer letters": lambda: to("/permission", permissions=["chat"]),
            "a star": lambda: to("/permission", permissions=["chat.*", "*"]),
            "in capitals": lambda: to("/permission", permissions=["CHAT.VIEW"]),
            "a list in a list": lambda: to("/permission", permissions=[["chat.view"]]),
            "a text": Bad(
                build=lambda: to("/permission", permissions="chat.view"),
                status=401,
                code="authentication_failed",
            ),
            "an object": Bad(
                build=lambda: to("/permission", permissions={"chat.view": True}),
                status=401,
                code="authentication_failed",
            ),
        },
    ),
)
