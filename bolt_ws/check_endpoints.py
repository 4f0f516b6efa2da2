"""System checks of the endpoints: who gets in, and whether anybody can."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from .admission import Admission
from .auth.backends import Authentication
from .auth.guards import (
    AllOf,
    AllowAny,
    AnyOf,
    Guard,
    HasAllPermissions,
    IsAdminUser,
    IsAuthenticated,
    IsStaff,
    Not,
)
from .auth.requires import Requires
from .discovery import find_routes
from .origin import ANY
from .routing import Route, Router

# What these say names code; what others say may hold a secret that a module has read.
_TELLING = (ImproperlyConfigured, ImportError, SyntaxError)


def check_apis(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E003: the endpoints cannot be loaded, so nothing would be served."""
    try:
        Router(find_routes())
    except Exception as error:
        return [
            Error(
                f"The WebSocket endpoints cannot be loaded: {_describe(error)}",
                hint=(
                    "They are those of the `api` modules of the project and its apps, or of "
                    'BOLT_WS["APIS"]. Import the module in `manage.py shell` for the traceback. '
                    "The other checks of bolt_ws saw no endpoint."
                ),
                id="bolt_ws.E003",
            )
        ]
    return []


def _describe(error: Exception) -> str:
    if isinstance(error, _TELLING):
        return f"{type(error).__name__}: {error}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.filename}, line {last.lineno}"


def routes() -> list[Route]:
    """Return the project's endpoints, none if they cannot be loaded: that is E003's to say."""
    try:
        return find_routes()
    except Exception:
        return []


def backends() -> list[Authentication]:
    """Return the authentication backends of the endpoints, each once."""
    found = {id(each): each for route in routes() for each in _admission(route).auth}
    return list(found.values())  # by identity: one of a project's own need not be hashable


def check_origins_of_cookies(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E004: any page may connect, and the browser lends it the user's cookie."""
    return [
        Error(
            f"{_name(route)} takes a credential that browsers send by themselves "
            f'({_ambient(route)}) from pages of any origin ("*").',
            hint=(
                "Any web page could connect in the name of a user who looks at it (cross-site "
                "WebSocket hijacking), so such a connection is refused. Name the origins that may "
                "connect, or authenticate with a token or a ticket."
            ),
            obj=route.consumer,
            id="bolt_ws.E004",
        )
        for route in routes()
        if ANY in _admission(route).origins and _ambient(route)
    ]


def _ambient(route: Route) -> str:
    return ", ".join(type(each).__name__ for each in _admission(route).auth if each.is_ambient)


def check_guards_can_pass(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.E005: an endpoint that refuses everybody."""
    return [
        Error(
            f"{_name(route)} refuses everybody: its guards are {', '.join(map(repr, guards))}.",
            hint=(
                "Nobody authenticates here, so all clients are anonymous. Say auth=[...] at the "
                'endpoint, its API or in BOLT_WS["AUTHENTICATION"]; or guards=[AllowAny()].'
                if _can_pass(guards, has_users=True)
                else "Neither users nor anonymous clients can satisfy them."
            ),
            obj=route.consumer,
            id="bolt_ws.E005",
        )
        for route in routes()
        if not _can_pass(guards := _admission(route).guards, has_users=bool(_admission(route).auth))
    ]


def check_open_endpoints(**kwargs: Any) -> list[CheckMessage]:
    """bolt_ws.W003: anybody may connect, and nobody has said so. Under `--deploy`."""
    return [
        Warning(
            f"{_name(route)} lets in anybody.",
            hint="If that is meant, say so: guards=[AllowAny()]. If not, give it auth=[...].",
            obj=route.consumer,
            id="bolt_ws.W003",
        )
        for route in routes()
        if not _admission(route).guards
    ]


_NEEDING_A_USER = frozenset(
    kind.has_permission for kind in (IsAuthenticated, IsStaff, IsAdminUser, HasAllPermissions)
) | {Requires.has_permission}


def _can_pass(guards: Iterable[Guard], *, has_users: bool) -> bool:
    """Tell whether somebody may pass, as far as one can tell."""
    clients = {False, True} if has_users else {False}  # anonymous ones, users
    for guard in guards:
        outcomes = {is_user: _outcome(guard, is_user) for is_user in clients}
        clients = {is_user for is_user in clients if outcomes[is_user] is not False}
        if outcomes.get(False, True) is None:
            clients.add(True)  # a guard of the project's own may say who it is
    return bool(clients)


def _outcome(guard: Guard, is_user: bool) -> bool | None:
    """Return what a guard answers to every user, or to every anonymous client; None if it depends.

    By the method that answers, for a subclass may have another one.
    """
    method = type(guard).has_permission
    if isinstance(guard, AllOf | AnyOf):
        parts = [_outcome(part, is_user) for part in guard.parts]
        if isinstance(guard, AllOf):
            return _both(parts)
        return _not(_both(map(_not, parts)))
    if isinstance(guard, Not):
        return _not(_outcome(guard.part, is_user)) if is_user else False
    if method is AllowAny.has_permission:
        return True
    if method is IsAuthenticated.has_permission:
        return is_user
    if method in _NEEDING_A_USER and not is_user:
        return False
    return None


def _both(outcomes: Iterable[bool | None]) -> bool | None:
    found = set(outcomes)
    if False in found:
        return False
    return None if None in found else True


def _not(outcome: bool | None) -> bool | None:
    return None if outcome is None else not outcome


def _admission(route: Route) -> Admission:
    return route.consumer.plan.admission


def _name(route: Route) -> str:
    return f"Endpoint {route.name!r} at {route.pattern.path!r}"
