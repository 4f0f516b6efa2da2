"""`manage.py check`: what would fail or fall open in production."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.core.checks import CheckMessage

from .check_endpoints import (
    check_apis,
    check_guards_can_pass,
    check_open_endpoints,
    check_origins_of_cookies,
)
from .check_keys import check_guessable_keys, check_jwt_keys, check_own_keys
from .check_project import (
    check_asgi_application,
    check_caches,
    check_channel_layers,
    check_database_threads,
    check_layer_of_rooms,
    check_runserver,
)

Check = Callable[..., list[CheckMessage]]

CHECKS: Final[tuple[Check, ...]] = (
    check_jwt_keys,
    check_own_keys,
    check_apis,
    check_origins_of_cookies,
    check_guards_can_pass,
    check_asgi_application,
    check_channel_layers,
    check_layer_of_rooms,
    check_runserver,
    check_database_threads,
)
DEPLOYMENT_CHECKS: Final[tuple[Check, ...]] = (
    check_guessable_keys,
    check_open_endpoints,
    check_caches,
)
"""Those that a project need not pass while it is developed: `manage.py check --deploy`."""
