"""Keys that an issuer publishes: a JSON Web Key Set, cached (RFC 7517)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from ..exceptions import AuthenticationFailed, DeclarationError, Refusal
from .download import download_json
from .keys import VerificationKey, are_shared, compile_key

logger = logging.getLogger("bolt_ws")

REFRESH_AFTER: Final = 300.0
"""Seconds after which keys are fetched anew, in the background of the next connect."""
KEEP_FOR: Final = 3600.0
"""Seconds that keys are good for while the key server does not answer."""
COOLDOWN: Final = 10.0
"""Seconds between two fetches: an attacker's key IDs must not become a flood for the issuer."""
FETCH_TIMEOUT: Final = 3.0
"""Seconds for a step of a fetch: shorter than the deadline of admission."""
ABANDON_AFTER: Final = 30.0
"""Seconds after which a fetch is given up, whose answer drips for instance, and none is used."""


class RemoteKeys:
    """The keys of a `jwks_url`. Only the first fetch has a connect wait for it.

    Raises `DeclarationError` for a URL that is not HTTPS: who can change the keys on their way lets
    in anybody.
    """

    def __init__(self, url: Any, algorithms: tuple[str, ...]) -> None:
        if are_shared(algorithms):
            raise DeclarationError(
                f"a jwks_url holds public keys, which verify no {algorithms[0]}: name their "
                "algorithms, ['RS256'] for instance"
            )
        self._host = _check_url(url)
        self._url: str = url
        self._algorithms = algorithms
        self._keys: Mapping[str, VerificationKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetch: Future[None] | None = None
        self._lock = Lock()

    @property
    def are_known(self) -> bool:
        """Whether there are keys to verify with, without waiting."""
        return bool(self._keys) and monotonic() - self._fetched_at < KEEP_FOR

    def find(self, kid: Any) -> VerificationKey:
        """Return the key that `kid` names. Never waits.

        Raises `AuthenticationFailed` for an unknown one, and a `Refusal` with 503 while no keys are
        known.
        """
        if not self.are_known:
            self._refresh()
            raise Refusal(
                503,
                "keys_unavailable",
                "The keys to verify tokens with are not available",
                {"Retry-After": str(int(COOLDOWN))},
            )
        found = self._keys.get(kid)
        if found is None or monotonic() - self._fetched_at > REFRESH_AFTER:
            self._refresh()  # an unknown one may be new
        if found is None:
            raise AuthenticationFailed("Invalid token")
        return found

    async def load(self) -> None:
        """Wait for the keys, if none are known and a fetch is due or under way."""
        if not self.are_known and (fetch := self._refresh()) is not None:
            await asyncio.wrap_future(fetch)

    def _refresh(self) -> Future[None] | None:
        with self._lock:
            if monotonic() - self._tried_at >= ABANDON_AFTER:
                self._fetch = None  # its thread may hang on; whatever it brings comes too late
            if self._fetch is None and monotonic() - self._tried_at >= COOLDOWN:
                self._tried_at = monotonic()
                self._fetch = Future()
                self._fetch.set_running_or_notify_cancel()  # one who stops waiting stops only that
                # A daemon: a server that is told to stop does not wait for an issuer.
                Thread(target=self._run, args=[self._fetch], daemon=True).start()
            return self._fetch

    def _run(self, fetch: Future[None]) -> None:
        try:
            keys = self._fetch_keys()
            with self._lock:
                if self._fetch is fetch:
                    self._keys, self._fetched_at = keys, monotonic()
        except jwt.PyJWTError as error:
            logger.warning("Cannot fetch the keys of %s: %s", self._host, ascii(str(error)))
        except Exception:
            logger.exception("Cannot fetch the keys of %s", self._host)
        finally:
            with self._lock:
                if self._fetch is fetch:
                    self._fetch = None
            fetch.set_result(None)

    def _fetch_keys(self) -> Mapping[str, VerificationKey]:
        answer = download_json(self._url, step=FETCH_TIMEOUT, total=ABANDON_AFTER)
        members = answer.get("keys") if isinstance(answer, dict) else None
        found: dict[str, VerificationKey] = {}
        for member in members if isinstance(members, list) else ():
            kid = member.get("kid") if isinstance(member, dict) else None
            if isinstance(kid, str) and kid and (key := self._read(member)) is not None:
                found.setdefault(kid, key)
        if not found:
            raise jwt.PyJWKSetError(f"no public key for {', '.join(self._algorithms)} among them")
        return found

    def _read(self, member: dict[str, Any]) -> VerificationKey | None:
        """Return a member of the set as a key, None if it is not for us."""
        declared = member.get("alg")
        algorithms = [each for each in self._algorithms if declared in (None, each)]
        if member.get("use") not in (None, "sig") or not algorithms or member.get("kty") == "oct":
            return None
        try:
            return compile_key(jwt.PyJWK(member).key, algorithms, "a key of the set")
        except Exception:  # RFC 7517 section 5: what is not understood is to be ignored
            return None


def _check_url(url: Any) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme == "https" and parts.hostname and "@" not in parts.netloc:
            return ascii(parts.hostname)
    except (AttributeError, TypeError, ValueError):
        pass
    raise DeclarationError("jwks_url must be a URL of https, without a password")
