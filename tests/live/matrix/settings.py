"""Settings of the served project."""

import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

BOLT_WS = {
    "DAPHNE": os.environ.get("TEST_DAPHNE", "complete"),
    "DAPHNE_DEFLATE": "TEST_DEFLATE" in os.environ,
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["bolt_ws"]
USE_TZ = True
