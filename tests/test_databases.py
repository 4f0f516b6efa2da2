"""The threads that query for connections, and stale database connections."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import math
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import DatabaseError
from django.db.utils import ConnectionHandler
from django.test import override_settings

from bolt_ws import BoltAPI, Depends, WebSocket, check_project, databases
from bolt_ws.auth import Authentication, Guard, Identity
from bolt_ws.conf import get_settings
from bolt_ws.databases import DatabaseThread, assign_thread, look
from bolt_ws.testing import AsyncTestClient, TestClient
from tests.docs.pages import ROOT
from tests.docs.pages import run as run_page
from tests.support import TIMEOUT, Connection, serve

TWO_THREADS = {"DB_THREADS": 2}

which_thread = sync_to_async(threading.get_ident)


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread is there yet, and the last look is long ago."""
    monkeypatch.setattr(databases, "_threads", [])
    monkeypatch.setattr(databases, "_closing", weakref.WeakKeyDictionary())
    monkeypatch.setattr(databases, "_looked_at", -math.inf)
    yield
    for thread in databases._threads:
        thread.submit(databases.connections.close_all).result(TIMEOUT)


def ident(thread: DatabaseThread) -> int:
    return int(thread.submit(threading.get_ident).result(TIMEOUT))


async def tell_thread(websocket: WebSocket) -> None:
    async for _ in websocket.iter_text():
        await websocket.send_text(str(await which_thread()))


async def thread_of(connection: Connection) -> int:
    """Return the thread where a connection to `tell_thread` queries."""
    if connection.task is None:
        assert (await connection.next())["type"] == "websocket.accept"
    connection.put("?")
    return int((await connection.next())["text"])


async def leave(*connections: Connection) -> None:
    for each in connections:
        each.leave()
        await each.end()


# Whose thread


async def test_all_query_in_one_thread() -> None:
    application = serve(tell_thread)
    connections = [Connection(application) for _ in range(3)]
    assert {await thread_of(each) for each in connections} == {await which_thread()}
    assert not databases._threads
    await leave(*connections)


@override_settings(BOLT_WS=TWO_THREADS)
async def test_each_keeps_to_the_thread_with_the_fewest() -> None:
    application = serve(tell_thread)
    connections = [Connection(application) for _ in range(4)]
    found = [await thread_of(each) for each in connections]
    one, other = found[:2]
    assert found == [one, other, one, other]
    assert len({one, other, await which_thread()}) == 3
    assert [await thread_of(each) for each in connections] == found
    await leave(connections[1], connections[3])
    later = [Connection(application) for _ in range(2)]
    assert [await thread_of(each) for each in later] == [other, other]
    await leave(connections[0], connections[2], *later)
    assert not any(each.assignments for each in databases._threads)


@override_settings(BOLT_WS=TWO_THREADS)
async def test_all_that_is_done_for_a_connection_is_done_in_its_thread() -> None:
    seen: dict[str, int] = {}

    def note(what: str) -> None:
        seen[what] = threading.get_ident()

    class Backend(Authentication):
        def authenticate(self, websocket: Any) -> Identity:
            note("backend")
            return Identity(user_id="7")

    class NoteGuard(Guard):
        def has_permission(self, websocket: Any) -> bool:
            note("guard")
            return True

    def depended_on() -> Iterator[None]:
        note("dependency")
        yield
        note("teardown")

    api = BoltAPI(auth=[Backend()], guards=[NoteGuard()])

    @api.websocket("/")
    async def handler(websocket: WebSocket, given: None = Depends(depended_on)) -> None:
        await database_sync_to_async(note)("handler")
        await asyncio.create_task(sync_to_async(note)("task"))

    @handler.on_connect
    async def greet(websocket: WebSocket) -> None:
        await sync_to_async(note)("on_connect")

    @handler.on_close
    async def part(websocket: WebSocket) -> None:
        await sync_to_async(note)("on_close")

    await Connection(api.as_asgi()).end()
    assert set(seen) == {
        *("backend", "guard", "dependency", "on_connect"),
        *("handler", "task", "on_close", "teardown"),
    }
    [thread] = {*seen.values()}
    assert thread == ident(databases._threads[0])


