"""Django's session cookie before accept."""

import asyncio
import contextvars
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.db import OperationalError
from django.test import Client, override_settings
from django.utils import timezone

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.auth import (
    AllowAny,
    HasPermission,
    Identity,
    JWTAuthentication,
    SessionAuthentication,
)
from bolt_ws.testing import AsyncTestClient, TestClient
from bolt_ws.testing.login import session_cookie
from tests.support import make_scope

Queries = Callable[[int], Any]

ENGINES = ["db", "cache", "cached_db", "file", "signed_cookies"]
COOKIE = settings.SESSION_COOKIE_NAME


@contextmanager
def using(engine: str, folder: Path) -> Iterator[None]:
    """Keep sessions in one of Django's engines, and files in `folder`."""
    if hasattr(FileStore, "_storage_path"):  # of the test before
        del FileStore._storage_path
    where = f"django.contrib.sessions.backends.{engine}"
    with override_settings(SESSION_ENGINE=where, SESSION_FILE_PATH=str(folder)):
        yield
    caches["default"].clear()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Each of Django's session engines."""
    with using(request.param, tmp_path):
        yield request.param


async def whoami(websocket: WebSocket) -> None:
    await websocket.send_json([websocket.context.user_id, websocket.context.auth_backend])


def whoami_blocking(websocket: BlockingWebSocket) -> None:
    websocket.send_json([websocket.context.user_id, websocket.context.auth_backend])


def api_of(handler: Any = whoami, *, permissions: bool = False, **options: Any) -> BoltAPI:
    api = BoltAPI()
    auth = [SessionAuthentication(permissions=permissions)]
    api.websocket("/ws", auth=auth, **options)(handler)
    return api


def entered(cookies: dict[str, str], **options: Any) -> bool:
    """Whether somebody is known by the cookies; nobody is anonymous, and no failure."""
    client = TestClient(api_of(guards=[AllowAny()], **options), cookies=cookies)
    with client.websocket_connect("/ws") as ws:
        user_id, backend = ws.receive_json()
    assert (user_id is None) == (backend is None)
    return user_id is not None


def identify(cookies: dict[str, str], **options: Any) -> Identity | None:
    """What the backend itself finds out."""
    return SessionAuthentication(**options)._identify(cookies[COOKIE])


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create(username="alice", password="the hash of an old one")


@pytest.mark.parametrize("handler", [whoami, whoami_blocking])
def test_a_good_cookie(engine: str, handler: Any, alice: User) -> None:
    with TestClient(api_of(handler), cookies=session_cookie(alice)) as client:
        with client.websocket_connect("/ws") as ws:
            assert ws.receive_json() == [str(alice.pk), "SessionAuthentication"]
        client.cookies.clear()
        client.assert_refused("/ws", 401)


@pytest.mark.django_db
async def test_a_good_cookie_in_a_coroutine(engine: str) -> None:
    async with AsyncTestClient(api_of()) as client:
        alice = await User.objects.acreate(username="alice")
        await client.force_login(alice)
        async with client.websocket_connect("/ws") as ws:
            assert await ws.receive_json() == [str(alice.pk), "SessionAuthentication"]


def test_what_is_known_of_the_user(alice: User) -> None:
    alice.is_staff = alice.is_superuser = True
    alice.save()
    before = time.time()
    identity = identify(session_cookie(alice))
    assert identity is not None
    assert dataclasses.replace(identity, expires_at=None) == Identity(
        str(alice.pk), is_staff=True, is_superuser=True, is_ambient=True
    )
    assert identity.user == alice
    assert identity.expires_at is not None
    assert before <= identity.expires_at - settings.SESSION_COOKIE_AGE <= time.time()
    assert "session" not in repr(identity)


def test_nobody_sees_the_cookie_in_the_context(alice: User) -> None:
    seen: dict[str, Any] = {}

    async def handler(websocket: WebSocket) -> None:
        seen.update(websocket.context)
        await websocket.accept()

    cookies = session_cookie(alice)
    with TestClient(api_of(handler), cookies=cookies).websocket_connect("/ws") as ws:
        ws.assert_closed(1000)
    assert seen["user_id"] == str(alice.pk)
    assert cookies[COOKIE] not in str(seen)
    assert repr(SessionAuthentication()) == "<SessionAuthentication>"


