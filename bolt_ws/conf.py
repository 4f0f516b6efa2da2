"""The `BOLT_WS` setting: its keys, their types and defaults."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="upper"):
    """What `settings.BOLT_WS` may hold, in upper case."""

    apis: list[str] | None = None
    """The APIs to serve, each as "module:attribute". None finds them in the `api` modules."""
    jwt_key: str | None = msgspec.field(default=None)
    """The key that `JWTAuthentication()` verifies with. None is `SECRET_KEY`."""
    admission_timeout: Annotated[float, msgspec.Meta(gt=0, lt=5)] = 4.0
    """Seconds for all that happens before accept. Daphne itself gives up a handshake after 5."""
    sync_threads: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Handlers that are plain functions run in threads of their own: at most so many at once."""
    db_threads: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Threads for the database queries of coroutine handlers, each connection keeping to one. None
    is the one thread that Django's synchronous code has."""

    authentication: list[Any] = []
    """Backends, or their dotted paths, of every API that names none."""
    guards: list[Any] = []
    """Guards, or their dotted paths, of every API that names none."""
    refuse: Literal["deny", "close"] = "deny"
    """How a handshake is refused: with an HTTP status, or by an accept and a close that a browser
    can read."""
    origins: list[str] = []
    """Origins that may connect besides the site's own, as in `CSRF_TRUSTED_ORIGINS`."""
    max_connections: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Connections of this process at once."""
    max_connections_per_client: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The same, of one client address."""
    max_connections_per_user: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The same, of one user."""
    max_connects_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Handshakes a second of one client address."""
    trusted_proxies: list[str] = []
    """Addresses and networks whose `X-Forwarded-For` counts; "unix" is whoever connects to a
    Unix socket."""

    disconnect_grace: Annotated[float, msgspec.Meta(ge=0)] | None = 5.0
    """Seconds that a handler has to end after its connection; then it is cancelled. None is never.
    """
    read_stall: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Seconds after which a connection is closed whose messages wait and are not received: no
    disconnect can be seen behind them."""

    channel_layer: str = "default"
    """The alias of the channel layer that rooms use. A project without layers has one in memory."""
    room_timeout: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """Seconds that a message to a room waits for a channel layer that fails."""
    room_linger: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    """Seconds that a process stays in a room which its last member has left, so that clients which
    come back at once cost the channel layer nothing."""

    daphne: Literal["complete", "stock"] = "complete"
    """Whose WebSockets Daphne speaks: those of `bolt_ws.daphne`, or its own."""
    daphne_deflate: bool = False
    """Compress messages (permessage-deflate), where the client can."""
    daphne_drain_timeout: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Seconds after which a client that reads nothing of what waits for it is dropped."""
    daphne_shutdown_timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """Seconds that all handlers and clients have to end when the server stops."""
    daphne_shutdown_batch: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Connections that are told to end at once, then."""
    daphne_shutdown_pause: Annotated[float, msgspec.Meta(ge=0)] = 0.05
    """Seconds between two such batches, on average."""
    daphne_loop: Literal["auto", "asyncio"] = "auto"
    """The event loop: uvloop where it is installed, or asyncio's own."""

    def __repr__(self) -> str:
        return "<bolt_ws settings>"  # the key must not reach a log


@functools.cache
def get_settings() -> Settings:
    """Return the project's settings, read once and again after `override_settings`."""
    declared = getattr(django_settings, "BOLT_WS", {})
    try:
        return msgspec.convert(declared, Settings)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"settings.BOLT_WS: {error}") from None


def jwt_key() -> str:
    """Return `BOLT_WS["JWT_KEY"]`, else `SECRET_KEY`."""
    return get_settings().jwt_key or django_settings.SECRET_KEY


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting == "BOLT_WS":
        get_settings.cache_clear()


setting_changed.connect(_reset, dispatch_uid="bolt_ws.conf")
