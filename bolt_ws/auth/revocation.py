"""Tokens that are valid no longer, although they have not expired."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, Final

from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache

from ..context import Identity, user_text
from ..exceptions import AuthenticationFailed, DeclarationError
from .detached import in_thread

MARGIN: Final = 3600.0
"""Seconds that a revocation is kept beyond the token's end, for clocks that differ and a leeway."""

wall_clock = time.time
"""Seconds since the epoch, as tokens have it."""


class RevocationStore:
    """Which tokens are revoked, in one of Django's caches: `JWTAuthentication(revocation=...)`.

    All processes must share the cache, and it must not drop what is not due: what it forgets is
    valid again. Where it fails, nobody gets in. Raises `DeclarationError` for a cache that
    `settings.CACHES` does not have.
    """

    def __init__(self, cache: str = "default") -> None:
        if cache not in caches.settings:
            raise DeclarationError(f"RevocationStore: settings.CACHES has no {cache!r}")
        self.alias = cache

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in the cache {self.alias!r}>"

    def revoke(self, jti: str | int, until: float | None = None) -> None:
        """Revoke the one token whose claim `jti` this is (RFC 7519 section 4.1.7).

        `until` is the token's `exp`, in seconds since the epoch; without it, the revocation is kept
        for ever. Raises `RuntimeError` if the cache does not keep it.
        """
        if not _is_name(jti):
            raise TypeError(f"revoke() takes the claim 'jti', a text, not {jti!r}")
        timeout = None if until is None else max(until - wall_clock(), 0) + MARGIN
        self._keep(_token_key(jti), True, timeout)

    def revoke_user(self, user_id: object) -> None:
        """Revoke all tokens of a user that were issued before now, as the claim `iat` says.

        `iat` has whole seconds as a rule: a token of the present second is revoked as well, issued
        before this call or after it. A token without `iat` is revoked whenever it was issued.
        Raises `RuntimeError` if the cache does not keep it.
        """
        self._keep(_user_key(user_text(user_id)), wall_clock(), None)

    def is_revoked(self, claims: Mapping[str, Any], user_id: str | None = None) -> bool:
        """Tell whether a token is revoked. `user_id` is who it is of, None for the claim `sub`.

        What the cache raises is raised on.
        """
        keys, jti = {}, claims.get("jti")
        if jti is not None:
            if not _is_name(jti):
                return True  # nobody could revoke it
            keys["jti"] = _token_key(jti)
        user_id = claims.get("sub") if user_id is None else user_id
        if user_id is not None:
            keys["user"] = _user_key(str(user_id))
        found = self._cache.get_many(keys.values())
        if keys.get("jti") in found:
            return True
        revoked_at, issued_at = found.get(keys.get("user")), claims.get("iat")
        if revoked_at is None:
            return False
        was_later: bool = isinstance(issued_at, int | float) and issued_at > revoked_at
        return not was_later

    async def arevoke(self, jti: str | int, until: float | None = None) -> None:
        """Do what `revoke` does."""
        await in_thread(self.revoke, jti, until)

    async def arevoke_user(self, user_id: object) -> None:
        """Do what `revoke_user` does."""
        await in_thread(self.revoke_user, user_id)

    async def ais_revoked(self, claims: Mapping[str, Any], user_id: str | None = None) -> bool:
        """Do what `is_revoked` does."""
        # In one thread call, for a cache in the database too: of its own, Django makes one a key.
        return await in_thread(self.is_revoked, claims, user_id)

    async def check(self, identity: Identity) -> None:
        """Raise `AuthenticationFailed` if the token that says who is there is revoked."""
        if await self.ais_revoked(identity.claims, identity.user_id):
            raise AuthenticationFailed("Token revoked", code="token_revoked")

    @property
    def _cache(self) -> BaseCache:
        cache = caches[self.alias]
        if isinstance(cache, DummyCache):
            raise RuntimeError(f"{self!r} keeps nothing: that is a DummyCache")
        return cache

    def _keep(self, key: str, value: float, timeout: float | None) -> None:
        cache = self._cache
        cache.set(key, value, timeout)
        kept = cache.get(key)  # many a cache says nothing when it is full or cannot be reached
        if kept is None or kept < value:
            raise RuntimeError(f"{self!r} did not keep a revocation")


def check_revocation(revocation: object) -> RevocationStore | None:
    """Return the store. Raises `DeclarationError` for what is none."""
    if revocation is not None and not isinstance(revocation, RevocationStore):
        raise DeclarationError(f"revocation must be a RevocationStore(), not {revocation!r}")
    return revocation


def _is_name(jti: object) -> bool:
    return type(jti) in (str, int) and jti != ""


# Hashed: a cache need not take any text as a key, and it is nobody's business.
def _token_key(jti: str | int) -> str:
    return f"bolt_ws:revoked:token:{_hashed(str(jti))}"


def _user_key(user_id: str) -> str:
    return f"bolt_ws:revoked:user:{_hashed(user_id)}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
