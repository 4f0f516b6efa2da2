"""Settings of the served project. `TEST_BOLT_WS` has more of `BOLT_WS`, as JSON."""

import json
import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

_PROJECT = "tests.live.upkeep.project"

BOLT_WS = {
    "APIS": [f"{_PROJECT}.{name}:api" for name in ("records", "gone", "inbound", "times", "tasks")],
    "DAPHNE": os.environ.get("TEST_DAPHNE", "complete"),
    **json.loads(os.environ.get("TEST_BOLT_WS", "{}")),
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
