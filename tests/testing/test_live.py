"""Live servers for tests: in a small project's own test run, and where they cannot start."""

import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import UserSettingsHolder, global_settings, settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bolt_ws.testing.live import LiveServer
from bolt_ws.testing.live_client import connect
from bolt_ws.testing.live_configuration import _settings_module

RUN_WITHIN = 180.0  # seconds
GONE_WITHIN = 10.0

FILES = {
    "pytest.ini": """
        [pytest]
        DJANGO_SETTINGS_MODULE = shop.settings
        addopts = -p no:asyncio -p no:cacheprovider
        pythonpath = .
        filterwarnings =
            error
            # From Python 3.12 on: the log of a live server is read by a thread.
            ignore:.*multi-threaded, use of fork:DeprecationWarning
    """,
    "shop/__init__.py": "",
    "shop/settings.py": """
        from pathlib import Path

        HERE = Path(__file__).parent
        SECRET_KEY = "a key of more than the 32 bytes that HS256 asks for"
        SQLITE = "django.db.backends.sqlite3"
        DATABASES = {
            "default": {
                "ENGINE": SQLITE, "NAME": HERE / "real.sqlite3",
                "TEST": {"NAME": HERE / "test.sqlite3"},
            },
            "archive": {"ENGINE": SQLITE, "NAME": HERE / "archive.sqlite3"},
        }
        INSTALLED_APPS = [
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
            "bolt_ws", "notes",
        ]
        ALLOWED_HOSTS = ["localhost"]
        ASGI_APPLICATION = "shop.asgi.application"
        EMAIL_BACKEND = "shop.there_is_no_such_backend"
        USE_TZ = True
    """,
    # Whoever imports it holds the lifeline until it ends, so that the outer test sees who is left.
    "shop/asgi.py": """
        import os

        from daphne.cli import CommandLineInterface
        from daphne.server import Server

        from bolt_ws.asgi import get_asgi_application

        lifeline = os.open(os.environ["LIFELINE"], os.O_WRONLY)
        os.write(lifeline, b".")


        class MarkedServer(Server):
            def __init__(self, **options):
                super().__init__(**{**options, "server_name": "marked"})


        CommandLineInterface.server_class = MarkedServer
        application = get_asgi_application()
    """,
    "shop/broken.py": """
        raise RuntimeError("the shop is closed")
    """,
    "shop/stubborn.py": """
        import os, signal, time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        lifeline = os.open(os.environ["LIFELINE"], os.O_WRONLY)
        print("I will not", flush=True)
        time.sleep(60)
    """,
    "notes/__init__.py": "",
    "notes/models.py": """
        from django.db import models


        class Note(models.Model):
            text = models.CharField(max_length=100)
    """,
    "notes/api.py": """
        import os

        from django.conf import settings
        from django.contrib.auth.models import User
        from django.core.mail import send_mail

        from bolt_ws import BoltAPI, WebSocket
        from bolt_ws.auth import IsAuthenticated, JWTAuthentication

        from .models import Note

        api = BoltAPI()


        @api.websocket("/ws/notes")
        async def notes(websocket: WebSocket):
            async for text in websocket.iter_text():
                await Note.objects.acreate(text=text)
                await websocket.send_json([note.text async for note in Note.objects.order_by("pk")])


        @api.websocket("/ws/me", auth=[JWTAuthentication()], guards=[IsAuthenticated()])
        async def me(websocket: WebSocket):
            user = await User.objects.aget(pk=websocket.context.user_id)
            await websocket.send_text(user.username)


        @api.websocket("/ws/archive")
        async def archive(websocket: WebSocket):
            for _ in range(2):  # the second one finds the connection as the first one left it
                try:
                    await Note.objects.using("archive").acount()
                except Exception as error:
                    await websocket.send_text(f"{type(error).__name__}: {error}")


        @api.websocket("/ws/handshake")
        async def handshake(websocket: WebSocket):
            await websocket.accept(subprotocol="chat")
            await websocket.send_json({
                "query": websocket.query_params.dict(),
                "header": websocket.headers.get("x-shop"),
                "cookies": dict(websocket.cookies),
                "debug": settings.DEBUG,
            })


        @api.websocket("/ws/mail")
        async def mail(websocket: WebSocket):
            send_mail("subject", "text", "a@example.com", ["b@example.com"])
            await websocket.send_text("sent")


        @api.websocket("/ws/die")
        async def die(websocket: WebSocket):
            async for text in websocket.iter_text():
                print(text, flush=True)
                os._exit(7)
    """,
    "test_shop.py": """
        import asyncio
        import json
        import multiprocessing

        import pytest
        from asgiref.sync import sync_to_async
        from channels.testing import ChannelsLiveServerTestCase
        from django.contrib.auth.models import User
        from django.test import TransactionTestCase
        from websockets.exceptions import ConnectionClosedError, InvalidStatus
        from websockets.sync.client import connect

        from bolt_ws.auth.tokens import create_jwt_for_user
        from bolt_ws.testing.live import LiveServer, ProtocolServerProcess
        from notes.models import Note

        died = []


        def test_rows_are_shared(live_websocket_server):
            Note.objects.create(text="the test's")
            with live_websocket_server.connect("/ws/notes") as websocket:
                websocket.send("the handler's")
                assert json.loads(websocket.recv()) == ["the test's", "the handler's"]
            assert Note.objects.filter(text="the handler's").exists()


        def test_tables_are_empty_again(live_websocket_server):
            assert Note.objects.count() == 0
            with live_websocket_server.connect("/ws/notes") as websocket:
                websocket.send("first")
                assert json.loads(websocket.recv()) == ["first"]


        def test_token(live_websocket_server):
            token = create_jwt_for_user(User.objects.create(username="ann"))
            with live_websocket_server.connect("/ws/me", token=token) as websocket:
                assert websocket.recv() == "ann"


        @pytest.mark.parametrize(("path", "status"), [("/ws/me", (401, 403)), ("/no", (404, 403))])
        def test_refused(live_websocket_server, path, status):
            with pytest.raises(InvalidStatus) as refused:
                live_websocket_server.connect(path)
            assert refused.value.response.status_code in status


        def test_handshake(live_websocket_server):
            with live_websocket_server.connect(
                "/ws/handshake?a=1", query={"b": "2 3"}, token="t", headers={"X-Shop": "open"},
                cookies={"c": "4", "d": "5"}, subprotocols=["chat"],
            ) as websocket:
                assert websocket.subprotocol == "chat"
                assert json.loads(websocket.recv()) == {
                    "query": {"a": "1", "b": "2 3", "token": "t"}, "header": "open",
                    "cookies": {"c": "4", "d": "5"}, "debug": False,
                }


        def test_real_databases_are_not_touched(live_websocket_server):
            with live_websocket_server.connect("/ws/archive") as websocket:
                for _ in range(2):
                    error = websocket.recv()
                    assert error.startswith("ImproperlyConfigured: The live server does not use")
                    assert "the database 'archive'" in error


        def test_mail_stays(live_websocket_server):
            with live_websocket_server.connect("/ws/mail") as websocket:
                assert websocket.recv() == "sent"


        def test_it_serves_with_the_class_in_the_hook(live_websocket_server):
            with live_websocket_server.connect("/ws/notes") as websocket:
                assert websocket.response.headers["Server"] == "marked"


        def test_silence_has_a_bound(live_websocket_server):
            with live_websocket_server.connect("/ws/notes", timeout=0.3) as websocket:
                with pytest.raises(TimeoutError):
                    websocket.recv()


        forgotten = []


        def test_connection_is_forgotten(live_websocket_server):
            forgotten.append(live_websocket_server.connect("/ws/notes"))
            forgotten[0].send("unread")
            assert json.loads(forgotten[0].recv()) == ["unread"]  # without `with`, no warning


        def test_forgotten_connection_was_closed(live_websocket_server):
            assert forgotten[0].protocol.state.name == "CLOSED"


        def test_server_dies(live_websocket_server):
            died.append(live_websocket_server)
            with live_websocket_server.connect("/ws/die") as websocket:
                websocket.send("a last word")
                with pytest.raises(ConnectionClosedError):
                    websocket.recv()
            died[0]._process.wait(5)


        def test_next_has_a_new_server(live_websocket_server):
            assert live_websocket_server is died[0]
            with live_websocket_server.connect("/ws/notes") as websocket:
                websocket.send("back")
                assert json.loads(websocket.recv()) == ["back"]


        def test_broken_project(settings, transactional_db):
            settings.ASGI_APPLICATION = "shop.broken.application"
            server = LiveServer()
            with pytest.raises(RuntimeError, match="ended before it listened") as failure:
                server.start()
            assert "RuntimeError: the shop is closed" in str(failure.value)
            assert not server.is_running


        def test_stubborn_project(settings, transactional_db):
            settings.ASGI_APPLICATION = "shop.stubborn.application"
            server = LiveServer()
            server.startup_timeout, server.shutdown_timeout = 8.0, 0.2
            with pytest.raises(RuntimeError, match="did not listen within 8 s") as failure:
                server.start()
            assert "I will not" in str(failure.value)


        def test_no_application_is_ours(settings, transactional_db):
            del settings.ASGI_APPLICATION
            with LiveServer() as server:
                with server.connect("/ws/notes") as websocket:
                    # asgi.py, which marks it, was not imported.
                    assert websocket.response.headers["Server"] == "daphne"
                    websocket.send("mine")
                    assert json.loads(websocket.recv()) == ["mine"]
            with pytest.raises(RuntimeError, match="not started"):
                server.url


        class Channels:
            marked = "daphne"

            def test_it(self):
                Note.objects.create(text="the test's")
                with connect(f"{self.live_server_ws_url}/ws/notes", proxy=None) as websocket:
                    assert websocket.response.headers["Server"] == self.marked
                    websocket.send("the handler's")
                    assert json.loads(websocket.recv(5)) == ["the test's", "the handler's"]


        class TestStock(Channels, ChannelsLiveServerTestCase):
            serve_static = False


        class TestOurs(Channels, ChannelsLiveServerTestCase):
            serve_static = False
            ProtocolServerProcess = ProtocolServerProcess
            marked = "marked"


        class TestOursSpawned(TestOurs):
            @classmethod
            def setUpClass(cls):
                multiprocessing.set_start_method("spawn", force=True)
                cls.addClassCleanup(multiprocessing.set_start_method, "fork", force=True)
                super().setUpClass()


        class TestOursImportedBefore(TestOurs):
            @classmethod
            def setUpClass(cls):
                import shop.asgi

                # A test before it has used the thread that all synchronous code shares.
                asyncio.run(sync_to_async(int)())
                super().setUpClass()
    """,
    "orphan.py": """
        import os, signal, sys

        from bolt_ws.testing.live import LiveServer

        server = LiveServer()
        server.start()
        child = os.fork()
        if child == 0:
            os.close(1), os.close(2)
            signal.pause()
        print(child, server._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """,
}


