"""The tests that the README and docs/testing.md show pass, in a project as a reader has one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.docs.pages import ROOT, source_of

RUN_WITHIN = 60.0  # seconds

FILES = {
    "test_readme.py": source_of(ROOT / "README.md"),
    "test_testing.py": source_of(ROOT / "docs" / "testing.md"),
    "pytest.ini": """
        [pytest]
        DJANGO_SETTINGS_MODULE = settings
        addopts = -p no:cacheprovider
        asyncio_mode = auto
        asyncio_default_fixture_loop_scope = function
        filterwarnings = error
        pythonpath = .
    """,
    "settings.py": """
        from pathlib import Path

        BASE_DIR = Path(__file__).parent
        SECRET_KEY = "a key of more than the 32 bytes that HS256 asks for"
        DATABASES = {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": BASE_DIR / "db.sqlite3",
                "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
            },
        }
        INSTALLED_APPS = [
            "daphne",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            "bolt_ws",
        ]
        STATIC_URL = "static/"
        ROOT_URLCONF = "urls"
        ASGI_APPLICATION = "asgi.application"
        BOLT_WS = {"APIS": ["test_readme:api", "test_testing:api"]}
        USE_TZ = True
    """,
    "urls.py": "urlpatterns = []",
    "asgi.py": """
        from bolt_ws.asgi import get_asgi_application

        application = get_asgi_application()
    """,
}


def test_the_tests_that_are_shown(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(content))
    shown = sum(len(re.findall(r"^ *(?:async )?def test_", each, re.M)) for each in FILES.values())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path,
        env={
            **{name: os.environ[name] for name in os.environ if name != "PYTEST_ADDOPTS"},
            "DJANGO_SETTINGS_MODULE": "settings",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=RUN_WITHIN,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(rf"^{shown} passed in ", done.stdout, re.M), done.stdout
