"""JSON Web Tokens: who holds one, signed with a key that we know (RFC 7519, RFC 8725)."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final

import jwt
from django.utils.http import urlsafe_base64_decode

from ..conf import jwt_key
from ..context import Identity
from ..exceptions import AuthenticationFailed, DeclarationError
from ..handshake import Handshake
from .backends import Authentication, nonblocking
from .jwks import RemoteKeys
from .keys import (
    MINIMUM_KEY_BYTES,
    FindKey,
    VerificationKey,
    are_shared,
    check_algorithms,
    compile_keys,
)
from .revocation import RevocationStore, check_revocation
from .sources import Header, Query, Source, check_sources, take_all, take_credential

__all__ = ["MAX_TOKEN_LENGTH", "MINIMUM_KEY_BYTES", "JWTAuthentication"]

MAX_DEPTH: Final = 16
"""Levels of lists and objects; how many Python's own decoder takes depends on its version."""
MAX_TOKEN_LENGTH: Final = 8192
"""Characters; a longer token is refused before it is decoded."""

_INVALID = "Invalid token"
_TYPES: Final = ("jwt", "at+jwt")
"""What the header's `typ` may say, in lower case: RFC 7519 section 5.1, RFC 9068 section 2.1."""


class JWTAuthentication(Authentication):
    """A signed token says who connects; no database is asked.

    The key is one of `key` (shared, for HS algorithms), `public_key` (PEM or a key object of
    `cryptography`), `keys` (several, by the `kid` that a token names) and `jwks_url`; with none, it
    is `BOLT_WS["JWT_KEY"]`, else `SECRET_KEY`.

    `exp` is required, as is the claim that `user_id_claim` names and each of `required_claims`. A
    token with an audience is refused unless `audience` names it. A `token_type` claim must be
    `token_type`; None takes "access" and tokens without the claim. `leeway` is in seconds.
    `sources` are where a token may come from; two tokens in one handshake are refused.
    `revocation` knows the tokens that are valid no longer.

    Raises `DeclarationError` for what cannot work together.
    """

    def __init__(
        self,
        key: str | bytes | None = None,
        algorithms: Sequence[str] = ("HS256",),
        user_id_claim: str = "sub",
        audience: str | Iterable[str] | None = None,
        issuer: str | Iterable[str] | None = None,
        leeway: float = 0,
        *,
        sources: Sequence[Source] = (Query("token"), Header()),
        public_key: Any = None,
        keys: Mapping[str, Any] | None = None,
        jwks_url: str | None = None,
        required_claims: Sequence[str] = (),
        token_type: str | None = None,
        revocation: RevocationStore | None = None,
    ) -> None:
        given = {"key": key, "public_key": public_key, "keys": keys, "jwks_url": jwks_url}
        try:
            _check_only_one(given)
            self.algorithms = check_algorithms(algorithms)
            self.sources = check_sources(sources)
            self._remote = None if jwks_url is None else RemoteKeys(jwks_url, self.algorithms)
            self._find_key: FindKey
            self._local: tuple[VerificationKey, ...] = ()
            if self._remote is not None:
                self._find_key = self._remote.find
            else:
                self._find_key, self._local = compile_keys(self.algorithms, key, public_key, keys)
            self.user_id_claim = _check_text("user_id_claim", user_id_claim)
            self.token_type = None if token_type is None else _check_text("token_type", token_type)
            self.audience = _check_texts("audience", audience)
            self.issuer = _check_texts("issuer", issuer)
            self.leeway = _check_leeway(leeway)
            self.revocation = check_revocation(revocation)
            self._required = ["exp", self.user_id_claim, *_check_required(required_claims)]
        except DeclarationError as error:
            raise DeclarationError(f"{type(self).__name__}: {error}") from None
        self.taken = frozenset[str]().union(*(source.taken for source in self.sources))

    @property
    def is_ambient(self) -> bool:
        """Whether one of the sources is a cookie."""
        return any(source.is_ambient for source in self.sources)

    @property
    def shared_caches(self) -> tuple[str, ...]:
        """That of the revocations."""
        return () if self.revocation is None else (self.revocation.alias,)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The shared keys that signatures are verified with, for checks of their strength."""
        if not are_shared(self.algorithms):
            return ()
        local = [each.material for each in self._local] or [jwt_key()]
        return tuple(each.encode() if isinstance(each, str) else each for each in local)

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Identity | Awaitable[Identity] | None:
        """Verify the token, if there is one. Raises `AuthenticationFailed`.

        Only where the keys of a `jwks_url` must be fetched first, or a cache says what is revoked,
        is there anything to await.
        """
        found = take_credential(self.sources, websocket)
        if found is None:
            return None
        token, source = found
        must_load = self._remote is not None and not self._remote.are_known
        if must_load or self.revocation is not None:
            return self.authenticate_token(token, is_ambient=source.is_ambient)
        return self._identify(self.decode(token), source.is_ambient)

    def discard_credentials(self, websocket: Handshake) -> None:
        """Take all tokens out of the handshake, unread."""
        take_all(self.sources, websocket)

    async def authenticate_token(self, token: str, *, is_ambient: bool = False) -> Identity:
        """Return whose token it is, wherever it came from. Raises `AuthenticationFailed`.

        A `Refusal` with 503 says that the keys of a `jwks_url` cannot be had.
        """
        if self._remote is not None:
            await self._remote.load()
        identity = self._identify(self.decode(token), is_ambient)
        if self.revocation is not None:
            await self.revocation.check(identity)
        return identity

    def decode(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token. Raises `AuthenticationFailed`.

        Raises a `Refusal` with 503 if the keys of a `jwks_url` are not there yet.
        """
        if not isinstance(token, str):
            raise AuthenticationFailed(_INVALID)
        if len(token) > MAX_TOKEN_LENGTH:
            raise AuthenticationFailed("Token too long")
        try:
            key = self._find_key(_read_header(token).get("kid"))
            claims: dict[str, Any] = _DECODER.decode(
                token,
                key.material,
                algorithms=key.algorithms,
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.leeway,
                options={"require": self._required, "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise AuthenticationFailed("Token expired", code="token_expired") from None
        except jwt.InvalidKeyError:
            raise  # ours, not the client's: a key of the wrong kind is a 500
        # PyJWT lets through what int() and the JSON decoder raise for absurd numbers and nesting.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise AuthenticationFailed(_INVALID) from None
        self._check_claims(claims)
        return claims

    def _check_claims(self, claims: dict[str, Any]) -> None:
        # PyJWT also takes "1700000000"; RFC 7519 section 2 wants a number.
        for name in ("exp", "nbf", "iat"):
            if name in claims and type(claims[name]) not in (int, float):
                raise AuthenticationFailed(_INVALID)
        # A refresh token of djangorestframework-simplejwt has the same signature and claims.
        if self.token_type is None and "token_type" not in claims:
            return
        if claims.get("token_type") != (self.token_type or "access"):
            raise AuthenticationFailed(_INVALID)

    def _identify(self, claims: dict[str, Any], is_ambient: bool = False) -> Identity:
        user_id = claims[self.user_id_claim]
        # No control characters and no half surrogates: it goes into logs, names and queries.
        if type(user_id) not in (str, int) or user_id == "" or not str(user_id).isprintable():
            raise AuthenticationFailed(_INVALID)
        permissions = claims.get("permissions", ())
        if not isinstance(permissions, list | tuple):
            raise AuthenticationFailed(_INVALID)
        try:
            expires_at = float(claims["exp"]) + self.leeway
        except OverflowError:  # an integer of 400 digits
            raise AuthenticationFailed(_INVALID) from None
        return Identity(
            user_id=str(user_id),
            is_staff=claims.get("is_staff") is True,
            is_superuser=claims.get("is_superuser") is True,
            permissions=frozenset(each for each in permissions if isinstance(each, str)),
            claims=claims,
            expires_at=expires_at,
            is_ambient=is_ambient,
        )


class _Decoder(jwt.PyJWT):
    """PyJWT, but for JSON that says a thing twice."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        return _read_json(decoded["payload"])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):  # RFC 7519 section 4: the claims' names are unique
        raise ValueError("a name occurs twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")  # NaN and Infinity, which Python's decoder takes


_DECODER: Final = _Decoder()
_parse: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode


def _read_json(data: bytes) -> dict[str, Any]:
    members = _parse(data.decode())
    if not isinstance(members, dict) or not _is_shallow(members.values(), MAX_DEPTH):
        raise ValueError("expected an object, of a few levels")
    return members


def _is_shallow(values: Iterable[Any], depth: int) -> bool:
    """Tell whether there are no more levels. What is deeper breaks whoever walks through it."""
    inner = [each for each in values if isinstance(each, dict | list)]
    return not inner or (
        depth > 1
        and all(
            _is_shallow(each.values() if isinstance(each, dict) else each, depth - 1)
            for each in inner
        )
    )


def _read_header(token: str) -> dict[str, Any]:
    """Return the header, unverified. Raises `ValueError` for one that asks for more than a key.

    What it says of keys (`jwk`, `jku`, `x5u`, `x5c`) is never read (RFC 8725 section 3.10).
    """
    header = _read_json(urlsafe_base64_decode(token.partition(".")[0]))
    # RFC 7515 section 4.1.11: what is critical must be understood, and we understand none of it.
    if "crit" in header or "b64" in header:
        raise ValueError("an extension is critical")
    # RFC 8725 section 3.11: a token that says it is something else is not taken for one of ours.
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in _TYPES:
        raise ValueError("a token of another type")
    return header


def _check_only_one(keys: Mapping[str, Any]) -> None:
    given = [name for name, value in keys.items() if value is not None]
    if len(given) > 1:
        raise DeclarationError(f"{' and '.join(given)} are given: it takes one of them")


def _check_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise DeclarationError(f"{name} must be text, not {value!r}")
    return value


def _check_texts(name: str, value: Any) -> str | list[str] | None:
    if value is None or (isinstance(value, str) and value):
        return value
    texts = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if not texts or not all(isinstance(each, str) and each for each in texts):
        raise DeclarationError(f"{name} must be text or a list of texts, not {value!r}")
    return texts


def _check_required(names: Any) -> list[str]:
    if not isinstance(names, list | tuple | set | frozenset):
        raise DeclarationError(f"required_claims must be a list of names, not {names!r}")
    return [_check_text("required_claims: a name", each) for each in names]


def _check_leeway(leeway: Any) -> float:
    if type(leeway) not in (int, float) or not (0 <= leeway < math.inf):
        raise DeclarationError(f"leeway must be seconds, 0 or more, not {leeway!r}")
    return float(leeway)
