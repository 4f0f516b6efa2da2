"""Settings of the project that is soaked. What waits for long elsewhere does not here."""

import json
import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

BOLT_WS = {
    "DAPHNE_DRAIN_TIMEOUT": 4,
    "DB_THREADS": 4,
    "DISCONNECT_GRACE": 1,
    # Never reached, but counted.
    "MAX_CONNECTIONS": 10_000,
    "MAX_CONNECTIONS_PER_CLIENT": 10_000,
    "MAX_CONNECTIONS_PER_USER": 1_000,
    "READ_STALL": 4,
    "ROOM_LINGER": 0.5,
    "SYNC_THREADS": 10,
}
if "TEST_REDIS" in os.environ:
    BOLT_WS["ROOM_TIMEOUT"] = 20  # a machine that is this busy takes its time
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["TEST_REDIS"]]},
        }
    }
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
# Connections are kept, so that those of the threads that live on are as many at any time.
DATABASES = {"default": {**json.loads(os.environ["TEST_DATABASE"]), "CONN_MAX_AGE": None}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"]
# The tables are made as the models are now, which is faster than to migrate them.
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes"))
ROOT_URLCONF = "tests.live.soak.urls"
USE_TZ = True

# All is written, but what tells of every connection goes to a file of its own.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"named": {"format": "{name} {levelname} {message}", "style": "{"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "named"},
        "errors": {"class": "logging.StreamHandler", "formatter": "named", "level": "ERROR"},
        "all": {
            "class": "logging.FileHandler",
            "filename": os.environ.get("TEST_LOG", os.devnull),
            "formatter": "named",
        },
    },
    "loggers": {"daphne.server": {"handlers": ["console"], "propagate": False}},
    "root": {"handlers": ["errors", "all"], "level": "INFO"},
}
