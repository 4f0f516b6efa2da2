"""Keys of programs, in a header if nothing else is said. Only their hashes are known here."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import inspect
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from ..context import Identity
from ..exceptions import AuthenticationFailed, DeclarationError
from ..handshake import Handshake
from .backends import Authentication, nonblocking, resolved
from .detached import in_thread
from .sources import Header, Source, check_sources, take_all, take_credential

MIN_KEY_LENGTH: Final = 32
"""Characters; 32 hexadecimal digits are 128 bits."""
MAX_KEY_LENGTH: Final = 512
"""Characters."""

_HASH = re.compile(r"[0-9a-f]{64}")

Find = Callable[[str], Identity | Awaitable[Identity | None] | None]
"""Returns who has the key with this hash, or None. Sync or async."""


def generate_api_key() -> str:
    """Return a new random key of 43 characters, 256 bits. Show it once and keep its hash."""
    return secrets.token_urlsafe(32)


def hash_api_key(key: str) -> str:
    """Return the SHA-256 of `key` in hexadecimal, which is what `APIKeyAuthentication` knows.

    Raises `ValueError` for a key that could be guessed from its hash, being short, or that a
    header cannot carry.
    """
    if not _is_key(key):
        raise ValueError(
            f"an API key has {MIN_KEY_LENGTH} to {MAX_KEY_LENGTH} visible ASCII characters; "
            "generate_api_key() makes one"
        )
    # No salt and no work factor: those protect passwords, which can be guessed. A random key of
    # 128 bits and more cannot, whoever has the hash.
    return hashlib.sha256(key.encode()).hexdigest()


class APIKeyAuthentication(Authentication):
    """A key says who connects.

    `keys` says whose key each hash is, as an `Identity` or a user's id; or `find` does, for keys in
    a model: it is called with the hash. Hashes are made with `hash_api_key`. The key comes from one
    of `sources`, and nobody sees it there after authentication. Raises `DeclarationError`.
    """

    def __init__(
        self,
        keys: Mapping[str, Identity | str] | None = None,
        *,
        find: Find | None = None,
        sources: Sequence[Source] = (Header("X-API-Key", scheme=None),),
    ) -> None:
        if (keys is None) == (find is None):
            raise DeclarationError("APIKeyAuthentication takes either keys or find")
        if find is not None and not callable(find):
            kind = type(find).__qualname__
            raise DeclarationError(f"APIKeyAuthentication: find is a function, not {kind}")
        self._keys = None if keys is None else _check_keys(keys)
        self._find = None if find is None else _awaitable(find)
        self.sources = check_sources(sources)
        self.taken = frozenset[str]().union(*(source.taken for source in self.sources))

    @property
    def is_ambient(self) -> bool:
        """Whether one of the sources is a cookie."""
        return any(source.is_ambient for source in self.sources)

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Identity | Awaitable[Identity] | None:
        """Look for a key, and whose it is. Raises `AuthenticationFailed`."""
        found = take_credential(self.sources, websocket)
        if found is None:
            return None
        key, source = found
        if not _is_key(key):
            raise _invalid()
        digest = hash_api_key(key)
        if self._find is None:
            return _from(source, self._search(digest))
        return self._ask(digest, source)

    def discard_credentials(self, websocket: Handshake) -> None:
        """Take all keys out of the handshake, unread."""
        take_all(self.sources, websocket)

    def _search(self, digest: str) -> Identity:
        assert self._keys is not None
        identity = None
        # All are compared, each to its end: how long it takes says nothing of how near a guess is.
        for known, holder in self._keys.items():
            if hmac.compare_digest(known, digest):
                identity = holder
        if identity is None:
            raise _invalid()
        return identity

    async def _ask(self, digest: str, source: Source) -> Identity:
        # `find` looks the hash up, and the time of that may say how much of it some key has in
        # common with another. That is no help: nobody can choose what his guess hashes to.
        assert self._find is not None
        identity = await resolved(self._find(digest))
        if identity is None:
            raise _invalid()
        if not isinstance(identity, Identity):
            raise TypeError(f"find returned {type(identity).__qualname__}, and no Identity")
        return _from(source, identity)


def _from(source: Source, identity: Identity) -> Identity:
    return dataclasses.replace(identity, is_ambient=True) if source.is_ambient else identity


def _check_keys(keys: Mapping[str, Identity | str]) -> dict[str, Identity]:
    if not isinstance(keys, Mapping):
        raise DeclarationError(
            "APIKeyAuthentication: keys say whose each hash is: {hash_api_key(key): user_id}"
        )
    checked = {}
    for number, (known, holder) in enumerate(keys.items(), start=1):
        if not isinstance(known, str) or not _HASH.fullmatch(known):
            # Not shown: it may be the key itself.
            raise DeclarationError(
                f"APIKeyAuthentication: key number {number} is no hash; hash_api_key(key) makes one"
            )
        try:
            checked[known] = holder if isinstance(holder, Identity) else Identity(holder)
        except (TypeError, ValueError) as error:
            raise DeclarationError(f"APIKeyAuthentication: key number {number}: {error}") from None
    return checked


def _is_key(key: str) -> bool:
    # isprintable() allows a space, and a header's value has none at its ends.
    is_visible = key.isascii() and key.isprintable() and " " not in key
    return is_visible and MIN_KEY_LENGTH <= len(key) <= MAX_KEY_LENGTH


def _awaitable(find: Find) -> Callable[[str], Any]:
    """Return `find`, made to run where it blocks nobody, as `authenticate` itself is run."""
    functions = (find, getattr(type(find), "__call__", None))  # noqa: B004
    if any(map(inspect.iscoroutinefunction, functions)) or getattr(find, "nonblocking", False):
        return find
    return lambda digest: in_thread(find, digest)


def _invalid() -> AuthenticationFailed:
    return AuthenticationFailed("Invalid API key")
