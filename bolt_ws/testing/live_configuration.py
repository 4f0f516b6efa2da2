"""What a live server's process must know of the test run that started it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import UserSettingsHolder, settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections


@dataclass(frozen=True)
class Configuration:
    """The settings and the databases of a test run."""

    settings_module: str
    application: str | None
    """As Daphne names it, "module:attribute". None is `bolt_ws.asgi.get_asgi_application()`."""
    debug: bool
    databases: tuple[tuple[str, str | None], ...]
    """The alias and the present name of each database."""

    def to_json(self) -> str:
        """Return it as one line of JSON, for `bolt_ws.testing.serve`."""
        return json.dumps({**asdict(self), "databases": dict(self.databases)})

    @classmethod
    def current(cls) -> Configuration:
        """Return that of this test, `override_settings` included.

        Raises `ImproperlyConfigured` where another process cannot have the same.
        """
        application = getattr(settings, "ASGI_APPLICATION", None)
        return cls(
            _settings_module(),
            None if application is None else _import_path(application),
            settings.DEBUG,
            tuple((alias, _database_name(alias)) for alias in connections),
        )


def _settings_module() -> str:
    lazy: Any = settings  # loaded by now
    holder = lazy._wrapped
    while isinstance(holder, UserSettingsHolder):  # override_settings makes one around another
        holder = holder.default_settings
    module = getattr(holder, "SETTINGS_MODULE", None)
    if module is None:
        raise ImproperlyConfigured(
            "A live server is another process, and it cannot import what settings.configure() was "
            "called with: set DJANGO_SETTINGS_MODULE to a settings module"
        )
    return str(module)


def _import_path(application: str) -> str:
    module, dot, name = application.rpartition(".")
    if not dot:
        raise ImproperlyConfigured(
            f'ASGI_APPLICATION is "module.attribute", as in "shop.asgi.application", and not '
            f"{application!r}"
        )
    return f"{module}:{name}"


def _database_name(alias: str) -> str | None:
    connection: Any = connections[alias]
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        raise ImproperlyConfigured(
            f"DATABASES[{alias!r}] is tested in memory, where a live server, another process, does "
            'not see it: name a file for the tests, as in "TEST": {"NAME": BASE_DIR / '
            f'"test_{alias}.sqlite3"}}'
        )
    name = connection.settings_dict["NAME"]
    return None if name is None else str(name)
