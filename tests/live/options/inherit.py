"""Run a server that inherits a listening socket, as a supervisor does.

`python -m tests.live.options.inherit daphne --fd {fd} ...`: {fd} becomes the number of the socket.
"""

import os
import socket
import sys

listening = socket.create_server(("127.0.0.1", 0))
listening.set_inheritable(True)
arguments = [each.replace("{fd}", str(listening.fileno())) for each in sys.argv[1:]]
os.execv(sys.executable, [sys.executable, "-m", *arguments])
