"""Settings of the project that is told to stop. `TEST_BOLT_WS` has more of `BOLT_WS`, as JSON."""

import json
import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

BOLT_WS = {
    "DAPHNE": os.environ.get("TEST_DAPHNE", "complete"),
    "APIS": ["tests.live.shutdown.api:api"],
    **json.loads(os.environ.get("TEST_BOLT_WS", "{}")),
}
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"]
ROOT_URLCONF = "tests.live.shutdown.urls"
USE_TZ = True