@dataclass
class Project:
    """The small project, and who of its processes still runs."""

    root: Path
    lifeline: int
    """The end of a pipe: it has ended when nobody is left who has imported asgi.py."""

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run Python, and return its exit code and what it printed."""
        environment = {name: os.environ[name] for name in os.environ if name != "PYTEST_ADDOPTS"}
        with subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.root,
            env={
                **environment,
                "LIFELINE": str(self.root / "lifeline"),
                "DJANGO_SETTINGS_MODULE": "shop.settings",
                "PYTHONPATH": str(self.root),
                "COLUMNS": "200",  # pytest shortens what is longer
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                log, _ = process.communicate(timeout=RUN_WITHIN)
            finally:
                process.kill()
        return process.returncode, log

    def check_nobody_is_left(self) -> None:
        """See that there were processes, and that all of them have ended."""
        deadline = time.monotonic() + GONE_WITHIN
        seen = b""
        while True:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self.lifeline], [], [], left)[0], "a process was left behind"
            data = os.read(self.lifeline, 1024)
            if not data:
                break
            seen += data
        assert seen


@contextmanager
def made(root: Path) -> Iterator[Project]:
    """The project's files in `root`."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    os.mkfifo(root / "lifeline")
    lifeline = os.open(root / "lifeline", os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield Project(root, lifeline)
    finally:
        os.close(lifeline)


def test_test_run(tmp_path: Path) -> None:
    """What a project's tests may do with a live server. They are the assertions."""
    with made(tmp_path) as project:
        _, log = project.run("-m", "pytest", "-rfEs", "--tb=short")
        assert "collected" in log, log
        project.check_nobody_is_left()
    # The one that fails: the server of `test_server_dies` has ended, and its log is shown.
    assert re.search(r"= 21 passed, 1 error in ", log), log
    assert "ERROR test_shop.py::test_server_dies - RuntimeError: The live server ended" in log, log
    assert "E   a last word" in log, log
    assert "Exception ignored" not in log, log


def test_killed_test_run(tmp_path: Path) -> None:
    """The server ends with whoever started it, even where a fork of that lives on."""
    with made(tmp_path) as project:
        code, log = project.run("-W", "ignore", "orphan.py")
        assert code == -signal.SIGKILL, log
        try:
            project.check_nobody_is_left()
        finally:
            for process in log.split():
                with suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)