def test_it_is_ambient() -> None:
    assert SessionAuthentication().is_ambient
    assert not JWTAuthentication().is_ambient


def test_without_an_origin_a_cookie_is_not_enough(alice: User) -> None:
    cookies = session_cookie(alice)
    TestClient(api_of(), cookies=cookies, origin=None).assert_refused("/ws", 403)
    TestClient(api_of(), cookies=cookies, origin="https://evil.example").assert_refused("/ws", 403)


# What it costs


@pytest.mark.parametrize("cookies", [{}, {COOKIE: ""}, {"other": "x" * 40}])
def test_without_a_cookie_no_query_and_no_thread(cookies: dict[str, str]) -> None:
    pairs = "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()
    websocket = WebSocket.fake(headers={"Cookie": pairs.decode()} if pairs else {})
    assert SessionAuthentication().authenticate(websocket) is None  # and nothing to await
    assert not entered(cookies)  # without the database, a query would raise


@pytest.mark.parametrize(
    ("where", "queries"),
    [("db", 2), ("cached_db", 1), ("cache", 1), ("file", 1), ("signed_cookies", 1)],
)
def test_with_a_cookie_the_session_and_the_user(
    where: str, queries: int, alice: User, tmp_path: Path, django_assert_num_queries: Queries
) -> None:
    with using(where, tmp_path):
        cookies = session_cookie(alice)
        with django_assert_num_queries(queries):
            assert entered(cookies)


def test_the_user_costs_no_query_more(alice: User, django_assert_num_queries: Queries) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text((await websocket.auser()).username + websocket.user.username)

    client = TestClient(api_of(handler), cookies=session_cookie(alice))
    with django_assert_num_queries(2), client.websocket_connect("/ws") as ws:
        assert ws.receive_text() == "alicealice"


def test_permissions_are_loaded_only_when_asked_for(
    alice: User, django_assert_num_queries: Queries
) -> None:
    alice.user_permissions.add(Permission.objects.get(codename="change_user"))
    group = Group.objects.create(name="writers")
    group.permissions.add(Permission.objects.get(codename="add_group"))
    alice.groups.add(group)
    cookies = session_cookie(alice)
    guards = [HasPermission("auth.change_user"), HasPermission("auth.add_group")]
    TestClient(api_of(guards=guards), cookies=cookies).assert_refused("/ws", 403)
    client = TestClient(api_of(permissions=True, guards=guards), cookies=cookies)
    with django_assert_num_queries(4), client.websocket_connect("/ws") as ws:
        ws.receive_json()
    with django_assert_num_queries(2):
        assert entered(cookies)


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["cache", "cached_db"])
async def test_a_connection_keeps_no_cache_open(where: str) -> None:
    async def look() -> int:
        found = SessionAuthentication().authenticate(WebSocket.fake(cookies={COOKIE: "a" * 32}))
        assert found is not None
        assert await found is None
        return len(caches.all(initialized_only=True))

    async with AsyncTestClient(BoltAPI()):
        with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{where}"):
            connection = asyncio.create_task(look(), context=contextvars.Context())
            assert await connection == 0


# Sessions of nobody


def test_a_session_without_a_user(engine: str, db: None) -> None:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session["basket"] = [1, 2, 3]
    session.save()
    assert not entered({COOKIE: session.session_key})


def test_a_user_who_is_inactive_or_gone(engine: str, alice: User) -> None:
    cookies = session_cookie(alice)
    assert entered(cookies)
    User.objects.update(is_active=False)
    assert not entered(cookies)
    User.objects.all().delete()
    assert not entered(cookies)


def test_an_inactive_user_whom_another_backend_lets_in(alice: User) -> None:
    backend = "django.contrib.auth.backends.AllowAllUsersModelBackend"
    with override_settings(AUTHENTICATION_BACKENDS=[backend]):
        cookies = session_cookie(alice)
        assert entered(cookies)
        User.objects.update(is_active=False)
        assert not entered(cookies)


