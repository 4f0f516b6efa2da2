"""Tokens that are valid no longer, although they have not expired."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client, override_settings

from bolt_ws import DeclarationError, WebSocket, adisconnect_user, disconnect_user
from bolt_ws.auth import AllowAny, AuthenticationFailed, JWTAuthentication, RevocationStore
from bolt_ws.auth import revocation as module
from bolt_ws.testing import TestClient
from tests.identities import listen, nothing_left, opened
from tests.support import Connection, close, make_token, serve, status, talk, text

# A cache may be in the database, so it is used where Django's connections are cared for.
pytestmark = pytest.mark.django_db(transaction=True)
clean = pytest.fixture(nothing_left, autouse=True)

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
CACHES = {
    "default": {"BACKEND": LOCMEM, "LOCATION": "default"},
    "other": {"BACKEND": LOCMEM, "LOCATION": "other", "KEY_PREFIX": "p", "VERSION": 3},
    "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "broken": {"BACKEND": "tests.test_revocation.BrokenCache"},
    "forgetful": {"BACKEND": "tests.test_revocation.ForgetfulCache"},
    "file": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"},
}


class BrokenCache(LocMemCache):
    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__("broken", params)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("secret address of the cache")

    set = get


class ForgetfulCache(LocMemCache):
    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__("forgetful", params)

    def set(self, *args: Any, **kwargs: Any) -> None:
        """Be full, and say nothing."""


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Any) -> Iterator[None]:
    file = {**CACHES["file"], "LOCATION": str(tmp_path)}
    with override_settings(CACHES={**CACHES, "file": file}):
        yield
        for alias in ("default", "other"):
            caches[alias].clear()


def guarded(store: RevocationStore, handler: Any = listen, **options: Any) -> Any:
    return serve(handler, auth=[JWTAuthentication(revocation=store, **options)])


async def enters(store: RevocationStore, token: str = "", **claims: Any) -> bool:
    """Tell whether a token lets in."""
    answer = await status(guarded(store), query=f"token={token or make_token(**claims)}")
    assert answer in (101, 401)
    return answer == 101


# One token


async def test_a_revoked_token_is_refused() -> None:
    store = RevocationStore()
    assert await enters(store, jti="a")
    await store.arevoke("a")
    assert not await enters(store, jti="a")
    assert await enters(store, jti="b")
    assert await enters(store)


async def test_how_it_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    store = RevocationStore()
    await store.arevoke("the-jti")
    token = make_token(jti="the-jti")
    start, body = await Connection(guarded(store), query=f"token={token}", deny=True).end()
    assert start["status"] == 401
    assert body["body"] == b'{"detail":"Token revoked","code":"token_revoked"}'
    assert "token_revoked" in caplog.text
    assert "the-jti" not in caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize(
    "jti",
    ["a", "with space", "\n\0", "\N{SNOWMAN}", "x" * 5000, "bolt_ws:revoked:user:1", "\ud800"],
)
@pytest.mark.parametrize("alias", ["default", "other", "file"])
def test_any_text_may_be_an_id(jti: str, alias: str) -> None:
    store = RevocationStore(alias)
    assert not store.is_revoked({"jti": jti})
    store.revoke(jti)
    assert store.is_revoked({"jti": jti})
    assert not store.is_revoked({"jti": jti + "x", "sub": jti})


def test_what_is_no_id() -> None:
    store = RevocationStore()
    for jti in (None, "", [], True, b"x"):
        with pytest.raises(TypeError, match="takes the claim 'jti'"):
            store.revoke(jti)  # type: ignore[arg-type]
    for jti in ("", [], {}, True, 1.5):
        assert store.is_revoked({"jti": jti, "sub": "7"})
    store.revoke(5)
    assert store.is_revoked({"jti": 5})
    assert store.is_revoked({"jti": "5"})
    assert not store.is_revoked({})


def test_it_is_kept_until_the_token_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[float | None] = []

    class Noting(LocMemCache):
        def set(self, key: Any, value: Any, timeout: Any = 0, version: Any = None) -> None:
            kept.append(timeout)
            super().set(key, value, timeout, version)

    store = RevocationStore()
    monkeypatch.setattr(RevocationStore, "_cache", property(lambda self: Noting("noting", {})))
    now = time.time()
    store.revoke("a", until=now + 600)
    store.revoke("b")
    store.revoke("c", until=now - 86400)
    store.revoke_user("7")
    first, second, third, fourth = kept
    assert first == pytest.approx(600 + module.MARGIN, abs=5)
    assert third == module.MARGIN
    assert (second, fourth) == (None, None)


# All tokens of a user


async def test_all_tokens_of_a_user_are_refused() -> None:
    store = RevocationStore()
    now = int(time.time())
    assert await enters(store, iat=now - 60)
    await store.arevoke_user("7")
    assert not await enters(store, iat=now - 60)
    assert not await enters(store, iat=0)
    assert not await enters(store)  # who knows when that was issued
    assert await enters(store, iat=now - 60, sub="8")
    assert await enters(store, sub="77")


async def test_a_token_that_is_issued_later_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RevocationStore()
    now = int(time.time())
    monkeypatch.setattr(module, "wall_clock", lambda: now - 10 + 0.5)
    store.revoke_user(7)
    assert not await enters(store, iat=now - 11)
    assert not await enters(store, iat=now - 10)  # in the same second: before or after, who knows
    assert await enters(store, iat=now - 9)
    assert not await enters(store, iat=now - 10 + 0.4)  # one that says it more exactly
    assert await enters(store, iat=now - 10 + 0.6)


@pytest.mark.parametrize("issued_at", [None, "9999999999", math.nan, [], {}])
def test_a_time_of_issue_that_is_none(issued_at: Any) -> None:
    store = RevocationStore()
    claims = {"sub": "7", "iat": issued_at}
    assert not store.is_revoked(claims)
    store.revoke_user("7")
    assert store.is_revoked(claims)


async def test_another_claim_may_name_the_user() -> None:
    store = RevocationStore()
    await store.arevoke_user("5")
    application = guarded(store, user_id_claim="user_id")
    for user_id, expected in ((5, 401), ("5", 401), (6, 101)):
        token = make_token(sub=None, user_id=user_id)
        assert await status(application, query=f"token={token}") == expected
    token = make_token(sub="5", user_id=6, iat=1)
    assert await status(application, query=f"token={token}") == 101


def test_a_user_in_place_of_the_id_is_an_error() -> None:
    for user in (User(pk=7), None):
        with pytest.raises(TypeError, match="expected a user's id"):
            RevocationStore().revoke_user(user)


def test_the_keys_show_nobody() -> None:
    store = RevocationStore()
    store.revoke("secret-jti")
    store.revoke_user("alice@example.com")
    keys = " ".join(cache._cache)  # type: ignore[attr-defined]
    assert keys.count("bolt_ws:revoked:") == 2
    assert "secret" not in keys
    assert "alice" not in keys


# The cache


def test_another_cache() -> None:
    store = RevocationStore("other")
    store.revoke("a")
    assert store.is_revoked({"jti": "a"})
    assert not RevocationStore().is_revoked({"jti": "a"})
    assert repr(store) == "<RevocationStore in the cache 'other'>"


def test_a_cache_that_is_not_there() -> None:
    with pytest.raises(DeclarationError, match=r"settings\.CACHES has no 'nowhere'"):
        RevocationStore("nowhere")


@pytest.mark.parametrize("alias", ["broken", "dummy"])
async def test_where_the_cache_fails_nobody_gets_in(
    alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    application = guarded(RevocationStore(alias))
    token = make_token()
    start, body = await Connection(application, query=f"token={token}", deny=True).end()
    assert start["status"] == 500
    assert b"secret" not in body["body"]
    assert b"Cache" not in body["body"]
    (record,) = [each for each in caplog.records if each.exc_info]
    assert record.levelno == logging.ERROR
    assert token not in caplog.text


@pytest.mark.parametrize("alias", ["broken", "dummy", "forgetful"])
def test_a_revocation_that_is_not_kept_is_an_error(alias: str) -> None:
    store = RevocationStore(alias)
    for revoke in (store.revoke, store.revoke_user):
        with pytest.raises((ConnectionError, RuntimeError)):
            revoke("7")


async def test_a_cache_that_hangs_is_bounded_by_admission(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(LocMemCache, "get_many", lambda *args: go_on.wait(5) and {})
    try:
        with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.1}):
            assert await status(guarded(RevocationStore()), query=f"token={make_token()}") == 503
    finally:
        go_on.set()


async def test_the_cache_does_not_stop_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    get_many = LocMemCache.get_many

    def note(self: Any, *args: Any) -> Any:
        threads.append(threading.get_ident())
        return get_many(self, *args)

    monkeypatch.setattr(LocMemCache, "get_many", note)
    assert await enters(RevocationStore(), jti="a")
    assert len(threads) == 1  # one call for both questions
    assert threads != [threading.get_ident()]


async def test_nothing_is_asked_of_a_bad_token(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RevocationStore("broken")
    assert not await enters(store, "bad")
    assert await status(guarded(store)) == 401


def test_no_store_is_an_error() -> None:
    for wrong in (RevocationStore, "default", object()):
        with pytest.raises(DeclarationError, match="revocation must be a RevocationStore"):
            JWTAuthentication(revocation=wrong)  # type: ignore[arg-type]


# Together with what is open


async def test_reauthenticating_with_a_revoked_token() -> None:
    store = RevocationStore()

    async def handler(websocket: WebSocket) -> None:
        await store.arevoke("a")
        with pytest.raises(AuthenticationFailed, match="Token revoked"):
            await websocket.reauthenticate(make_token(jti="a"))
        await websocket.reauthenticate(make_token(jti="b"))
        await websocket.send_text(websocket.context.claims["jti"])

    sent = await talk(guarded(store, handler), query=f"token={make_token(jti='a')}")
    assert sent[1] == text("b")


async def test_nobody_slips_through_between_the_check_and_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = RevocationStore()
    checked, go_on = asyncio.Event(), asyncio.Event()
    ask = RevocationStore.ais_revoked

    async def ask_and_wait(self: Any, *args: Any) -> bool:
        answer = await ask(self, *args)
        checked.set()
        await go_on.wait()
        return answer

    monkeypatch.setattr(RevocationStore, "ais_revoked", ask_and_wait)
    connection = Connection(guarded(store), query=f"token={make_token()}", deny=True)
    connection.start()
    await checked.wait()
    await store.arevoke_user("7")
    await adisconnect_user("7")
    go_on.set()
    assert (await connection.end())[0]["status"] == 401


async def test_who_is_revoked_and_disconnected_stays_out() -> None:
    store = RevocationStore()
    application = guarded(store)
    token = make_token(iat=int(time.time()) - 5)
    connection = await opened(application, query=f"token={token}")
    await store.arevoke_user("7")
    assert await adisconnect_user("7") == 1
    assert (await connection.end())[-1] == close(4401)
    assert await status(application, query=f"token={token}") == 401


async def test_an_anonymous_client_is_not_asked_for() -> None:
    backend = JWTAuthentication(revocation=RevocationStore("broken"))
    assert await status(serve(listen, auth=[backend], guards=[AllowAny()])) == 101


# What Django tells of


def leave(user_id: Any, reason: str) -> None:
    """Revoke and disconnect, as the documentation has it."""
    RevocationStore().revoke_user(user_id)
    disconnect_user(user_id, reason=reason)


class LeaveAtPasswordChange:
    """A password validator that validates nothing."""

    def password_changed(self, password: str, user: Any = None) -> None:
        """Hear of a change."""
        leave(user.pk, "password changed")


def leave_at_logout(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    leave(user.pk, "logged out")


@pytest.fixture
def signals() -> Iterator[None]:
    user_logged_out.connect(leave_at_logout)
    validators = [{"NAME": "tests.test_revocation.LeaveAtPasswordChange"}]
    with override_settings(AUTH_PASSWORD_VALIDATORS=validators):
        yield
    user_logged_out.disconnect(leave_at_logout)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("event", ["logged out", "password changed"])
def test_logout_and_a_changed_password(event: str) -> None:
    user = User.objects.create_user("alice", password="one")
    browser = Client()
    browser.force_login(user)
    cache.clear()  # a new password is a change too
    user = User.objects.get()
    token = make_token(sub=str(user.pk), iat=int(time.time()) - 5)
    with TestClient(guarded(RevocationStore())) as client:
        with client.websocket_connect(f"/?token={token}") as websocket:
            user.check_password("one")
            if event == "logged out":
                browser.logout()
            else:
                user.set_password("two")
                user.save()
            websocket.assert_closed(4401, event)
        client.assert_refused(f"/?token={token}", 401)
