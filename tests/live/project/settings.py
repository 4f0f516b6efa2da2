"""Settings of the project that the live tests serve. Tests and servers share one key."""

import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

BOLT_WS = {"DAPHNE": os.environ.get("TEST_DAPHNE", "complete")}
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"]
ROOT_URLCONF = "tests.live.project.urls"
USE_TZ = True
