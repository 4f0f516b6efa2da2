"""System checks of the settings around: Daphne, channel layers, caches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from channels.exceptions import InvalidChannelLayerError
from channels.layers import InMemoryChannelLayer
from django.apps import apps
from django.conf import settings
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands, load_command_class
from django.utils.module_loading import import_string

from .check_endpoints import backends
from .conf import get_settings
from .databases import CAN_CHOOSE_THREADS
from .rooms.layers import get_layer

_UNSHARED = (LocMemCache, DummyCache)


def check_asgi_application(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E006: Daphne's `runserver` has nothing to serve."""
    if not _has_daphne() or getattr(settings, "ASGI_APPLICATION", None):
        return []
    return [
        Error(
            "daphne is an installed app, but ASGI_APPLICATION is not set: `runserver` fails.",
            hint=(
                'Set ASGI_APPLICATION = "<project>.asgi.application", where asgi.py has '
                "application = bolt_ws.asgi.get_asgi_application()."
            ),
            id="bolt_ws.E006",
        )
    ]


def check_channel_layers(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.W002: a channel layer that reaches one process only, without `DEBUG`."""
    if settings.DEBUG:
        return []
    layers = getattr(settings, "CHANNEL_LAYERS", None) or {}
    return [
        Warning(
            f"The channel layer {alias!r} is in memory: each process has one of its own.",
            hint=(
                "A message reaches the connections of the process that sent it. With more than one "
                "process, use channels_redis.pubsub.RedisPubSubChannelLayer, for instance."
            ),
            id="bolt_ws.W002",
        )
        for alias, kind in _backends(layers)
        if issubclass(kind, InMemoryChannelLayer)
    ]


def check_layer_of_rooms(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E007: every connection would fail, because rooms have no channel layer."""
    try:
        get_settings()
    except ImproperlyConfigured:  # E003 says so
        return []
    try:
        get_layer()
    except Exception as error:
        is_ours = isinstance(error, ImproperlyConfigured | InvalidChannelLayerError)
        # What another exception says may hold the password of a host.
        what = f"{error}" if is_ours else f"{type(error).__name__} was raised while it was made"
        return [
            Error(
                f"The channel layer of rooms cannot be used: {what}.",
                hint=(
                    "See settings.CHANNEL_LAYERS and settings.BOLT_WS['CHANNEL_LAYER']. "
                    'channels_redis comes with: pip install "django-bolt-ws[redis]".'
                ),
                id="bolt_ws.E007",
            )
        ]
    return []


def check_runserver(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.W004: `runserver` is not Daphne's. Behind staticfiles, daphne.E001 says so."""
    owner = get_commands()["runserver"]
    if not _has_daphne() or owner in ("daphne", "django.contrib.staticfiles") or _is_daphnes(owner):
        return []
    return [
        Warning(
            f"daphne is an installed app, but `runserver` is that of {owner}, which serves no "
            "WebSockets.",
            hint=f'Put "daphne" before {owner!r} in INSTALLED_APPS.',
            id="bolt_ws.W004",
        )
    ]


def check_database_threads(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.W006: `BOLT_WS["DB_THREADS"]` does nothing with this asgiref."""
    try:
        is_set = get_settings().db_threads is not None
    except ImproperlyConfigured:  # E003 says so
        return []
    if CAN_CHOOSE_THREADS or not is_set:
        return []
    return [
        Warning(
            "BOLT_WS['DB_THREADS'] is set, and this asgiref knows one thread only.",
            hint="All database queries wait for one another. Install asgiref 3.13 or later.",
            id="bolt_ws.W006",
        )
    ]


def check_caches(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.W005: tickets, say, in a cache that no other process sees. Under `--deploy`."""
    unshared = {alias for alias, kind in _backends(settings.CACHES) if issubclass(kind, _UNSHARED)}
    return [
        Warning(
            f"{type(backend).__name__} needs a cache that all processes share, and the cache "
            f"{alias!r} is none.",
            hint=(
                "What one process keeps there (a ticket, a revocation) no other one knows of. Use "
                "Redis, Memcached or the database as a cache."
            ),
            obj=backend,
            id="bolt_ws.W005",
        )
        for backend in backends()
        for alias in backend.shared_caches
        if alias in unshared
    ]


def _has_daphne() -> bool:
    return apps.is_installed("daphne")


def _is_daphnes(owner: str) -> bool:
    # A command may wrap that of the next app, as whitenoise.runserver_nostatic does.
    daphnes = import_string("daphne.management.commands.runserver.Command")
    try:
        return isinstance(load_command_class(owner, "runserver"), daphnes)
    except Exception:  # whoever runs it sees why
        return False


def _backends(configured: Any) -> Iterator[tuple[str, type]]:
    """Yield aliases and classes. One that cannot be imported is said so by whoever uses it."""
    for alias, options in configured.items():
        try:
            found = import_string(options["BACKEND"])
        except (ImportError, LookupError, TypeError):
            continue
        if isinstance(found, type):
            yield alias, found
