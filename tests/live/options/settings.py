"""Settings of a small site with the admin and static files. Tests and servers share them."""

import importlib
import os

from tests.settings import SECRET_KEY

__all__ = ["SECRET_KEY"]

BOLT_WS = {"DAPHNE": os.environ.get("TEST_DAPHNE", "complete")}
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ASGI_APPLICATION = "tests.live.options.asgi.application"
WSGI_APPLICATION = "tests.live.options.wsgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("TEST_DATABASE", ":memory:"),
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = None
INSTALLED_APPS = [
    *(["daphne"] if os.environ.get("TEST_DAPHNE_APP", "yes") == "yes" else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "bolt_ws",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
# The tables are made as the models are now, which is faster than to migrate them.
MIGRATION_MODULES = dict.fromkeys(("admin", "auth", "contenttypes", "sessions"))
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.live.options.urls"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
STATIC_URL = "static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
USE_TZ = True

if "TEST_IMPORTED" in os.environ:  # to be watched by the reloader
    importlib.import_module(os.environ["TEST_IMPORTED"])

if "TEST_LOGGED" in os.environ:  # `runserver` says its port nowhere else
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"all": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["all"], "level": "INFO"},
    }
