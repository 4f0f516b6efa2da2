"""Tokens, good and forged, and the keys behind them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.settings import SECRET_KEY

AUDIENCE = "hostile"
ISSUER = "https://issuer.example"
ANOTHER_KEY = "the key of somebody else, long enough for every HS algorithm that there is"
KEYS = {
    "2026-a": "the key of the first half of the year, long enough",
    "2026-b": "the key of the second half of the year, long enough",
}
OLD_KEY = "the key of the year before, which is in no list any more"
API_KEY = "Zm9ydHktdGhyZWUgdmlzaWJsZSBjaGFyYWN0ZXJz"

# Derived from numbers, so that a server has the same ones. They protect nothing.
ES_PRIVATE = ec.derive_private_key(20260101, ec.SECP256R1())
ES_OTHER = ec.derive_private_key(666, ec.SECP256R1())
ES_PUBLIC = (
    ES_PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
ES_PUBLIC_DER = ES_PRIVATE.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)

Json = dict[str, Any] | bytes


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good token, but for those given; None omits one."""
    good = {"sub": "7", "exp": int(time.time()) + 60, **changed}
    return {name: value for name, value in good.items() if value is not None}


def full_claims(**changed: Any) -> dict[str, Any]:
    """The same for the endpoint that asks for everything."""
    return claims(**{"aud": AUDIENCE, "iss": ISSUER, "role": "editor", "jti": "1", **changed})


def token(key: Any = SECRET_KEY, algorithm: str = "HS256", **changed: Any) -> str:
    """A token that is good for `/jwt`, but for what is changed."""
    return jwt.encode(claims(**changed), key, algorithm=algorithm)


def full_token(**changed: Any) -> str:
    """A token that is good for `/full`, but for what is changed."""
    return sign(payload=full_claims(**changed))


def part(data: Json) -> str:
    """One part of a token."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(
    header: Json | None = None,
    payload: Json | None = None,
    *,
    key: str | bytes = SECRET_KEY,
    digest: str = "sha256",
) -> str:
    """A token with a good signature by hand: PyJWT would not make any header and payload."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    signed = f"{part(header)}.{part(claims() if payload is None else payload)}"
    secret = key.encode() if isinstance(key, str) else key
    return f"{signed}.{part(hmac.new(secret, signed.encode(), getattr(hashlib, digest)).digest())}"


def sign_es(header: dict[str, Any], key: Any = ES_PRIVATE) -> str:
    """A token with a good signature by an EC key, and more in its header."""
    return jwt.encode(claims(), key, algorithm="ES256", headers=header)


def headed(**members: Any) -> str:
    """A good token with more in its header; its algorithm stays."""
    return sign({"alg": "HS256", "typ": "JWT", **members})


def claiming(text: str) -> str:
    """A token with a good signature over this text."""
    return sign(payload=text.encode())


def nested(depth: int) -> str:
    """Arrays in each other."""
    return "[" * depth + "]" * depth


def flipped(good: str, place: int = -10) -> str:
    """The token with one character changed."""
    letters = list(good)
    letters[place] = "A" if letters[place] != "A" else "B"
    return "".join(letters)


def resigned(good: str, signature: str) -> str:
    """The token with another signature."""
    return f"{good.rpartition('.')[0]}.{signature}"
