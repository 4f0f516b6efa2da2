"""Tickets: minted for a user who is logged in, good for one handshake."""

import asyncio
import contextvars
import hashlib
import json
import math
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache, caches
from django.core.management import call_command
from django.http import HttpRequest
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.auth import (
    AllowAny,
    AuthenticationFailed,
    HasPermission,
    Identity,
    JWTAuthentication,
    TicketAuthentication,
    acreate_ticket,
    create_ticket,
    ticket_view,
)
from bolt_ws.auth.tickets import TICKET_LIFETIME, _redeem
from bolt_ws.testing import AsyncTestClient, TestClient
from tests.requirements import missing

# The cache may be a table, so tickets are redeemed where Django's connections are cared for, which
# pytest-django takes for use.
pytestmark = pytest.mark.django_db

urlpatterns = [path("ticket/", ticket_view)]

ALICE = User(pk=7, username="alice")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of the tests' own, on a Unix socket."""
    program = shutil.which("redis-server")
    if program is None:
        missing("redis", "there is no redis-server")
    # Not in tmp_path: the path of a Unix socket has 107 characters at most.
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis")
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if "accept connections" in line:
                    break
            else:
                pytest.fail("redis-server did not start")
            yield f"unix://{socket}"
        finally:
            server.kill()
            server.communicate()


