"""What the server is told to serve: `tests.live.soak.asgi:application`."""

import gc

from bolt_ws.asgi import get_asgi_application

application = get_asgi_application()

# What is there now stays, and is not counted: looking for leaks is a lot faster without it.
gc.freeze()
