"""A process without an event loop that sends to rooms, as a worker or a command does.

It reads messages as JSON lines, sends each to the room that it names, and says when it has.
"""

import json
import sys

import django

django.setup()

# Django is set up now.
from bolt_ws import room  # noqa: E402

print("ready", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    room(message["room"]).send_json(message)
    print("sent", flush=True)
