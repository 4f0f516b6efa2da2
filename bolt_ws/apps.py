"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class BoltWSConfig(AppConfig):
    """`bolt_ws` in `INSTALLED_APPS`."""

    name = "bolt_ws"
    verbose_name = "bolt_ws: WebSockets"

    def ready(self) -> None:
        """Register the system checks, and keep tokens out of the servers' logs.

        The `api` modules are imported later, when they are served.
        """
        from .checks import CHECKS, DEPLOYMENT_CHECKS
        from .redaction import install

        install()
        for check in CHECKS:
            checks.register(check, "bolt_ws")
        for check in DEPLOYMENT_CHECKS:
            checks.register(check, "bolt_ws", deploy=True)