def test_a_changed_password(engine: str, alice: User) -> None:
    cookies = session_cookie(alice)
    assert entered(cookies)
    alice.password = "the hash of a new one"
    alice.save()
    assert not entered(cookies)


def test_a_session_of_a_backend_that_is_not_there_any_more(alice: User) -> None:
    cookies = session_cookie(alice)
    with override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.BaseBackend"]):
        assert not entered(cookies)


def test_a_session_of_another_kind_of_user(alice: User) -> None:
    cookies = session_cookie(alice)
    session = import_module(settings.SESSION_ENGINE).SessionStore(cookies[COOKIE])
    session["_auth_user_id"] = "8d0e1b52-5d55-4ff7-b4dc-3f9c2ea7f6a1"
    session.save()
    assert not entered(cookies)


def test_a_logged_out_session(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    cookies = {COOKIE: client.cookies[COOKIE].value}
    assert entered(cookies)
    client.logout()
    assert not entered(cookies)


@pytest.mark.parametrize("where", ["db", "cached_db", "file"])
def test_an_expired_session(where: str, alice: User, tmp_path: Path) -> None:
    with using(where, tmp_path):
        cookies = session_cookie(alice)
        caches["default"].clear()
        Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
        with override_settings(SESSION_COOKIE_AGE=-1):
            assert not entered(cookies)


def set_expiry(cookies: dict[str, str], value: Any) -> dict[str, str]:
    session = import_module(settings.SESSION_ENGINE).SessionStore(cookies[COOKIE])
    session.set_expiry(value)
    session.save()
    return {COOKIE: session.session_key}


def test_an_expiry_of_its_own(engine: str, alice: User) -> None:
    cookies = set_expiry(session_cookie(alice), timezone.now() + timedelta(seconds=100))
    identity = identify(cookies)
    assert identity is not None
    assert identity.expires_at is not None
    assert 90 < identity.expires_at - time.time() <= 100


@pytest.mark.parametrize("where", ["db", "cached_db"])
@pytest.mark.parametrize("use_tz", [True, False])
def test_a_session_ends_when_its_row_says(
    where: str, use_tz: bool, alice: User, tmp_path: Path, django_assert_num_queries: Queries
) -> None:
    with using(where, tmp_path), override_settings(USE_TZ=use_tz):
        cookies = session_cookie(alice)
        caches["default"].clear()
        Session.objects.update(expire_date=timezone.now() + timedelta(seconds=100))
        with django_assert_num_queries(2):
            identity = identify(cookies)
    assert identity is not None
    assert identity.expires_at is not None
    assert 90 < identity.expires_at - time.time() <= 100


def test_where_no_row_is_read_a_session_ends_a_cookies_age_from_now(
    alice: User, tmp_path: Path
) -> None:
    with using("cached_db", tmp_path):  # its cache knows of no date
        cookies = session_cookie(alice)
        Session.objects.update(expire_date=timezone.now() + timedelta(seconds=100))
        identity = identify(cookies)
    assert identity is not None
    assert identity.expires_at is not None
    assert -10 < identity.expires_at - time.time() - settings.SESSION_COOKIE_AGE <= 0


def test_an_expiry_of_its_own_that_is_over(alice: User) -> None:
    # Django's signed cookies leave that to the browser.
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        cookies = set_expiry(session_cookie(alice), timezone.now() - timedelta(seconds=1))
        assert not entered(cookies)


# It is only read


def snapshot(folder: Path) -> Any:
    rows = sorted(Session.objects.values_list("session_key", "session_data", "expire_date"))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    cached = dict(getattr(caches["default"], "_cache", {}))
    return rows, files, cached


@pytest.mark.parametrize("reason", ["password", "fallback", "garbage", "expired", "unknown"])
def test_no_session_is_made_changed_or_deleted(
    engine: str, reason: str, alice: User, tmp_path: Path
) -> None:
    cookies, changed = session_cookie(alice), {}
    if reason == "password":
        alice.password = "the hash of a new one"
        alice.save()
    elif reason == "fallback":  # Django takes the occasion to renew the session
        changed = {"SECRET_KEY": "n" * 70, "SECRET_KEY_FALLBACKS": [settings.SECRET_KEY]}
    elif reason == "garbage":
        Session.objects.update(session_data="garbage")
        for path in tmp_path.iterdir():
            path.write_text("garbage")
    elif reason == "expired":
        changed = {"SESSION_COOKIE_AGE": -1}
    elif reason == "unknown":
        cookies = {COOKIE: "a" * 32}
    identify(cookies)  # it may have to fill a cache, once
    before = snapshot(tmp_path)
    with override_settings(**changed):
        is_known = entered(cookies)
    assert snapshot(tmp_path) == before
    if reason == "fallback":
        assert is_known
    elif reason in ("password", "unknown"):
        assert not is_known


# Cookies of all kinds


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "a" * 7,
        "a" * 32,
        "a" * 5000,
        "a" * 100_000,
        "é" * 32,
        "\x7f" * 32,
        '"\\000\\000\\000\\000\\000\\000\\000\\000\\000"',
        "\\000" * 10,
        "../../../../etc/passwd",
        "a/b/c/d/e/f",
        "' OR 1=1 --  ",
        "%00%00%00%00%00%00",
        "a=b=c=d=e=f=g",
        "None",
        ".eJxVjDEOgzAMRe_iGUUQULE7du8ZIid" * 4,
        "a\tb\tc\td\te\tf",
    ],
)
def test_a_strange_cookie_is_nobodys(
    engine: str, value: str, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    api = api_of(guards=[AllowAny()])
    client = TestClient(api, headers={"Cookie": f"{COOKIE}={value}"})
    with client.websocket_connect("/ws") as ws:
        assert ws.receive_json() == [None, None]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    TestClient(api_of(), headers={"Cookie": f"{COOKIE}={value}"}).assert_refused("/ws", 401)


@pytest.mark.parametrize("value", ["\x00" * 32, "a\x00" * 16, "a\n" * 16, "é" * 32, "a" * 4097])
def test_what_no_browser_sends_reaches_no_engine(value: str) -> None:
    websocket = WebSocket(make_scope(), *[_unused] * 2)
    websocket._cache["cookies"] = {COOKIE: value}
    assert SessionAuthentication().authenticate(websocket) is None


async def _unused(*args: object) -> Any:
    raise AssertionError


@pytest.mark.parametrize("header", ["", ";", "=", ";;=;", "sessionid", "=sessionid", "\x80\xff"])
def test_a_strange_cookie_header_is_nobodys(header: str) -> None:
    client = TestClient(api_of(guards=[AllowAny()]), headers={"Cookie": header})
    with client.websocket_connect("/ws") as ws:
        assert ws.receive_json() == [None, None]


def test_the_projects_cookie_name(alice: User) -> None:
    key = session_cookie(alice)[COOKIE]
    with override_settings(SESSION_COOKIE_NAME="other"):
        assert not entered({COOKIE: key})
        assert entered({"other": key})


def test_a_database_that_is_down_refuses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, alice: User
) -> None:
    def get(**kwargs: Any) -> User:
        raise OperationalError("no such host: db.internal")

    cookies = session_cookie(alice)
    monkeypatch.setattr(User._default_manager, "get", get)
    client = TestClient(api_of(guards=[AllowAny()]), cookies=cookies)
    refused = client.assert_refused("/ws", 500)
    assert b"db.internal" not in refused.body
    assert "OperationalError" in caplog.text
    assert cookies[COOKIE] not in caplog.text


def test_the_first_backend_that_knows_the_client_counts(alice: User) -> None:
    api = BoltAPI()
    api.websocket("/ws", auth=[JWTAuthentication(), SessionAuthentication()])(whoami)
    client = TestClient(api, cookies=session_cookie(alice))
    with client.websocket_connect("/ws", token=client.token_for(User(pk=99))) as ws:
        assert ws.receive_json() == ["99", "JWTAuthentication"]
    with client.websocket_connect("/ws") as ws:
        assert ws.receive_json() == [str(alice.pk), "SessionAuthentication"]
    client.assert_refused("/ws", 401, token="bad")
