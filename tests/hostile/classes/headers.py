"""What a token's header says: its algorithm, its key, its extensions."""

from __future__ import annotations

from typing import Any

from tests.hostile.table import HandshakeClass
from tests.hostile.tokens import (
    ES_OTHER,
    ES_PRIVATE,
    ES_PUBLIC,
    ES_PUBLIC_DER,
    KEYS,
    OLD_KEY,
    claims,
    headed,
    nested,
    part,
    resigned,
    sign,
    sign_es,
    token,
)
from tests.hostile.wire import Attempt, with_token

JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "qkFAlG9m5m4JUX2wJfWNjyKCsmvZmPGdKCkJqIoL-yA",
    "y": "9MvHQ5VYmkSYPtLNG3RzC1OpVzSfYVZn-XIl9FGBlN4",
}


def algorithm(value: Any) -> Attempt:
    return with_token(headed(alg=value))


def unsigned(value: str) -> Attempt:
    return with_token(f"{part({'alg': value, 'typ': 'JWT'})}.{part(claims())}.")


def with_kid(value: Any, key: str = KEYS["2026-b"]) -> Attempt:
    return with_token(sign({"alg": "HS256", "kid": value}, key=key), "/kid")


def es(header: dict[str, Any] | None = None, key: Any = ES_OTHER) -> Attempt:
    return with_token(sign_es(header or {}, key), "/es")


def hs_for_es(key: str | bytes) -> Attempt:
    return with_token(sign(key=key), "/es")


def raw(header: bytes) -> Attempt:
    return with_token(sign(header))


