"""How long a connection may stay: until its credential expires or it is told to go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .auth.backends import resolved, unblocked
from .bounds import Bounds
from .context import Identity
from .exceptions import AuthenticationFailed, WebSocketDisconnected
from .interruption import Interruption
from .registry import Departure, Entry, Leave, registry, told_by
from .states import WebSocketState
from .upkeep import Care, release, take_care
from .websocket import WebSocket


class Permit(Entry):
    """What one connection stays on, from its handshake to its end."""

    __slots__ = ("_care", "_closes_at_expiry")

    def __init__(
        self,
        websocket: WebSocket,
        leave: Leave,
        bounds: Bounds,
        interruption: Interruption,
        *,
        closes_at_expiry: bool,
    ) -> None:
        super().__init__(websocket, leave)
        self._closes_at_expiry = closes_at_expiry
        registry.enter(self)
        self._care: Care | None = take_care(self, bounds, interruption)

    def grant(self) -> None:
        """Let a connection stay that has passed admission.

        Raises a `Refusal` if its credential has expired meanwhile or it was told to go.
        """
        registry.admit(self)
        identity = self.websocket.auth
        if identity is not None:
            self._expire_with(identity)
            self.websocket.reauthenticate_by(self._reauthenticate)
        if self._care is not None:
            self._care.begin()

    def end(self) -> None:
        """Let go of a connection that has ended, or was not admitted."""
        super().end()
        registry.discard(self)
        release(self)
        self._care = None  # it refers back

    def _expire_with(self, identity: Identity) -> None:
        if self._closes_at_expiry and self._care is not None:
            self._care.expire_at(identity.expires_at)

    async def _reauthenticate(self, token: str) -> None:
        backend = self.websocket.backend
        verify: Callable[[Any], Any] | None = getattr(backend, "authenticate_token", None)
        if verify is None:
            raise RuntimeError(
                f"Cannot reauthenticate: {type(backend).__name__} has no authenticate_token()"
            )
        if not isinstance(token, str):  # the client's own words may be any JSON
            raise AuthenticationFailed("Invalid token")
        registry.enter(self)  # a token may be revoked, and its connections told, meanwhile
        try:
            await self._identify_by(unblocked(verify), token)
        finally:
            orders = registry.settle(self)
        departure = told_by(orders, self.websocket)
        if departure is not None:
            self.leave(departure)
            await asyncio.sleep(0)  # it begins before the handler can end in another way
            raise self._gone(departure)

    async def _identify_by(self, verify: Callable[[Any], Any], token: str) -> None:
        websocket = self.websocket
        identity: Identity = await resolved(verify(token))
        if identity.user_id != self.user_id:
            raise AuthenticationFailed("The token is another user's", code="another_user")
        if self.is_leaving or websocket.state is WebSocketState.DISCONNECTED:
            raise self._gone()
        self._expire_with(identity)
        websocket.auth = identity
        websocket.context.identify(identity, type(websocket.backend).__name__)
        websocket._cache.pop("user", None)  # whether the user is still active, is to be asked again

    def _gone(self, departure: Departure | None = None) -> WebSocketDisconnected:
        websocket = self.websocket
        code, reason = (4401, None) if departure is None else departure[:2]
        return WebSocketDisconnected(
            websocket.close_code or code,
            websocket.close_reason or reason,
            websocket=websocket,
            action="reauthenticate",
        )
