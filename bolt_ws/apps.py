"""The Django app."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from django.apps import AppConfig, apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured


class BoltWSConfig(AppConfig):
    """`bolt_ws` in `INSTALLED_APPS`."""

    name = "bolt_ws"
    verbose_name = "bolt_ws: WebSockets"

    def ready(self) -> None:
        """Register the system checks, see to what is logged, change `runserver`.

        No token is in the servers' logs, and each record says whose connection it is about.

        It serves with `bolt_ws.daphne.Server` where "daphne" is an installed app. The `api`
        modules are imported later, when they are served.
        """
        from . import logs
        from .checks import CHECKS, DEPLOYMENT_CHECKS
        from .redaction import install
        from .rooms.layers import get_layer

        install()
        logs.install()
        if apps.is_installed("daphne"):
            self._install_server()
        # Whoever sends to a channel of ours has to know its capacity, be it without `bolt_ws.room`.
        with suppress(Exception):  # a layer that cannot be made is for the checks to tell
            get_layer()
        for check in CHECKS:
            checks.register(check, "bolt_ws")
        for check in DEPLOYMENT_CHECKS:
            checks.register(check, "bolt_ws", deploy=True)

    def _install_server(self) -> None:
        from . import daphne

        import_module("daphne.management.commands.runserver")
        # Settings that are wrong are for the checks to tell, and for whoever serves.
        with suppress(ImproperlyConfigured):
            daphne.install()
