"""Settings of the site. `TEST_DATABASES` and `TEST_BOLT_WS` are JSON."""

import json
import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

BOLT_WS = {
    "APIS": ["tests.live.databases.api:api"],
    **json.loads(os.environ.get("TEST_BOLT_WS", "{}")),
}
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = json.loads(os.environ["TEST_DATABASES"])
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
