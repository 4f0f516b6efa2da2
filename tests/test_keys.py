"""The keys that a token's signature is verified with."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from django.conf import settings
from jwt.algorithms import get_default_algorithms

from bolt_ws import DeclarationError
from bolt_ws.auth import AuthenticationFailed, JWTAuthentication
from tests.support import make_token
from tests.test_jwt import sign_parts

OLD, NEW = "an old key, long enough for HS256, of 2024", "a new key, long enough for HS256, of 2025"

MAKERS: dict[str, Callable[[], Any]] = {
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "short RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}
KEY_OF = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "ES521": "P-521",
    "ES256K": "secp256k1",
    "EdDSA": "Ed25519",
}


@functools.cache
def _make(kind: str, number: int) -> Any:
    return MAKERS[kind]()


def private(kind: str, number: int = 0) -> Any:
    """A private key; another one for another number."""
    return _make(kind, number)


def public(kind: str, number: int = 0) -> Any:
    return private(kind, number).public_key()


def pem(key: Any) -> bytes:
    """A key as PEM, private or public."""
    if hasattr(key, "private_bytes"):
        pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        written: bytes = key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)
    else:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        written = key.public_bytes(serialization.Encoding.PEM, form)
    return written


def signed(key: Any, algorithm: str, kid: str | None = None, **claims: Any) -> str:
    claims = {"sub": "7", "exp": int(time.time()) + 60, **claims}
    return jwt.encode(claims, key, algorithm, headers=None if kid is None else {"kid": kid})


def takes(backend: JWTAuthentication, token: str) -> bool:
    try:
        return bool(backend.decode(token)["sub"] == "7")
    except AuthenticationFailed:
        return False


def test_every_algorithm_of_pyjwt_is_tried_here() -> None:
    known = {each for each in get_default_algorithms() if each[:2] not in ("no", "HS")}
    assert known == KEY_OF.keys()


@pytest.mark.parametrize("algorithm", KEY_OF)
@pytest.mark.parametrize("form", ["object", "bytes", "text"])
def test_a_public_key(algorithm: str, form: str) -> None:
    kind = KEY_OF[algorithm]
    key: Any = public(kind)
    if form != "object":
        key = pem(key) if form == "bytes" else pem(key).decode()
    backend = JWTAuthentication(public_key=key, algorithms=[algorithm])
    assert takes(backend, signed(private(kind), algorithm))
    assert takes(backend, signed(private(kind), algorithm, kid="whatever"))
    assert not takes(backend, signed(private(kind, 1), algorithm))
    assert not takes(backend, make_token())
    assert backend.secrets == ()


def test_ed448_is_eddsa_too() -> None:
    backend = JWTAuthentication(public_key=public("Ed448"), algorithms=["EdDSA"])
    assert takes(backend, signed(private("Ed448"), "EdDSA"))


def test_an_rsa_key_verifies_rs_and_ps_where_both_are_named() -> None:
    both = JWTAuthentication(public_key=public("RSA"), algorithms=["RS256", "PS256"])
    only = JWTAuthentication(public_key=public("RSA"), algorithms=["RS256"])
    for algorithm in ("RS256", "PS256"):
        token = signed(private("RSA"), algorithm)
        assert takes(both, token)
        assert takes(only, token) is (algorithm == "RS256")


def test_a_pem_key_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = JWTAuthentication(public_key=pem(public("RSA")), algorithms=["RS256"])
    monkeypatch.setattr("jwt.algorithms.load_pem_public_key", None)
    assert takes(backend, signed(private("RSA"), "RS256"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {"public_key": public("RSA")}, "a public_key verifies no HS256"),
        (lambda: {"algorithms": ["RS256"]}, "RS256 needs a public_key"),
        (lambda: {"public_key": b"", "algorithms": ["RS256"]}, "the public_key is empty"),
        (lambda: {"public_key": OLD, "algorithms": ["RS256"]}, "the public_key cannot verify"),
        (lambda: {"public_key": object(), "algorithms": ["ES256"]}, "cannot verify ES256"),
        (lambda: {"public_key": public("P-256"), "algorithms": ["RS256"]}, "cannot verify RS256"),
        (lambda: {"public_key": pem(public("RSA")), "algorithms": ["ES256"]}, "verify ES256"),
        (lambda: {"public_key": public("RSA"), "algorithms": ["EdDSA"]}, "verify EdDSA"),
        (lambda: {"public_key": public("P-256"), "algorithms": ["ES384"]}, "verify ES384"),
        (
            lambda: {"public_key": public("P-256"), "algorithms": ["ES256", "ES384"]},
            "the public_key cannot verify ES384",
        ),
        (lambda: {"public_key": public("short RSA"), "algorithms": ["RS256"]}, "1024 bits long"),
        (lambda: {"public_key": private("RSA"), "algorithms": ["RS256"]}, "is a private key"),
        (lambda: {"public_key": pem(private("RSA")), "algorithms": ["PS256"]}, "is a private key"),
        (lambda: {"key": pem(private("P-256")), "algorithms": ["ES256"]}, "is a private key"),
        (lambda: {"public_key": private("Ed25519"), "algorithms": ["EdDSA"]}, "a private key"),
        (lambda: {"key": pem(public("RSA"))}, "the key cannot verify HS256"),
        (lambda: {"keys": {}}, "keys must be a mapping"),
        (lambda: {"keys": [OLD]}, "keys must be a mapping"),
        (lambda: {"keys": {"": OLD}}, "a key ID is text"),
        (lambda: {"keys": {1: OLD}}, "a key ID is text"),
        (lambda: {"keys": {"a": ""}}, "the key 'a' is empty"),
        (lambda: {"keys": {"a": None}}, "the key 'a' is empty"),
        (lambda: {"keys": {"a": OLD, "b": pem(public("RSA"))}}, "the key 'b' cannot verify HS256"),
        (
            lambda: {"keys": {"a": public("RSA"), "b": OLD}, "algorithms": ["RS256"]},
            "the key 'b' cannot verify RS256",
        ),
        (lambda: {"keys": {"a": private("RSA")}, "algorithms": ["RS256"]}, "is a private key"),
        (lambda: {"key": OLD, "public_key": public("RSA")}, "key and public_key are given"),
        (lambda: {"key": OLD, "keys": {"a": OLD}}, "key and keys are given"),
        (lambda: {"keys": {"a": OLD}, "jwks_url": "https://a/"}, "keys and jwks_url are given"),
        (lambda: {"key": "", "jwks_url": "https://a/"}, "key and jwks_url are given"),
    ],
)
def test_keys_that_cannot_work(make: Callable[[], dict[str, Any]], message: str) -> None:
    with pytest.raises(DeclarationError, match=message) as raised:
        JWTAuthentication(**make())
    assert str(raised.value).startswith("JWTAuthentication: ")
    assert OLD not in str(raised.value)
    assert "BEGIN" not in str(raised.value)


# Several keys


def test_the_key_that_the_token_names() -> None:
    backend = JWTAuthentication(keys={"2024": OLD, "2025": NEW})
    assert takes(backend, signed(OLD, "HS256", kid="2024"))
    assert takes(backend, signed(NEW, "HS256", kid="2025"))
    assert not takes(backend, signed(NEW, "HS256", kid="2024"))
    assert not takes(backend, signed(OLD, "HS256", kid="2023"))
    assert not takes(backend, signed(OLD, "HS256", kid=""))
    assert not takes(backend, signed(OLD, "HS256"))
    assert not takes(backend, signed(settings.SECRET_KEY, "HS256", kid="2024"))
    assert backend.secrets == (OLD.encode(), NEW.encode())


def test_one_key_needs_no_name_but_a_wrong_one_is_wrong() -> None:
    backend = JWTAuthentication(keys={"2025": NEW})
    assert takes(backend, signed(NEW, "HS256"))
    assert takes(backend, signed(NEW, "HS256", kid="2025"))
    assert not takes(backend, signed(NEW, "HS256", kid="2024"))


def test_keys_of_several_curves() -> None:
    keys = {"a": public("P-256"), "b": pem(public("P-384"))}
    backend = JWTAuthentication(keys=keys, algorithms=["ES256", "ES384"])
    assert takes(backend, signed(private("P-256"), "ES256", kid="a"))
    assert takes(backend, signed(private("P-384"), "ES384", kid="b"))
    assert not takes(backend, signed(private("P-256"), "ES256", kid="b"))
    assert not takes(backend, signed(private("P-384"), "ES384", kid="a"))


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", "a" * 4000, "\x00", "é"])
def test_a_hostile_key_id_is_an_unknown_one(kid: str) -> None:
    assert not takes(JWTAuthentication(keys={"a": OLD, "b": NEW}), signed(OLD, "HS256", kid=kid))


@pytest.mark.parametrize("kid", [b"null", b"1", b"true", b'["a"]', b'{"a":1}'])
@pytest.mark.parametrize("others", [{}, {"b": NEW}])
def test_a_key_id_that_is_no_text(kid: bytes, others: dict[str, str]) -> None:
    backend = JWTAuthentication(keys={"a": settings.SECRET_KEY, **others})
    payload = b'{"sub":"7","exp":9999999999}'
    assert takes(backend, sign_parts(b'{"alg":"HS256","kid":"a"}', payload))
    assert not takes(backend, sign_parts(b'{"alg":"HS256","kid":' + kid + b"}", payload))


def test_nothing_shows_a_key() -> None:
    for backend in (
        JWTAuthentication(key=OLD),
        JWTAuthentication(keys={"a": OLD}),
        JWTAuthentication(public_key=pem(public("RSA")), algorithms=["RS256"]),
    ):
        assert repr(backend) == "<JWTAuthentication>"
        assert OLD not in repr(vars(backend))
