"""What a server is told to serve: `tests.live.figures.asgi:application`."""

from bolt_ws.asgi import get_asgi_application

application = get_asgi_application()
