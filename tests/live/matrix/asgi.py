"""What a server is told to serve: `tests.live.matrix.asgi:application`.

It is the probe, and beside it Channels' own consumers, both without an endpoint of ours.
"""

import django

django.setup()

# Both need Django to be set up, which the line above does.
from bolt_ws.daphne import install  # noqa: E402

from . import consumers, probe  # noqa: E402

install()


async def application(scope: probe.Event, receive: probe.Receive, send: probe.Send) -> None:
    chosen = consumers.PATHS.get(scope.get("path", ""), probe.application)
    await chosen(scope, receive, send)
