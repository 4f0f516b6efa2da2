"""pytest's plugin: its fixtures need no conftest, and it disturbs nobody who does not use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DONE_WITHIN = 60.0  # seconds
LOOP_SCOPE = "asyncio_default_fixture_loop_scope"

SETTINGS = """
SECRET_KEY = "a key of the tests, long enough for a token"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
BOLT_WS = {"APIS": ["api:api"]}
ROOT_URLCONF = "settings"
urlpatterns = []
"""
API = """
from django.contrib.auth.models import User
from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket

api = BoltAPI()

@api.websocket("/count")
async def count(websocket: WebSocket):
    await websocket.send_json(await User.objects.acount())

@api.websocket("/plain-count")
def plain_count(websocket: BlockingWebSocket):
    websocket.send_json(User.objects.count())

@api.websocket("/create")
async def create(websocket: WebSocket):
    await User.objects.acreate(username="of the handler")
    await websocket.send_json("created")
"""
TESTS = """
import pytest
from django.contrib.auth.models import User

PATHS = pytest.mark.parametrize("path", ["/count", "/plain-count"])

@PATHS
def test_with_db(db, websocket_client, path):
    User.objects.create(username="of the test")
    with websocket_client.websocket_connect(path) as ws:
        assert ws.receive_json() == 1
    with websocket_client.websocket_connect("/create") as ws:
        assert ws.receive_json() == "created"
    assert User.objects.count() == 2

@PATHS
@pytest.mark.django_db
def test_with_the_mark(websocket_client, path):
    test_with_db(None, websocket_client, path)

@PATHS
@pytest.mark.asyncio
async def test_a_coroutine_with_db(db, async_websocket_client, path):
    await User.objects.acreate(username="of the test")
    async with async_websocket_client.websocket_connect(path) as ws:
        assert await ws.receive_json() == 1
    async with async_websocket_client.websocket_connect("/create") as ws:
        assert await ws.receive_json() == "created"
    assert await User.objects.acount() == 2

@PATHS
@pytest.mark.asyncio
@pytest.mark.django_db
async def test_a_coroutine_with_the_mark(async_websocket_client, path):
    await test_a_coroutine_with_db(None, async_websocket_client, path)

def test_without_a_database(websocket_client):
    websocket_client.assert_refused("/nowhere", 404)

def test_nothing_is_left(db):
    assert User.objects.count() == 0
"""


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest there, as if nothing had been set for this very run."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "DJANGO_", "COV_"))
    }
    # pytest-asyncio warns where its option is unset.
    usual = ["-p", "no:cacheprovider", "-W", "error", "-o", f"{LOOP_SCOPE}=function"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *usual, *options],
        cwd=folder,
        env=inherited,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DONE_WITHIN,
    )


def test_the_fixtures_need_no_conftest(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "api.py").write_text(API)
    (tmp_path / "test_project.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = settings\n")
    done = run_pytest(tmp_path, "-o", "pythonpath=.")
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


@pytest.mark.parametrize("without", ["", "no:django"])
def test_who_has_no_django_is_not_disturbed(tmp_path: Path, without: str) -> None:
    (tmp_path / "test_other.py").write_text(
        "from django.conf import settings\ndef test(): assert not settings.configured\n"
    )
    done = run_pytest(tmp_path, *(["-p", without] if without else []))
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_fixtures_are_listed(tmp_path: Path) -> None:
    listed = run_pytest(tmp_path, "--fixtures").stdout
    assert "websocket_client -- " in listed
    assert "A `TestClient` of the project's application." in listed
    assert "async_websocket_client -- " in listed
    assert "live_websocket_server" in listed