@override_settings(BOLT_WS=TWO_THREADS)
async def test_a_task_that_outlives_its_connection_queries_on() -> None:
    left: list[asyncio.Task[int]] = []
    has_ended = asyncio.Event()

    async def query_later() -> int:
        await has_ended.wait()
        return int(await which_thread())

    async def handler(websocket: WebSocket) -> None:
        left.append(asyncio.create_task(query_later()))

    await Connection(serve(handler)).end()
    has_ended.set()
    assert await asyncio.wait_for(left[0], TIMEOUT) == ident(databases._threads[0])


@override_settings(BOLT_WS=TWO_THREADS)
async def test_whoever_serves_a_connection_has_its_own_thread_back() -> None:
    before = await which_thread()
    inside: list[int] = []

    async def handler(websocket: WebSocket) -> None:
        inside.append(await which_thread())

    connection = Connection(serve(handler))
    await connection.application(connection.scope, connection.receive, connection.send)
    assert inside != [before]
    assert await which_thread() == before


@override_settings(BOLT_WS=TWO_THREADS)
async def test_a_life_that_is_dropped_lets_go_of_its_thread() -> None:
    taken = contextvars.copy_context().run(assign_thread)
    assert taken is not None
    assert len(databases._threads[0].assignments) == 1
    taken.end()  # in another context, as the garbage collector does
    assert not databases._threads[0].assignments


@override_settings(BOLT_WS=TWO_THREADS)
def test_a_test_case_has_all_in_its_own_thread() -> None:
    async def talk() -> int:
        connection = Connection(serve(tell_thread))
        found = await thread_of(connection)
        await leave(connection)
        return found

    assert async_to_sync(talk)() == threading.get_ident()
    assert not databases._threads


@override_settings(BOLT_WS=TWO_THREADS)
@pytest.mark.django_db
async def test_a_test_that_lends_its_connections_has_no_other_threads() -> None:
    api = BoltAPI()

    @api.websocket("/")
    async def count(websocket: WebSocket) -> None:
        async for _ in websocket.iter_text():
            await websocket.send_text(str(await User.objects.acount()))

    async with AsyncTestClient(api) as client, client.websocket_connect("/") as ws:
        await User.objects.acreate(username="ada")  # in a transaction that no other thread sees
        await ws.send_text("how many?")
        assert await ws.receive_text() == "1"
    assert not databases._threads


@override_settings(BOLT_WS=TWO_THREADS)
async def test_an_asgiref_that_cannot_leaves_all_in_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(databases, "CAN_CHOOSE_THREADS", False)
    connection = Connection(serve(tell_thread))
    assert await thread_of(connection) == await which_thread()
    await leave(connection)


# A thread


async def test_a_slow_call_holds_up_no_other_thread() -> None:
    goes_on = threading.Event()
    threads = [DatabaseThread(), DatabaseThread()]
    slow = threads[0].submit(goes_on.wait, TIMEOUT)
    assert threads[1].submit(lambda: "done").result(TIMEOUT) == "done"
    waiting = threads[0].submit(lambda: "done")
    assert not waiting.done()
    goes_on.set()
    assert slow.result(TIMEOUT)
    assert waiting.result(TIMEOUT) == "done"


def test_an_error_is_raised_where_the_call_was_made_and_not_kept() -> None:
    class Kept:
        pass

    def fail(kept: Kept) -> None:
        raise SystemExit("no")

    thread, kept = DatabaseThread(), Kept()
    reference = weakref.ref(kept)
    gc.disable()
    try:
        with pytest.raises(SystemExit, match="no"):
            thread.submit(fail, kept).result(TIMEOUT)
        del kept
        ident(thread)  # goes on
        assert reference() is None
    finally:
        gc.enable()


def test_a_call_that_was_cancelled_is_not_made() -> None:
    goes_on, made = threading.Event(), []
    thread = DatabaseThread()
    thread.submit(goes_on.wait, TIMEOUT)
    assert thread.submit(made.append, 1).cancel()
    goes_on.set()
    ident(thread)
    assert made == []


