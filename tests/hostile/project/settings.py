"""Settings of the project under attack. The tests share its keys, and some of its settings."""

import os
from typing import Any

from tests.settings import SECRET_KEY

DEBUG = False
ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
AUTHENTICATION_BACKENDS = ["tests.hostile.project.users.FixedUsers"]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
BOLT_WS: dict[str, Any] = {
    "APIS": ["tests.hostile.project.served:api"],
    "ADMISSION_TIMEOUT": 0.7,
    "MAX_CONNECTIONS_PER_USER": 3,
    "DAPHNE": os.environ.get("TEST_DAPHNE", "complete"),
}

SHARED = {
    "ALLOWED_HOSTS": ALLOWED_HOSTS,
    "AUTHENTICATION_BACKENDS": AUTHENTICATION_BACKENDS,
    "SESSION_ENGINE": SESSION_ENGINE,
}
"""What holds for the handshakes in process too."""

CACHE_FOLDER = "BOLT_WS_TESTS_CACHE"
"""The environment variable that names the folder of the cache."""


def caches_in(folder: str) -> dict[str, Any]:
    """Return settings of a cache that a server and the tests share."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    return {"default": {"BACKEND": backend, "LOCATION": folder}}


if CACHE_FOLDER in os.environ:
    CACHES = caches_in(os.environ[CACHE_FOLDER])
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "bolt_ws",
]
ROOT_URLCONF = "tests.urls"
USE_TZ = True

__all__ = ["SECRET_KEY"]
