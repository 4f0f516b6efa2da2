"""What the servers are told to serve: `tests.live.databases.asgi:application`."""

from bolt_ws import databases
from bolt_ws.asgi import get_asgi_application

databases.CLOSE_EVERY = 0.5  # seconds, for tests that wait for it

application = get_asgi_application()
