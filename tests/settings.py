"""Settings of the test suite: an in-memory database and channel layer."""

SECRET_KEY = "the key of the tests, longer than the 64 bytes that HS512 asks for, honestly"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "bolt_ws",
]
ROOT_URLCONF = "tests.urls"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
USE_TZ = True
