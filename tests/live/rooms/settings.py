"""Settings of the project whose processes share a Redis. `TEST_LAYER` says through which layer."""

import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}

BOLT_WS = {
    "DAPHNE": os.environ.get("TEST_DAPHNE", "complete"),
    "ROOM_LINGER": 0.5,
    "ROOM_TIMEOUT": 10,
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": LAYERS[os.environ["TEST_LAYER"]],
        "CONFIG": {"hosts": [os.environ["TEST_REDIS"]]},
    }
}
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bolt_ws"]
# Each line names its logger.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"named": {"format": "{name} {levelname} {message}", "style": "{"}},
    "handlers": {"all": {"class": "logging.StreamHandler", "formatter": "named"}},
    "root": {"handlers": ["all"], "level": "INFO"},
}
ROOT_URLCONF = "tests.live.rooms.urls"
USE_TZ = True
