"""Django signals that tell of connections: `from bolt_ws.signals import websocket_connected`."""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

websocket_connected: Final = Signal()
"""A connection was accepted. `sender` is its `Endpoint`; with `websocket`."""

websocket_disconnected: Final = Signal()
"""A connection that was accepted has ended, its `on_close` callbacks too. Sent once for each.

`sender` is its `Endpoint`; with `websocket`, `code`, `reason`, `duration` (seconds since it was
accepted), `messages_received`, `bytes_received`, `messages_sent` and `bytes_sent`.
"""

websocket_refused: Final = Signal()
"""A handshake was refused.

`sender` is the `Endpoint`, None for a path that no endpoint has; with `websocket`, the handshake,
and `refusal`, which has `status`, `code` and `detail`.
"""
