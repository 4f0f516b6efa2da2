"""Settings of the demo: one process, SQLite, no other service.

Environment: `DEMO_DEBUG` (`0` turns it off), `DEMO_SECRET_KEY`, `DEMO_DATABASE` (a path),
`DEMO_ORIGINS` (separated by spaces, such as `https://demo.example.org`) for the addresses of a
proxy that adds TLS, and `REDIS_URL`, which joins several processes to one chat.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DEMO_DEBUG", "1") != "0"

PUBLIC_KEY = "demo-only-this-key-is-published-and-protects-nothing-at-all"
SECRET_KEY = os.environ.get("DEMO_SECRET_KEY", PUBLIC_KEY)
if SECRET_KEY == PUBLIC_KEY and not DEBUG:
    raise ImproperlyConfigured(
        "DEMO_SECRET_KEY must be set when DEMO_DEBUG=0: the demo's own key is published."
    )

ORIGINS = os.environ.get("DEMO_ORIGINS", "").split()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", *(urlsplit(origin).hostname for origin in ORIGINS)]
CSRF_TRUSTED_ORIGINS = ORIGINS

INSTALLED_APPS = [
    "daphne",  # before staticfiles: both bring a `runserver`, and the first one wins
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "bolt_ws",
    "demo_project",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    },
]

ROOT_URLCONF = "demo_project.urls"
ASGI_APPLICATION = "demo_project.asgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_DATABASE", BASE_DIR / "demo.sqlite3"),
    },
}

REDIS_URL = os.environ.get("REDIS_URL")
IN_MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
ON_REDIS = {
    "BACKEND": "channels_redis.core.RedisChannelLayer",
    "CONFIG": {"hosts": [REDIS_URL]},
}
CHANNEL_LAYERS = {"default": ON_REDIS if REDIS_URL else IN_MEMORY}

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "rooms"
LOGOUT_REDIRECT_URL = "login"

STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "UTC"

# Made by `manage.py make_demo_users`, and only while DEBUG is on.
DEMO_USERS = ["alice", "bob"]
DEMO_PASSWORD = "two-tabs-talking"
