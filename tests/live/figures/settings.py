"""Settings of the project that is observed. Each line of its log says whose connection it is."""

import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

BOLT_WS = {
    "DAPHNE": os.environ.get("TEST_DAPHNE", "complete"),
    "APIS": ["tests.live.figures.api:api"],
}
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"connection": {"()": "bolt_ws.logs.ConnectionFields"}},
    "formatters": {
        "connection": {
            "format": (
                "<{name} {levelname} {connection_id} {endpoint} {user_id} {client}> {message}"
            ),
            "style": "{",
        }
    },
    "handlers": {
        "all": {
            "class": "logging.StreamHandler",
            "formatter": "connection",
            "filters": ["connection"],
        }
    },
    "root": {"handlers": ["all"], "level": "INFO"},
}
ROOT_URLCONF = "tests.live.figures.urls"
USE_TZ = True