@pytest.fixture(params=["locmem", "file", "table", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The caches of Django, each of them."""
    where: dict[str, Any] = {
        "locmem": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "file": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(tmp_path),
        },
        "table": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"},
    }
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        where["redis"] = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
    with override_settings(CACHES={"default": where[request.param]}):
        if request.param == "table":
            call_command("createcachetable", verbosity=0)
        yield request.param


@pytest.fixture(autouse=True)
def _clean_cache() -> Iterator[None]:
    yield
    cache.clear()


async def whoami(websocket: WebSocket) -> None:
    await websocket.send_json([websocket.context.user_id, websocket.context.auth_backend])


def whoami_blocking(websocket: BlockingWebSocket) -> None:
    websocket.send_json([websocket.context.user_id, websocket.context.auth_backend])


def api_of(*auth: Any, handler: Any = whoami, guards: Any = None) -> BoltAPI:
    api = BoltAPI()
    for where in ("/ws", "/other", "/raum/{name}"):
        api.websocket(where, auth=auth or [TicketAuthentication()], guards=guards)(handler)
    return api


def connect(ticket: str, where: str = "/ws", **options: Any) -> Any:
    """What the handler says of a connection with a ticket."""
    client = TestClient(api_of(**options))
    with client.websocket_connect(where, query={"ticket": ticket}) as ws:
        return ws.receive_json()


def refuse(ticket: str | list[str], where: str = "/ws", **options: Any) -> Any:
    """The body of a refusal with 401."""
    client = TestClient(api_of(**options))
    return client.assert_refused(where, 401, query={"ticket": ticket}).json()


# One ticket, one handshake


@pytest.mark.parametrize("handler", [whoami, whoami_blocking])
def test_a_ticket_is_good_once(store: str, handler: Any) -> None:
    ticket = create_ticket(ALICE)
    assert connect(ticket, handler=handler) == ["7", "TicketAuthentication"]
    body = {"detail": "Invalid ticket", "code": "invalid_ticket"}
    assert refuse(ticket, handler=handler) == body
    assert refuse(ticket, guards=[AllowAny()]) == body


async def test_a_ticket_is_good_once_in_a_coroutine(store: str) -> None:
    async with AsyncTestClient(api_of()) as client:
        ticket = await acreate_ticket(ALICE)
        async with client.websocket_connect("/ws", query={"ticket": ticket}) as ws:
            assert await ws.receive_json() == ["7", "TicketAuthentication"]
        await client.assert_refused("/ws", 401, query={"ticket": ticket})


# Not in a table, which other threads do not see while the test's transaction is open.
@pytest.mark.parametrize("store", ["locmem", "file", "redis"], indirect=True)
def test_of_many_at_once_one_gets_in(store: str) -> None:
    together = threading.Barrier(8)

    def redeem(ticket: str) -> bool:
        together.wait(5)
        try:
            return _redeem(ticket, "/ws") == Identity("7")
        except AuthenticationFailed:
            return False

    with ThreadPoolExecutor(8) as threads:
        for _ in range(50):
            assert sum(threads.map(redeem, [create_ticket(ALICE)] * 8)) == 1


def test_whoever_deletes_it_first_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both have seen that it is there.
    ticket = create_ticket(ALICE)
    monkeypatch.setattr(type(caches["default"]), "delete", lambda self, key: False)
    assert refuse(ticket) == {"detail": "Invalid ticket", "code": "invalid_ticket"}


def test_a_ticket_lives_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[Any] = []
    put = type(caches["default"]).set

    def note(self: Any, key: str, value: Any, timeout: Any) -> None:
        stored.append((key, timeout))
        put(self, key, value, timeout)

    monkeypatch.setattr(type(caches["default"]), "set", note)
    ticket = create_ticket(ALICE)
    create_ticket(ALICE, expires_in=5)
    assert stored[0] == ("bolt_ws.ticket." + hashlib.sha256(ticket.encode()).hexdigest(), 30)
    assert [timeout for _, timeout in stored] == [TICKET_LIFETIME, 5] == [30, 5]


def test_an_old_ticket(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = create_ticket(ALICE, expires_in=1)
    cache.touch("bolt_ws.ticket." + hashlib.sha256(ticket.encode()).hexdigest(), -1)
    assert refuse(ticket)["code"] == "invalid_ticket"


def test_the_cache_holds_no_ticket(tmp_path: Path) -> None:
    where = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"}
    with override_settings(CACHES={"default": {**where, "LOCATION": str(tmp_path)}}):
        ticket = create_ticket(ALICE)
        (stored,) = tmp_path.iterdir()
        assert ticket not in stored.name
        assert ticket.encode() not in stored.read_bytes()


# What it says


def test_it_says_who_the_user_was() -> None:
    admin = User(pk=8, is_staff=True, is_superuser=True)
    ticket = create_ticket(admin, permissions={"chat.add", "chat.view"})
    admin.is_staff = False
    assert _redeem(ticket, "/ws") == Identity(
        "8", is_staff=True, is_superuser=True, permissions=frozenset({"chat.add", "chat.view"})
    )
    assert _redeem(create_ticket(ALICE), "/ws") == Identity("7")


def test_it_says_which_cache_it_needs() -> None:
    assert TicketAuthentication().shared_caches == ("default",)


def test_permissions_are_for_guards() -> None:
    guards = [HasPermission("chat.add")]
    assert connect(create_ticket(ALICE, permissions=["chat.add"]), guards=guards)[0] == "7"
    client = TestClient(api_of(guards=guards))
    client.assert_refused("/ws", 403, query={"ticket": create_ticket(ALICE)})


def test_the_connection_outlives_the_ticket() -> None:
    assert _redeem(create_ticket(ALICE, expires_in=1), "/ws").expires_at is None


def test_the_end_of_the_connection(store: str) -> None:
    at = time.time() + 1000.5
    assert _redeem(create_ticket(ALICE, connection_expires_at=at), "/ws").expires_at == at


async def test_the_end_of_the_connection_in_a_coroutine() -> None:
    ticket = await acreate_ticket(ALICE, connection_expires_at=5)
    assert (await sync_to_async(_redeem)(ticket, "/ws")).expires_at == 5


def test_a_connection_that_would_have_ended_by_now() -> None:
    assert refuse(create_ticket(ALICE, connection_expires_at=1))["code"] == "token_expired"


@pytest.mark.parametrize("at", [0, -1, math.nan, math.inf, "1", True, datetime.now(UTC)])
def test_an_end_that_is_none(at: Any) -> None:
    with pytest.raises(ValueError, match="connection_expires_at is in seconds since 1970"):
        create_ticket(ALICE, connection_expires_at=at)


def test_the_user_is_loaded_when_asked_for(
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_json((await websocket.auser()).username)

    alice = User.objects.create(username="alice")
    with django_assert_num_queries(1):
        assert connect(create_ticket(alice), handler=handler) == "alice"
    with django_assert_num_queries(0):
        assert connect(create_ticket(alice)) == [str(alice.pk), "TicketAuthentication"]


# A ticket for one path


@pytest.mark.parametrize("where", ["/ws", "/raum/grün"])
def test_a_ticket_for_a_path(where: str) -> None:
    assert connect(create_ticket(ALICE, path=where), where)[0] == "7"
    ticket = create_ticket(ALICE, path=where)
    assert refuse(ticket, "/other")["code"] == "invalid_ticket"
    assert refuse(ticket, where)["code"] == "invalid_ticket"  # it was used up


# Nobody sees it


def test_the_ticket_is_gone_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def look(websocket: WebSocket, ticket: str = "taken", a: int = 0) -> None:
        parts = (websocket.scope, websocket.context, websocket.auth, websocket.url)
        seen.append(repr([*parts, websocket.query_params, websocket.request.GET, ticket]))
        await websocket.accept()

    ticket = create_ticket(ALICE)
    with TestClient(api_of(handler=look)).websocket_connect(f"/ws?ticket={ticket}&a=1") as ws:
        ws.assert_closed(1000)
    assert ticket not in seen[0]
    assert "taken" in seen[0]
    assert "a=1" in seen[0]
    refuse(ticket)
    assert ticket not in caplog.text


def test_a_ticket_that_nobody_asked_for_is_gone_too() -> None:
    async def look(websocket: WebSocket) -> None:
        await websocket.send_json(str(websocket.url))

    ticket = create_ticket(ALICE)
    client = TestClient(api_of(JWTAuthentication(), TicketAuthentication(), handler=look))
    query = {"ticket": ticket, "token": client.token_for(ALICE)}
    with client.websocket_connect("/ws", query=query) as ws:
        assert ticket not in ws.receive_json()
    websocket = WebSocket.fake(query={"ticket": ticket})
    TicketAuthentication().discard_credentials(websocket)
    assert websocket.query_params == {}
    assert connect(ticket)[0] == "7"  # it was not used


# Whatever else comes


@pytest.mark.parametrize(
    "ticket",
    ["", "x", "x" * 42, "x" * 43, "x" * 44, "x" * 100_000, "é" * 43, "\x00" * 43, " " * 43, "%00"],
)
def test_a_bad_ticket_is_refused_even_where_anybody_may_come(store: str, ticket: str) -> None:
    assert refuse(ticket, guards=[AllowAny()])["code"] == "invalid_ticket"


@pytest.mark.parametrize("length", [0, 1, 42, 44, 100_000])
def test_the_cache_is_not_asked_for_what_is_no_ticket(length: int) -> None:
    with pytest.raises(AuthenticationFailed):
        TicketAuthentication().authenticate(WebSocket.fake(query={"ticket": "x" * length}))


def test_the_hash_of_a_ticket_is_no_ticket() -> None:
    ticket = create_ticket(ALICE)
    refuse(hashlib.sha256(ticket.encode()).hexdigest())
    refuse("bolt_ws.ticket." + hashlib.sha256(ticket.encode()).hexdigest())


def test_two_tickets_are_refused() -> None:
    assert refuse([create_ticket(ALICE), create_ticket(ALICE)])["detail"].startswith("More than")


def test_no_ticket_is_nobody_and_costs_nothing() -> None:
    assert TicketAuthentication().authenticate(WebSocket.fake()) is None
    TestClient(api_of()).assert_refused("/ws", 401)
    with TestClient(api_of(guards=[AllowAny()])).websocket_connect("/ws") as ws:
        assert ws.receive_json() == [None, None]


def test_a_cache_that_is_down_refuses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def get(self: Any, key: str) -> Any:
        raise ConnectionError("no such host: redis.internal")

    ticket = create_ticket(ALICE)
    monkeypatch.setattr(type(caches["default"]), "get", get)
    client = TestClient(api_of(guards=[AllowAny()]))
    refused = client.assert_refused("/ws", 500, query={"ticket": ticket})
    assert b"redis.internal" not in refused.body
    assert "ConnectionError" in caplog.text
    assert ticket not in caplog.text


def test_a_cache_that_keeps_nothing_lets_nobody_in() -> None:
    where = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    with override_settings(CACHES={"default": where}):
        refuse(create_ticket(ALICE))


async def test_a_connection_keeps_no_cache_open() -> None:
    ticket = await sync_to_async(create_ticket)(ALICE)

    async def look() -> int:
        found = TicketAuthentication().authenticate(WebSocket.fake(query={"ticket": ticket}))
        assert found is not None
        assert await found == Identity("7")
        return len(caches.all(initialized_only=True))

    async with AsyncTestClient(BoltAPI()):
        assert await asyncio.create_task(look(), context=contextvars.Context()) == 0


# Minting


def request_of(user: Any) -> HttpRequest:
    request = RequestFactory().post("/ticket/")
    request.user = user
    return request


def test_the_user_of_a_request() -> None:
    assert _redeem(create_ticket(request_of(ALICE)), "/ws") == Identity("7")


async def test_the_user_of_a_request_in_a_coroutine() -> None:
    class Foreign:
        user = ALICE

    async def auser() -> User:
        return ALICE

    request = AsyncRequestFactory().post("/ticket/")
    request.auser = auser
    for given in (request, Foreign(), ALICE):
        ticket = await acreate_ticket(given)
        assert await sync_to_async(_redeem)(ticket, "/ws") == Identity("7")


@pytest.mark.parametrize(
    "user", [AnonymousUser(), User(username="new"), User(pk=7, is_active=False)]
)
@pytest.mark.parametrize("wrap", [request_of, lambda user: user])
async def test_nobody_gets_no_ticket(user: Any, wrap: Any) -> None:
    with pytest.raises(ValueError, match="a ticket needs a saved, active user"):
        create_ticket(wrap(user))
    if not isinstance(wrap(user), HttpRequest):
        with pytest.raises(ValueError, match="a ticket needs a saved, active user"):
            await acreate_ticket(user)


@pytest.mark.parametrize("expires_in", [0, -1, 0.5, 1.0, 301, 10**9, None, "30", True])
def test_a_time_that_is_none(expires_in: Any) -> None:
    with pytest.raises(ValueError, match="expires_in is 1 to 300 whole seconds"):
        create_ticket(ALICE, expires_in=expires_in)


@pytest.mark.parametrize("where", ["", "ws", "ws://testserver/ws", "/ws?a=1"])
def test_a_path_that_is_none(where: str) -> None:
    with pytest.raises(ValueError, match="path is that of a handshake"):
        create_ticket(ALICE, path=where)


def test_permissions_that_are_one_text() -> None:
    with pytest.raises(ValueError, match="permissions are several"):
        create_ticket(ALICE, permissions="chat.add")


# The view


WITH_SESSIONS = override_settings(
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
)


@pytest.fixture
def browser() -> Iterator[Client]:
    with WITH_SESSIONS:
        yield Client()


def test_the_view_gives_a_ticket(browser: Client) -> None:
    alice = User.objects.create(username="alice")
    browser.force_login(alice)
    answer = browser.post("/ticket/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert "no-store" in answer["Cache-Control"]
    body = json.loads(answer.content)
    assert body.keys() == {"ticket", "expires_in"}
    assert body["expires_in"] == 30
    assert connect(body["ticket"]) == [str(alice.pk), "TicketAuthentication"]


async def test_the_view_under_asgi() -> None:
    from django.test import AsyncClient

    async with AsyncTestClient(api_of()) as client:
        alice = await User.objects.acreate(username="alice")
        with WITH_SESSIONS:
            browser = AsyncClient()
            await browser.aforce_login(alice)
            answer = await browser.post("/ticket/")
        query = {"ticket": json.loads(answer.content)["ticket"]}
        async with client.websocket_connect("/ws", query=query) as ws:
            assert (await ws.receive_json())[0] == str(alice.pk)


@pytest.mark.parametrize("who", ["anonymous", "inactive"])
def test_the_view_has_none_for_others(browser: Client, who: str) -> None:
    if who == "inactive":
        browser.force_login(User.objects.create(username="alice"))
        User.objects.update(is_active=False)
    answer = browser.post("/ticket/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Session"
    assert "no-store" in answer["Cache-Control"]
    assert json.loads(answer.content)["code"] == "not_authenticated"


def test_the_view_checks_whom_the_middleware_let_through() -> None:
    request = request_of(User(pk=7, is_active=False))
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    assert ticket_view(request).status_code == 401


@pytest.mark.parametrize("method", ["get", "put", "delete", "options", "head"])
def test_the_view_is_for_posts(browser: Client, method: str) -> None:
    browser.force_login(User.objects.create(username="alice"))
    answer = getattr(browser, method)("/ticket/")
    assert answer.status_code == 405
    assert "no-store" in answer["Cache-Control"]


def test_the_view_wants_a_csrf_token(browser: Client) -> None:
    alice = User.objects.create(username="alice")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/ticket/").status_code == 403
    strict.cookies["csrftoken"] = secret = "a" * 32
    assert strict.post("/ticket/", headers={"X-CSRFToken": secret}).status_code == 200
