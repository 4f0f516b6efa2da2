"""What stands between a handshake and its handler."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket, WebSocketException
from bolt_ws.auth import AllowAny, Authentication, AuthenticationFailed, Guard, Identity
from bolt_ws.auth.backends import nonblocking
from tests.support import Connection, close, serve, status, talk, text

# Synchronous steps run where Django's connections are cared for, which pytest-django takes for use.
pytestmark = pytest.mark.django_db(transaction=True)


async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


def guard(has_permission: Callable[[Any], Any]) -> Guard:
    """A guard made of a function, sync or async."""
    return type("Custom", (Guard,), {"has_permission": staticmethod(has_permission)})()


def backend(authenticate: Callable[[Any], Any]) -> Authentication:
    """A backend made of a function, sync or async."""
    return type("Custom", (Authentication,), {"authenticate": staticmethod(authenticate)})()


async def test_the_order_of_the_steps() -> None:
    steps: list[str] = []

    async def authenticate(websocket: WebSocket) -> Identity:
        steps.append("authenticate")
        return Identity("7")

    def first(websocket: WebSocket) -> bool:
        steps.append(f"first guard for {websocket.context.user_id}")
        return True

    async def second(websocket: WebSocket) -> bool:
        steps.append("second guard")
        return True

    async def note(websocket: WebSocket, n: int) -> None:
        steps.append("handler")

    options = {"auth": [backend(authenticate)], "guards": [guard(first), guard(second)]}
    assert await status(serve(note, **options), query="n=x") == 422
    assert steps == ["authenticate", "first guard for 7", "second guard"]
    await talk(serve(note, **options), query="n=1")
    assert steps[3:] == [*steps[:3], "handler"]


async def test_nobody_who_is_refused_learns_about_parameters() -> None:
    async def note(websocket: WebSocket, n: int) -> None: ...

    assert await status(serve(note, guards=[guard(lambda ws: False)]), query="n=x") == 403


async def test_the_first_backend_that_knows_the_client_counts() -> None:
    async def nobody(websocket: WebSocket) -> None:
        return None

    async def somebody(websocket: WebSocket) -> Identity:
        return Identity("1")

    async def never(websocket: WebSocket) -> Identity:
        raise AssertionError("asked too many")

    async def who(websocket: WebSocket) -> None:
        await websocket.send_text(websocket.context.user_id)

    sent = await talk(serve(who, auth=[backend(each) for each in (nobody, somebody, never)]))
    assert sent[1] == text("1")


async def test_auth_without_guards_wants_a_credential() -> None:
    assert await status(serve(handler, auth=[backend(lambda ws: None)])) == 401


async def test_allow_any_lets_anonymous_clients_in() -> None:
    application = serve(handler, auth=[backend(lambda ws: None)], guards=[AllowAny()])
    assert await status(application) == 101


@pytest.mark.parametrize("make_guards", [lambda: None, lambda: [AllowAny()]])
async def test_a_bad_credential_is_refused(make_guards: Any) -> None:
    async def fail(websocket: WebSocket) -> Identity:
        raise AuthenticationFailed("That is not you")

    application = serve(handler, auth=[backend(fail)], guards=make_guards())
    connection = Connection(application, deny=True)
    start, body = await connection.end()
    assert start["status"] == 401
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    assert body["body"] == b'{"detail":"That is not you","code":"authentication_failed"}'


async def test_a_bad_credential_is_not_saved_by_the_next_backend() -> None:
    def fail(websocket: WebSocket) -> Identity:
        raise AuthenticationFailed("no")

    application = serve(handler, auth=[backend(fail), backend(lambda ws: Identity("1"))])
    assert await status(application) == 401


@pytest.mark.parametrize("answer", [False, None, 0, 1, "yes", object()])
async def test_nothing_but_true_lets_in(answer: Any) -> None:
    async def later(websocket: WebSocket) -> Any:
        return answer

    assert await status(serve(handler, guards=[guard(lambda ws: answer)])) == 403
    assert await status(serve(handler, guards=[guard(later)])) == 403


async def test_every_guard_must_agree() -> None:
    yes, no = guard(lambda ws: True), guard(lambda ws: False)
    assert await status(serve(handler, guards=[yes, yes])) == 101
    assert await status(serve(handler, guards=[yes, no])) == 403
    assert await status(serve(handler, guards=[no, yes])) == 403


@pytest.mark.parametrize("make", [guard, backend])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_exception_refuses_and_is_logged_once(
    make: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(websocket: WebSocket) -> bool:
        raise LookupError("secret detail")

    async def fail_later(websocket: WebSocket) -> bool:
        raise LookupError("secret detail")

    option = "guards" if make is guard else "auth"
    application = serve(handler, **{option: [make(fail if kind == "sync" else fail_later)]})
    connection = Connection(application, deny=True, query="token=credential")
    start, body = await connection.end()
    assert start["status"] == 500
    assert b"secret" not in body["body"]
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert "LookupError: secret detail" in caplog.text
    assert logged.levelno == logging.ERROR
    assert "credential" not in caplog.text


async def test_permission_denied_in_a_guard_is_403() -> None:
    def deny(websocket: WebSocket) -> bool:
        raise PermissionDenied("Only on Mondays")

    connection = Connection(serve(handler, guards=[guard(deny)]), deny=True)
    start, body = await connection.end()
    assert start["status"] == 403
    assert b"Permission denied" in body["body"]


async def test_a_guard_fails_closed_on_a_server_without_denial() -> None:
    connection = Connection(serve(handler, guards=[guard(lambda ws: False)]))
    assert await connection.end() == [close(4403, "permission_denied")]


@pytest.mark.parametrize("step", ["auth", "guards"])
async def test_the_deadline_is_one_for_all_steps(step: str) -> None:
    async def slow(websocket: WebSocket) -> bool:
        await asyncio.sleep(30)
        return True

    make = guard if step == "guards" else backend
    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.05}):
        start = time.monotonic()
        assert await status(serve(handler, **{step: [make(slow)]})) == 503
        assert time.monotonic() - start < 3


async def test_the_deadline_adds_up() -> None:
    async def slow(websocket: WebSocket) -> bool:
        await asyncio.sleep(0.2)
        return True

    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.3}):
        assert await status(serve(handler, guards=[guard(slow)])) == 101
        assert await status(serve(handler, guards=[guard(slow)] * 3)) == 503


async def test_a_guards_own_timeout_is_an_exception_like_any_other() -> None:
    async def impatient(websocket: WebSocket) -> bool:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)
        return True

    assert await status(serve(handler, guards=[guard(impatient)])) == 500


async def test_the_deadline_does_not_reach_into_the_handler() -> None:
    async def slow(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(0.1)
        await websocket.send_text("still here")

    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.05}):
        assert text("still here") in await talk(serve(slow))


async def test_a_sync_step_runs_in_a_thread_and_an_async_one_does_not() -> None:
    threads: dict[str, int] = {}

    def sync(websocket: WebSocket) -> bool:
        threads["sync"] = threading.get_ident()
        return True

    async def later(websocket: WebSocket) -> bool:
        threads["async"] = threading.get_ident()
        return True

    @nonblocking
    def quick(websocket: WebSocket) -> bool:
        threads["quick"] = threading.get_ident()
        return True

    guards = [guard(each) for each in (sync, later, quick)]
    assert await status(serve(handler, guards=guards)) == 101
    here = threading.get_ident()
    assert threads["async"] == threads["quick"] == here != threads["sync"]


async def test_overriding_a_nonblocking_method_takes_its_mark_away() -> None:
    threads: list[int] = []

    class Slow(AllowAny):
        def has_permission(self, websocket: Any) -> bool:
            threads.append(threading.get_ident())
            return True

    assert await status(serve(handler, guards=[Slow()])) == 101
    assert threads != [threading.get_ident()]


async def test_a_sync_guard_uses_the_orm() -> None:
    await User.objects.acreate(username="alice")

    def knows_alice(websocket: WebSocket) -> bool:
        return User.objects.filter(username=websocket.query_params["name"]).exists()

    application = serve(handler, guards=[guard(knows_alice)])
    assert await status(application, query="name=alice") == 101
    assert await status(application, query="name=bob") == 403


async def test_an_async_guard_uses_the_orm() -> None:
    await User.objects.acreate(username="alice")

    async def knows_alice(websocket: WebSocket) -> bool:
        return await User.objects.filter(username="alice").aexists()

    assert await status(serve(handler, guards=[guard(knows_alice)])) == 101


async def test_a_sync_step_that_returns_an_awaitable_is_awaited() -> None:
    async def later(websocket: WebSocket) -> bool:
        return "yes" in websocket.query_params

    application = serve(handler, guards=[guard(lambda ws: later(ws))])
    assert await status(application, query="yes=1") == 101
    assert await status(application) == 403


@pytest.mark.parametrize("answer", [True, "alice", {"user_id": "1"}])
async def test_a_backend_that_returns_no_identity_lets_nobody_in(answer: Any) -> None:
    assert await status(serve(handler, auth=[backend(lambda ws: answer)])) == 500


async def test_a_broken_setting_refuses() -> None:
    application = serve(handler)
    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": "soon"}):
        connection = Connection(application)
        with contextlib.suppress(Exception):
            await connection.end()
    assert len(connection.terminal) == 1
    assert connection.sent[0]["type"] == "websocket.close"


async def test_more_query_parameters_than_django_allows_are_no_error_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ask(websocket: WebSocket, n: int = 0) -> None:
        await websocket.accept()

    query = "&".join(f"a{number}=" for number in range(2000))
    assert 400 <= await status(serve(ask), query=query) < 500
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Http404("no such room"), 404),
        (WebSocketException(4001, "not you"), 403),
        (SuspiciousOperation("odd"), 400),
        (ValidationError("bad"), 422),
    ],
)
async def test_what_a_guard_raises_means_what_it_means_in_a_handler(
    error: Exception, expected: int
) -> None:
    async def look(websocket: WebSocket) -> bool:
        raise error

    assert await status(serve(handler, guards=[guard(look)])) == expected


async def test_an_identity_of_nobody_refuses_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def authenticate(websocket: WebSocket) -> Identity:
        return Identity("")

    assert await status(serve(handler, auth=[backend(authenticate)])) == 500
    assert "a user's id is text" in caplog.text


async def test_a_path_is_logged_no_longer_than_it_helps(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(websocket: WebSocket) -> bool:
        raise LookupError

    application = serve(handler, "/{rest:path}", guards=[guard(fail)])
    assert await status(application, "/" + "\0" * 60_000) == 500
    first, second = caplog.records
    assert len(first.getMessage()) < 1000
    assert len(second.getMessage()) < 1000
    assert len(second.__dict__["refusal"]["path"]) == 200


async def test_every_backend_discards_though_another_fails() -> None:
    seen: list[str] = []

    def failing(name: str) -> Authentication:
        def discard_credentials(websocket: WebSocket) -> None:
            seen.append(f"{name} {str(websocket.url).partition('/')[2]}")
            raise LookupError(name)

        made = backend(lambda websocket: None)
        made.discard_credentials = discard_credentials  # type: ignore[method-assign,assignment]
        return made

    class Last(Authentication):
        def authenticate(self, websocket: Any) -> None: ...

        def discard_credentials(self, websocket: Any) -> None:
            seen.append("last")

    auth = [failing("one"), failing("two"), Last()]
    assert await status(serve(handler, auth=auth, guards=[AllowAny()])) == 500
    assert [each.split()[0] for each in seen] == ["one", "two", "last"]


@pytest.mark.parametrize("refuse", ["deny", "close"])
async def test_an_exception_handler_has_no_longer_than_admission(
    refuse: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def denied(websocket: WebSocket) -> bool:
        raise PermissionDenied

    api = BoltAPI(refuse=refuse)

    @api.exception_handler(PermissionDenied)
    async def hang(websocket: WebSocket, error: PermissionDenied) -> None:
        await asyncio.Event().wait()

    api.websocket("/", guards=[guard(denied)])(handler)
    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.05}):
        sent = await Connection(api.as_asgi(), deny=True).end()
    if refuse == "deny":
        assert sent[0]["status"] == 503
    else:
        assert sent[1] == close(4503, "Admission took too long")
    assert "503 admission_timeout" in caplog.text


async def test_an_exception_handler_of_an_open_connection_takes_its_time() -> None:
    api = BoltAPI()

    @api.exception_handler(LookupError)
    async def explain(websocket: WebSocket, error: LookupError) -> None:
        await asyncio.sleep(0.1)
        await websocket.close(4000)

    @api.websocket("/")
    async def fail(websocket: WebSocket) -> None:
        await websocket.accept()
        raise LookupError

    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.02}):
        assert (await Connection(api.as_asgi()).end())[1] == close(4000)


async def test_a_timeout_of_an_exception_handler_itself_is_a_fault() -> None:
    api = BoltAPI()

    @api.exception_handler(LookupError)
    async def give_up(websocket: WebSocket, error: LookupError) -> None:
        raise TimeoutError

    @api.websocket("/")
    async def fail(websocket: WebSocket) -> None:
        raise LookupError

    connection = Connection(api.as_asgi(), deny=True)
    with pytest.raises(TimeoutError):
        await connection.end()
    assert connection.sent[0]["status"] == 500
