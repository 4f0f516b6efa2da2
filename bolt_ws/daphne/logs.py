"""Where the server logs."""

from __future__ import annotations

import logging

server_logger = logging.getLogger("daphne.server")
"""Daphne's own: what applications raise is looked for there."""

quiet_logger = logging.getLogger("bolt_ws.daphne.websockets")
"""For the library, which tells of each connection at INFO, and of its payloads at DEBUG."""
quiet_logger.setLevel(logging.WARNING)
