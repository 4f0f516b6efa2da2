"""What the system tells of a socket."""

from __future__ import annotations

import sys

try:
    import fcntl
    import termios
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


def undelivered(fd: int) -> int:
    """Return the bytes that the system holds for the other end, or 0 where it does not tell."""
    if fcntl is None:
        return 0
    try:
        size = fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # it is closed
        return 0
    return int.from_bytes(size, sys.byteorder)
