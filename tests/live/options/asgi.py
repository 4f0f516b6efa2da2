"""What the servers are told to serve: the site, and the probe beside it."""

import asyncio
from typing import Any

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

pages = ASGIStaticFilesHandler(get_asgi_application())

# Django is set up now.
from bolt_ws.daphne import install  # noqa: E402

from .probe import Receive, Send, probe  # noqa: E402

install()  # no endpoint of bolt_ws's is served, so nobody else does it


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await probe(scope, receive, send)
    elif scope["path"] == "/outside/breaks/":
        raise RuntimeError("outside")
    elif scope["path"] == "/outside/stays/":
        await stay(send)
    else:
        await pages(scope, receive, send)


async def stay(send: Send) -> None:
    """Answer without an end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the first part", "more_body": True})
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.2)
        print("what stayed has ended", flush=True)
