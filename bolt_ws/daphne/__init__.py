"""Daphne, complete: its server with the whole of the ASGI WebSocket specification."""

from __future__ import annotations

import functools
import logging
import sys

from ..conf import get_settings

__all__ = ["install"]


def install() -> None:
    """Have the `daphne` command, if that is what runs, and `runserver` use `Server`.

    `BOLT_WS["DAPHNE"] = "stock"` leaves them alone, and so does, with a warning, a Daphne or a
    Twisted that this does not fit. Django's settings must be there.
    """
    if get_settings().daphne == "stock":
        return
    commands = [
        (module, name, attribute)
        for path, name, attribute in (
            ("daphne.cli", "CommandLineInterface", "server_class"),
            ("daphne.management.commands.runserver", "Command", "server_cls"),
        )
        if (module := sys.modules.get(path)) is not None
    ]
    if not commands:
        return
    server = _server_class()
    if server is None:
        return
    import daphne.server

    for module, name, attribute in commands:
        command = getattr(module, name)
        if getattr(command, attribute) is daphne.server.Server:  # and not somebody's own
            setattr(command, attribute, server)


@functools.cache  # and one warning
def _server_class() -> type | None:
    try:
        from .compatibility import misfit
        from .server import Server

        reason = misfit()
    except (ImportError, AttributeError) as error:  # names that it needs to look at others
        reason = str(error)
    if reason is not None:
        logging.getLogger("bolt_ws.daphne").warning(
            "Daphne's own WebSockets are used, with their limits: this Daphne or Twisted does not "
            "fit bolt_ws.daphne (%s)",
            reason,
        )
        return None
    return Server