CLASSES = (
    HandshakeClass(
        name="header, algorithm",
        good=lambda: with_token(headed(alg="HS256")),
        rows={
            "none": lambda: unsigned("none"),
            "None": lambda: unsigned("None"),
            "NONE": lambda: unsigned("NONE"),
            "nOnE": lambda: unsigned("nOnE"),
            "none, with a good signature": lambda: algorithm("none"),
            "empty": lambda: algorithm(""),
            "missing": lambda: with_token(sign({"typ": "JWT"})),
            "null": lambda: algorithm(None),
            "a list": lambda: algorithm(["HS256"]),
            "an object": lambda: algorithm({"HS256": True}),
            "a number": lambda: algorithm(256),
            "true": lambda: algorithm(True),
            "unknown": lambda: algorithm("HS257"),
            "in small letters": lambda: algorithm("hs256"),
            "with a space": lambda: algorithm("HS256 "),
            "HS512 and its good signature": lambda: with_token(token(algorithm="HS512")),
            "HS384 and its good signature": lambda: with_token(token(algorithm="HS384")),
            "HS512 over SHA-256": lambda: algorithm("HS512"),
            "ES256 where a key is shared": lambda: with_token(sign_es({})),
        },
    ),
    HandshakeClass(
        name="header, another key",
        good=lambda: es(key=ES_PRIVATE),
        rows={
            "HS256 with the public key": lambda: hs_for_es(ES_PUBLIC),
            "the same without its last newline": lambda: hs_for_es(ES_PUBLIC.strip()),
            "the same in DER": lambda: hs_for_es(ES_PUBLIC_DER),
            "HS256 with the project's key": lambda: with_token(sign(), "/es"),
            "none": lambda: with_token(f"{part({'alg': 'none'})}.{part(claims())}.", "/es"),
            "another EC key": es,
            "jwk": lambda: es({"jwk": JWK}),
            "jku": lambda: es({"jku": "https://evil.example/keys.json"}),
            "x5u": lambda: es({"x5u": "https://evil.example/chain.pem"}),
            "x5c": lambda: es({"x5c": ["MIIB"]}),
            "kid of a file": lambda: es({"kid": "../../dev/null"}),
            "ES256K": lambda: with_token(
                resigned(sign({"alg": "ES256K"}), sign_es({}).rpartition(".")[2]), "/es"
            ),
            "a signature of zeros": lambda: with_token(
                resigned(sign_es({}), part(bytes(64))), "/es"
            ),
        },
    ),
    HandshakeClass(
        name="header, key ID",
        good=lambda: with_kid("2026-b"),
        rows={
            "missing": lambda: with_token(sign(key=KEYS["2026-b"]), "/kid"),
            "null": lambda: with_kid(None),
            "unknown": lambda: with_kid("2027-a"),
            "of another key": lambda: with_kid("2026-a"),
            "taken out of rotation": lambda: with_kid("2025-b", OLD_KEY),
            "taken out, under a new name": lambda: with_kid("2026-a", OLD_KEY),
            "empty": lambda: with_kid(""),
            "a number": lambda: with_kid(2026),
            "a list": lambda: with_kid(["2026-b"]),
            "an object": lambda: with_kid({"2026-b": 1}),
            "a file": lambda: with_kid("../../../../dev/null", ""),
            "SQL": lambda: with_kid("x' UNION SELECT 'key';--", "key"),
            "a command": lambda: with_kid("2026-b|whoami"),
            "huge": lambda: with_kid("2026-b" * 900),
            "a null byte": lambda: with_kid("2026-b\x00"),
            "half a surrogate": lambda: with_kid("\ud800"),
            "a dunder": lambda: with_kid("__class__"),
        },
    ),
    HandshakeClass(
        name="header, extensions",
        good=lambda: with_token(headed(typ="at+jwt", cty="text", more=1)),
        rows={
            "an unknown critical one": lambda: with_token(headed(crit=["exp"], exp=1)),
            "a known critical one": lambda: with_token(headed(crit=["b64"], b64=True)),
            "none, critical": lambda: with_token(headed(crit=[])),
            "critical, and no list": lambda: with_token(headed(crit="alg")),
            "critical null": lambda: with_token(headed(crit=None)),
            "a payload that is not encoded": lambda: with_token(headed(crit=["b64"], b64=False)),
            "the same, not critical": lambda: with_token(headed(b64=False)),
            "b64 true": lambda: with_token(headed(b64=True)),
            "another type of token": lambda: with_token(headed(typ="dpop+jwt")),
            "a security event": lambda: with_token(headed(typ="application/secevent+jwt")),
            "a type that is a number": lambda: with_token(headed(typ=1)),
            "a type that is null": lambda: with_token(headed(typ=None)),
            "a type that is a list": lambda: with_token(headed(typ=["JWT"])),
        },
    ),
    HandshakeClass(
        name="header, JSON",
        good=lambda: raw(b' {"alg" : "HS256"} '),
        rows={
            "a list": lambda: raw(b'["HS256"]'),
            "a text": lambda: raw(b'"HS256"'),
            "null": lambda: raw(b"null"),
            "nothing": lambda: raw(b""),
            "no JSON": lambda: raw(b"{alg: HS256}"),
            "two algorithms": lambda: raw(b'{"alg":"none","alg":"HS256"}'),
            "two key IDs": lambda: raw(b'{"alg":"HS256","kid":"a","kid":"b"}'),
            "no number": lambda: raw(b'{"alg":"HS256","n":NaN}'),
            "nested deeply": lambda: raw(b'{"alg":"HS256","n":' + nested(2500).encode() + b"}"),
            "a number of 5,000 digits": lambda: raw(b'{"alg":"HS256","n":' + b"9" * 5000 + b"}"),
            "a byte order mark": lambda: raw(b'\xef\xbb\xbf{"alg":"HS256"}'),
            "UTF-16": lambda: raw('{"alg":"HS256"}'.encode("utf-16")),
            "no UTF-8": lambda: raw(b'{"alg":"HS256","n":"\xff"}'),
            "more behind it": lambda: raw(b'{"alg":"HS256"}{"alg":"none"}'),
        },
    ),
)