def in_process(code: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has Django and two database threads, the first of which was used."""
    start = """
        import os, sys, threading, time
        import django
        django.setup()
        from bolt_ws import databases
        from bolt_ws.databases import DatabaseThread
        databases._threads += [DatabaseThread(), DatabaseThread()]
        thread = databases._threads[0]
        thread.submit(int).result(5)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(code)],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_query_that_hangs_does_not_keep_the_process() -> None:
    done = in_process(
        """
        databases.GRACE = 0.1
        thread.submit(time.sleep, 3600)
        print("the end")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")


def test_a_query_that_nobody_waits_for_is_finished_before_the_process_exits() -> None:
    done = in_process(
        """
        thread.submit(time.sleep, 0.3)
        thread.submit(print, "saved")
        print("the end")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\nsaved\n", "")


def test_a_fork_has_threads_of_its_own() -> None:
    done = in_process(
        """
        import asyncio, warnings
        from asgiref.sync import sync_to_async
        from django.test import override_settings

        warnings.simplefilter("ignore")  # of the fork: there are threads

        async def query():
            assert databases.assign_thread() is not None
            return await sync_to_async(os.getpid)()

        child = os.fork()
        if not child:
            with override_settings(BOLT_WS={"DB_THREADS": 1}):
                assert asyncio.run(asyncio.wait_for(query(), 5)) == os.getpid()
            print("queried")
            sys.exit()
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "queried\n", "")


# Stale connections


@pytest.fixture
def database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> Iterator[ConnectionHandler]:
    """Databases in files, whose connections are old as soon as they are made."""
    handler = ConnectionHandler(
        {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": tmp_path / "database",
                "CONN_MAX_AGE": 1e-9,
            },
            "other": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": tmp_path / "other",
                "CONN_MAX_AGE": 1e-9,
            },
        }
    )
    monkeypatch.setattr(databases, "connections", handler)
    with django_db_blocker.unblock():
        yield handler


@pytest.fixture
def shared() -> Iterator[ThreadPoolExecutor]:
    """The one thread of Django's synchronous code, not started yet."""
    with ThreadPoolExecutor(max_workers=1) as executor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(SyncToAsync, "single_thread_executor", executor)
        yield executor


Run = Callable[..., Any]


@pytest.fixture(params=["one", "several"])
def run(
    request: pytest.FixtureRequest, shared: ThreadPoolExecutor, database: ConnectionHandler
) -> Iterator[Run]:
    """Call a function in the one thread, or in one of several, and return what it returns."""
    executor: Executor = shared
    if request.param == "several":
        executor = DatabaseThread()
        databases._threads.append(executor)

    def run(function: Callable[..., Any], *, waits: bool = True) -> Any:
        future = executor.submit(function)
        return future.result(TIMEOUT) if waits else future

    yield run
    run(database.close_all)


async def test_stale_connections_are_closed_every_30_seconds(
    run: Run, database: ConnectionHandler
) -> None:
    for now, stays in {100.0: False, 101.0: True, 129.9: True, 130.0: False, 131.0: True}.items():
        run(lambda: database["default"].ensure_connection())
        look(now)
        assert run(lambda: database["default"].connection is not None) is stays, now


async def test_rows_that_are_being_read_go_on_where_no_age_is_the_end_of_a_request(
    run: Run, database: ConnectionHandler
) -> None:
    def begin() -> Any:
        database["default"].settings_dict["CONN_MAX_AGE"] = 0
        cursor = database["default"].cursor()
        cursor.execute("select 1 union select 2")
        assert cursor.fetchone() == (1,)
        return cursor

    cursor = run(begin)
    look(100.0)
    assert run(cursor.fetchone) == (2,)
    # As if the server had closed it. The thread has a connection of its own.
    run(lambda: setattr(database["default"], "is_usable", lambda: False))
    look(200.0)
    assert run(lambda: database["default"].connection is None)


async def test_a_transaction_is_left_alone(run: Run, database: ConnectionHandler) -> None:
    def begin() -> None:
        database["default"].set_autocommit(False)
        database["default"].in_atomic_block = True  # as between the ends of `atomic`

    def end() -> Any:
        with database["default"].cursor() as cursor:
            found = cursor.execute("select 1").fetchone()
        database["default"].in_atomic_block = False
        return found

    run(begin)
    look(100.0)
    assert run(end) == (1,)


async def test_a_connection_that_does_not_close_is_logged_and_skipped(
    run: Run, database: ConnectionHandler, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise DatabaseError("stuck")

    def begin() -> None:
        for each in database.all():
            each.ensure_connection()
        database["default"].close_if_unusable_or_obsolete = fail

    run(begin)
    look(100.0)
    assert run(lambda: [each.connection is None for each in database.all()]) == [False, True]
    assert [(each.name, each.levelno) for each in caplog.records] == [("bolt_ws", logging.ERROR)]


async def test_looks_do_not_pile_up_behind_a_slow_query(
    run: Run, database: ConnectionHandler
) -> None:
    goes_on = threading.Event()
    run(lambda: goes_on.wait(TIMEOUT), waits=False)
    look(100.0)
    run(lambda: database["default"].ensure_connection(), waits=False)
    look(200.0)
    goes_on.set()
    assert run(lambda: database["default"].connection is not None)
    look(300.0)
    assert run(lambda: database["default"].connection is None)


async def test_no_thread_is_started_to_look(
    shared: ThreadPoolExecutor, database: ConnectionHandler
) -> None:
    databases._threads.append(DatabaseThread())
    before = threading.active_count()
    look(100.0)
    assert threading.active_count() == before
    assert not databases._threads[0].is_started


async def test_without_a_database_nothing_is_done(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "connections", ConnectionHandler({}))
    run(int)
    look(100.0)
    assert not databases._closing


def test_a_test_case_keeps_its_connections(run: Run, database: ConnectionHandler) -> None:
    async def wait() -> None:
        look(100.0)

    run(lambda: database["default"].ensure_connection())
    async_to_sync(wait)()
    assert run(lambda: database["default"].connection is not None)


@pytest.mark.django_db
async def test_a_test_that_lends_its_connections_keeps_them() -> None:
    async with AsyncTestClient(BoltAPI()):
        await User.objects.acreate(username="ada")
        look(100.0)
        assert await User.objects.acount() == 1
    assert not databases._closing


async def test_a_process_that_exits_is_no_error(
    shared: ThreadPoolExecutor, database: ConnectionHandler
) -> None:
    shared.submit(int).result(TIMEOUT)
    shared.shutdown()
    look(100.0)


# What is said of them


@pytest.mark.parametrize(
    ("can_choose", "settings", "found"),
    [
        (False, {"DB_THREADS": 4}, ["bolt_ws.W006"]),
        (True, {"DB_THREADS": 4}, []),
        (False, {}, []),
        (False, {"DB_THREADS": 0}, []),  # bolt_ws.E003
    ],
)
def test_the_check_of_asgiref(
    can_choose: bool, settings: dict[str, Any], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_project, "CAN_CHOOSE_THREADS", can_choose)
    with override_settings(BOLT_WS=settings):
        assert [each.id for each in check_project.check_database_threads()] == found
        ids = [each.id for each in run_checks(tags=["bolt_ws"])]
        assert ("bolt_ws.W006" in ids) == bool(found)


@pytest.mark.django_db
def test_the_page_on_databases() -> None:
    page = run_page(ROOT / "docs" / "databases.md")
    User.objects.create(username="ADA")
    with TestClient(page.api) as client:
        with client.websocket_connect("/ws/users") as ws:
            for is_renamed in (True, False):
                ws.send_text("ADA")
                assert ws.receive_json() == {"renamed": is_renamed, "users": 1}
        with client.websocket_connect("/ws/count") as ws:
            ws.send_text("how many?")
            assert ws.receive_json() == 1
    with override_settings(BOLT_WS=page.BOLT_WS):
        assert get_settings().db_threads == 4
