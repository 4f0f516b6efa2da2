"""`daphne demo_project.asgi:application` serves pages, static files and WebSockets."""

import os
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

from bolt_ws.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")

application: Any = get_asgi_application()

# Daphne serves no static files. With DEBUG on Django does, as `runserver` would; WebSockets pass
# through untouched.
if settings.DEBUG:
    application = ASGIStaticFilesHandler(application)
