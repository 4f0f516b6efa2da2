"""The ASGI applications that a project's asgi.py serves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.core.asgi import get_asgi_application as get_http_application

if TYPE_CHECKING:
    from channels.routing import ProtocolTypeRouter

    from .routing import Application


def get_asgi_application() -> ProtocolTypeRouter:
    """Return the application of a project: HTTP through Django, WebSockets through its APIs.

    Sets Django up, so it can be the first thing that asgi.py calls.
    """
    http = get_http_application()
    # Both need Django to be set up, which the line above does.
    from channels.routing import ProtocolTypeRouter

    return ProtocolTypeRouter(
        {"http": http, "websocket": websocket_application(), "lifespan": _no_lifespan}
    )


def websocket_application() -> Application:
    """Return the application that serves all APIs of the project, and refuses all other paths.

    For a `ProtocolTypeRouter` of one's own. Django must be set up. Where the `daphne` command
    imports the caller, it serves with `bolt_ws.daphne.Server`.
    """
    from . import daphne, shutdown
    from .discovery import find_routes
    from .routing import Router

    daphne.install()
    shutdown.watch()

    routes = find_routes()
    if not routes:
        logging.getLogger("bolt_ws").warning(
            "No endpoint was found: is the app with the api.py in INSTALLED_APPS, and does its "
            "api.py hold a BoltAPI with endpoints?"
        )
    return Router(routes)


async def _no_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Take no part in a server's lifespan events, which raising says (ASGI specification).

    A server that imports the application before it installs its signal handlers has them by now.
    """
    from . import shutdown

    shutdown.watch()
    raise ValueError("No application configured for scope type 'lifespan'")