def test_in_memory_database() -> None:
    expected = r"DATABASES\['default'\] is tested in memory.* \"TEST\": {\"NAME\": "
    with pytest.raises(ImproperlyConfigured, match=expected):
        LiveServer().start()


def test_configured_without_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_wrapped", UserSettingsHolder(global_settings))
    with pytest.raises(ImproperlyConfigured, match="set DJANGO_SETTINGS_MODULE"):
        LiveServer().start()


@override_settings(ASGI_APPLICATION="application")
def test_malformed_application() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"ASGI_APPLICATION .* not 'application'"):
        LiveServer().start()


def test_settings_module_under_override() -> None:
    with override_settings(DEBUG=True), override_settings(USE_TZ=False):
        assert _settings_module() == "tests.settings"


@pytest.mark.parametrize("path", ["", "ws/chat", "http://127.0.0.1/"])
def test_path_without_slash(path: str) -> None:
    with pytest.raises(ValueError, match="a path begins with a slash"):
        connect("ws://127.0.0.1:1", path)


def test_fixtures_need_no_django() -> None:
    """A test run without Django imports them, too."""
    check = (
        "import sys, bolt_ws.testing.live_fixtures; from django.conf import settings; "
        "unwanted = {'daphne', 'websockets', 'bolt_ws.testing.live'}; "
        "print(settings.configured, unwanted & {*sys.modules})"
    )
    environment = {
        name: os.environ[name] for name in os.environ if name != "DJANGO_SETTINGS_MODULE"
    }
    output = subprocess.check_output([sys.executable, "-c", check], env=environment, text=True)
    assert output == "False set()\n"
