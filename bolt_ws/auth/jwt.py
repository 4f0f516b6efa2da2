"""JSON Web Tokens, from `?token=` or the Authorization header (RFC 7519, RFC 8725)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

import jwt
from jwt.algorithms import get_default_algorithms

from ..conf import jwt_key
from ..context import Identity
from ..exceptions import AuthenticationFailed, DeclarationError
from ..handshake import Handshake
from .backends import Authentication, nonblocking

MAX_TOKEN_LENGTH: Final = 8192
"""Characters; a longer token is refused before it is decoded."""
MINIMUM_KEY_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The shortest key that RFC 7518 section 3.2 allows."""

_INVALID = "Invalid token"


class JWTAuthentication(Authentication):
    """A signed token says who connects; no database is asked.

    `key` None is `BOLT_WS["JWT_KEY"]`, else `SECRET_KEY`. `exp` is required, as is the claim that
    `user_id_claim` names. A token with an audience is refused unless `audience` names it. `leeway`
    is in seconds.
    """

    taken: ClassVar[frozenset[str]] = frozenset({"token"})

    def __init__(
        self,
        key: str | bytes | None = None,
        algorithms: Sequence[str] = ("HS256",),
        user_id_claim: str = "sub",
        audience: str | Iterable[str] | None = None,
        issuer: str | Sequence[str] | None = None,
        leeway: float = 0,
    ) -> None:
        _check_algorithms(algorithms)
        if key is not None and not key:
            raise DeclarationError("JWTAuthentication: the key is empty")
        self._key = key
        self.algorithms = tuple(algorithms)
        self.user_id_claim = user_id_claim
        self.audience = audience
        self.issuer = issuer
        self.leeway = leeway

    @property
    def key(self) -> str | bytes:
        """The key that signatures are verified with."""
        return jwt_key() if self._key is None else self._key

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Identity | None:
        """Verify the token, if there is one. Raises `AuthenticationFailed`."""
        token = _find_token(websocket)
        return None if token is None else self._identify(self.decode(token))

    def decode(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token. Raises `AuthenticationFailed`."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise AuthenticationFailed("Token too long")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.key,
                algorithms=list(self.algorithms),
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.leeway,
                options={"require": ["exp", self.user_id_claim]},
            )
        except jwt.ExpiredSignatureError:
            raise AuthenticationFailed("Token expired", code="token_expired") from None
        except jwt.InvalidKeyError:
            raise  # ours, not the client's: a key of the wrong kind is a 500
        # PyJWT lets through what int() and the JSON decoder raise for absurd numbers and nesting.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise AuthenticationFailed(_INVALID) from None
        # PyJWT also takes "1700000000"; RFC 7519 section 2 wants a number.
        if type(claims["exp"]) not in (int, float):
            raise AuthenticationFailed(_INVALID)
        return claims

    def _identify(self, claims: dict[str, Any]) -> Identity:
        user_id = claims[self.user_id_claim]
        if type(user_id) not in (str, int) or user_id == "":
            raise AuthenticationFailed(_INVALID)
        permissions = claims.get("permissions", ())
        if not isinstance(permissions, list | tuple):
            raise AuthenticationFailed(_INVALID)
        return Identity(
            user_id=str(user_id),
            is_staff=claims.get("is_staff") is True,
            is_superuser=claims.get("is_superuser") is True,
            permissions=frozenset(each for each in permissions if isinstance(each, str)),
            claims=claims,
        )


def _find_token(websocket: Handshake) -> str | None:
    tokens = websocket.take_query_param("token")
    if len(tokens) > 1:
        raise AuthenticationFailed("More than one token")
    if tokens:
        return tokens[0]
    scheme, _, credential = websocket.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    return credential.strip()


def _check_algorithms(algorithms: Sequence[str]) -> None:
    if isinstance(algorithms, str) or not algorithms:
        raise DeclarationError(
            f"JWTAuthentication: algorithms must be a list such as ['HS256'], not {algorithms!r}"
        )
    known = get_default_algorithms().keys() - {"none"}
    for algorithm in algorithms:
        if algorithm not in known:
            raise DeclarationError(
                f"JWTAuthentication: unknown algorithm {algorithm!r}; "
                f"known here: {', '.join(sorted(known))}"
            )
    # RFC 8725 section 3.1: with a shared and a public key in one place, one passes for the other.
    if len({algorithm.startswith("HS") for algorithm in algorithms}) > 1:
        raise DeclarationError(
            "JWTAuthentication: HS algorithms verify with a shared key, the others with a public "
            "one; give each its own endpoints"
        )
