"""A new token for a connection that is open."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from django.contrib.auth.models import User

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    WebSocket,
    WebSocketDisconnected,
    disconnect_user,
    disconnect_where,
    ticker,
    upkeep,
)
from bolt_ws.auth import (
    AllowAny,
    Authentication,
    AuthenticationFailed,
    Identity,
    JWTAuthentication,
)
from bolt_ws.registry import registry
from bolt_ws.testing import TestClient
from tests.identities import Clock, Named, nothing_left, opened
from tests.support import Connection, close, make_token, serve, talk, text

clean = pytest.fixture(nothing_left, autouse=True)
EXPIRED = close(4401, "token expired")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def summary(websocket: Any) -> str:
    """Return what the connection knows of its user."""
    context = websocket.context
    return json.dumps([context.user_id, sorted(context.permissions), context.claims.get("n")])


async def refresh(websocket: WebSocket) -> None:
    """A handler that takes each message for a token, and says what comes of it."""
    async for message in websocket.iter_text():
        try:
            await websocket.reauthenticate(message)
        except AuthenticationFailed as error:
            await websocket.send_text(f"{error.code}: {error.detail}")
        else:
            await websocket.send_text(summary(websocket))


def blocking_refresh(websocket: BlockingWebSocket) -> None:
    """The same, in blocking calls."""
    for message in websocket.iter_text():
        try:
            websocket.reauthenticate(message)
        except AuthenticationFailed as error:
            websocket.send_text(f"{error.code}: {error.detail}")
        else:
            websocket.send_text(summary(websocket))


HANDLERS = pytest.mark.parametrize("handler", [refresh, blocking_refresh])


async def begun(handler: Any, token: str = "", **options: Any) -> Connection:
    """Return a connection that is open, and has sent nothing yet."""
    application = serve(handler, auth=[JWTAuthentication()], auto_accept=True, **options)
    return await opened(application, query=f"token={token or make_token()}")


async def answer(connection: Connection, token: str) -> str:
    connection.put(token)
    event = await connection.next()
    assert event["type"] == "websocket.send", event
    return str(event["text"])


async def stop(connection: Connection) -> None:
    connection.leave()
    await connection.end()


def token_for(seconds: int, **claims: Any) -> str:
    return make_token(exp=int(time.time()) + seconds, **claims)


@HANDLERS
async def test_a_new_token_is_the_connections_from_now_on(handler: Any, clock: Clock) -> None:
    connection = await begun(handler, make_token(permissions=["a", "b"], n=1))
    told = await answer(connection, token_for(1000, permissions=["c"], n=2))
    assert json.loads(told) == ["7", ["c"], 2]
    clock.forward(500)  # the first has expired
    told = await answer(connection, token_for(2000))
    assert json.loads(told) == ["7", [], None]
    clock.forward(1000)
    assert await answer(connection, token_for(3000))
    clock.forward(2000)
    assert (await connection.end())[-1] == EXPIRED


async def test_identity_and_staff(clock: Clock) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        before = websocket.auth
        await websocket.reauthenticate(make_token(is_staff=True, is_superuser=True))
        seen.append(before is websocket.auth)
        seen.append((websocket.context.is_staff, websocket.context.is_superuser))
        seen.append(websocket.context.auth_backend)
        seen.append(websocket.context.mine)

    async def keeping(websocket: WebSocket) -> None:
        websocket.context.mine = "kept"
        await handler(websocket)

    await talk(serve(keeping, auth=[JWTAuthentication()]), query=f"token={make_token()}")
    assert seen == [False, (True, True), "JWTAuthentication", "kept"]


async def test_a_token_that_expires_sooner_counts_too(clock: Clock) -> None:
    connection = await begun(refresh, token_for(1000))
    assert await answer(connection, token_for(60))
    clock.forward(61)
    assert (await connection.end())[-1] == EXPIRED


BAD = {
    "expired": lambda: token_for(-1),
    "forged": lambda: make_token("another key, long enough for all of the algorithms" * 2),
    "no token": lambda: "hello",
    "empty": lambda: "",
    "too long": lambda: "x" * 10_000,
    "another user's": lambda: token_for(1000, sub="8"),
    "nobody's": lambda: make_token(sub=None),
}


@HANDLERS
@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_changes_nothing(handler: Any, kind: str, clock: Clock) -> None:
    connection = await begun(handler, make_token(permissions=["a"], n=1))
    token = BAD[kind]()
    told = await answer(connection, token)
    code = {"expired": "token_expired", "another user's": "another_user"}
    assert told.split(":")[0] == code.get(kind, "authentication_failed")
    if len(token) > 5:
        assert token not in told
    (care,) = upkeep._upkeeps[asyncio.get_running_loop()].cares.values()
    websocket: Any = care.entry.websocket
    assert json.loads(summary(websocket)) == ["7", ["a"], 1]
    clock.forward(61)
    assert (await connection.end())[-1] == EXPIRED


@pytest.mark.parametrize("token", [None, 5, ["x"], {}, b"x"])
async def test_what_a_client_sends_in_place_of_a_token(token: Any) -> None:
    class Own(Named):
        async def authenticate_token(self, token: str) -> Identity:
            raise AssertionError("was asked")

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(AuthenticationFailed, match="Invalid token"):
            await websocket.reauthenticate(token)
        await websocket.send_text("still here")

    sent = await talk(serve(handler, auth=[Own()]), query="user=7")
    assert sent[1] == text("still here")


async def test_a_bad_token_that_nobody_catches_closes_with_4401() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.reauthenticate("bad")

    sent = await talk(serve(handler, auth=[JWTAuthentication()]), query=f"token={make_token()}")
    assert sent[-1] == close(4401, "Invalid token")


async def test_where_nobody_authenticated() -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(RuntimeError, match="no authentication backend"):
            await websocket.reauthenticate(make_token())
        await websocket.send_text("so it is")

    for application in (
        serve(handler),
        serve(handler, auth=[JWTAuthentication()], guards=[AllowAny()]),
    ):
        assert (await talk(application))[1] == text("so it is")
    await handler(WebSocket.fake(user=User(pk=7)))


async def test_where_the_backend_knows_no_tokens() -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(RuntimeError, match=r"Named has no authenticate_token\(\)"):
            await websocket.reauthenticate(make_token())
        await websocket.send_text("so it is")

    # Another backend of the endpoint would, but it is not the one that knows the user.
    application = serve(handler, auth=[Named(), JWTAuthentication()])
    assert (await talk(application, query="user=7"))[1] == text("so it is")


@pytest.mark.django_db(transaction=True)  # the plain one runs where synchronous code does
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_backend_of_ones_own(is_async: bool) -> None:
    class Own(Authentication):
        async def authenticate(self, websocket: Any) -> Identity:
            return Identity("7")

        if is_async:

            async def authenticate_token(self, token: str) -> Identity:
                return Identity(token, claims={"n": 2})
        else:

            def authenticate_token(self, token: str) -> Identity:
                return Identity(token, claims={"n": 2})

    connection = await opened(serve(refresh, auth=[Own()], auto_accept=True))
    user_id, permissions, n = json.loads(await answer(connection, "7"))
    assert (user_id, permissions, n) == ("7", [], 2)
    assert await answer(connection, "8") == "another_user: The token is another user's"
    await stop(connection)


async def test_on_an_endpoint_that_does_not_close_at_expiry() -> None:
    connection = await begun(refresh, close_at_expiry=False)
    assert json.loads(await answer(connection, token_for(1000, n=2))) == ["7", [], 2]
    await stop(connection)


async def test_a_token_without_end_ends_the_care(clock: Clock) -> None:
    class Own(Named):
        async def authenticate_token(self, token: str) -> Identity:
            return Identity("7")

    connection = await opened(serve(refresh, auth=[Own(60)], auto_accept=True), query="user=7")
    assert await answer(connection, "x")
    clock.forward(61)
    await asyncio.sleep(ticker.TICK * 4)
    assert connection.terminal == []
    await stop(connection)


async def test_after_the_end() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.close()
        with pytest.raises(WebSocketDisconnected, match="reauthenticate"):
            await websocket.reauthenticate(make_token())

    await talk(serve(handler, auth=[JWTAuthentication()]), query=f"token={make_token()}")


async def test_who_is_told_to_go_meanwhile_goes() -> None:
    class Slow(Named):
        async def authenticate_token(self, token: str) -> Identity:
            disconnect_user("7")
            await asyncio.sleep(0.02)
            return Identity("7")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(WebSocketDisconnected, match="4401"):
            await websocket.reauthenticate("x")
        raised.append(True)

    raised: list[bool] = []
    connection = Connection(serve(handler, auth=[Slow()]), query="user=7")
    assert (await connection.end())[1:] == [close(4401)]
    assert raised == [True]


class Waiting(Named):
    """A backend that has verified a token, and is slow to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def authenticate_token(self, token: str) -> Identity:
        self.asked.set()
        await self.go.wait()
        if token == "bad":
            raise AuthenticationFailed("no")
        return Identity("7", claims={"jti": token})


def with_jti(jti: str) -> int:
    return disconnect_where(lambda websocket: websocket.context.claims.get("jti") == jti, 4010)


@HANDLERS
async def test_a_token_that_is_revoked_while_it_is_verified_leaves(handler: Any) -> None:
    backend = Waiting()
    connection = await opened(serve(handler, auth=[backend], auto_accept=True), query="user=7")
    connection.put("new")
    await backend.asked.wait()
    assert with_jti("new") == 0
    backend.go.set()
    assert (await connection.end())[1:] == [close(4010)]


async def test_what_a_handler_that_is_told_to_go_meanwhile_sees() -> None:
    backend = Waiting()
    raised: list[int] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(WebSocketDisconnected) as error:
            await websocket.reauthenticate("new")
        raised.append(error.value.code)

    connection = await opened(serve(handler, auth=[backend]), query="user=7")
    await backend.asked.wait()
    with_jti("new")
    backend.go.set()
    assert (await connection.end())[1:] == [close(4010)]
    assert raised == [4010]


async def test_a_condition_that_raises_meanwhile_leaves(caplog: pytest.LogCaptureFixture) -> None:
    backend = Waiting()
    connection = await opened(serve(refresh, auth=[backend], auto_accept=True), query="user=7")
    connection.put("new")
    await backend.asked.wait()
    disconnect_where(lambda websocket: bool(websocket.context.claims and 1 // 0), 4010)
    backend.go.set()
    assert (await connection.end())[1:] == [close(4010)]
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info


@pytest.mark.parametrize("token", ["other", "bad"])
async def test_orders_for_others_are_forgotten(token: str) -> None:
    backend = Waiting()
    connection = await opened(serve(refresh, auth=[backend], auto_accept=True), query="user=7")
    connection.put(token)
    await backend.asked.wait()
    assert with_jti("new") == 0
    assert len(registry) == 1  # counted once
    backend.go.set()
    assert (await connection.next())["type"] == "websocket.send"
    assert not registry._entering
    assert await answer(connection, "new")  # an order is for those of its time
    await stop(connection)


async def test_two_at_once_hear_of_the_same_orders() -> None:
    backend = Waiting()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.gather(
            *(websocket.reauthenticate(token) for token in ("bad", "new")), return_exceptions=True
        )

    connection = await opened(serve(handler, auth=[backend]), query="user=7")
    await backend.asked.wait()
    await asyncio.sleep(0)
    with_jti("new")
    backend.go.set()
    assert (await connection.end())[1:] == [close(4010)]


async def test_it_does_not_stop_an_end_that_has_begun() -> None:
    class Own(Named):
        async def authenticate_token(self, token: str) -> Identity:
            return Identity("7")

    parting, tried = asyncio.Event(), asyncio.Event()
    raised: list[int] = []
    api = BoltAPI(auth=[Own()])

    @api.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await parting.wait()
        try:
            await websocket.reauthenticate("x")
        except WebSocketDisconnected as error:
            raised.append(error.code)
        tried.set()

    @handler.on_close
    async def part(websocket: WebSocket) -> None:
        parting.set()
        await tried.wait()

    connection = await opened(api.as_asgi(), query="user=7")
    disconnect_user("7")
    await connection.end()
    assert raised == [4401]


@pytest.mark.django_db(transaction=True)
def test_the_user_is_asked_for_again() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text((await websocket.auser()).username)
        await websocket.reauthenticate(await websocket.receive_text())
        with pytest.raises(AuthenticationFailed, match="inactive"):
            await websocket.auser()
        await websocket.send_text("inactive")

    user = User.objects.create(username="alice")
    token = make_token(sub=str(user.pk))
    with (
        TestClient(serve(handler, auth=[JWTAuthentication()])) as client,
        client.websocket_connect(f"/?token={token}") as websocket,
    ):
        assert websocket.receive_text() == "alice"
        User.objects.update(is_active=False)
        websocket.send_text(token)
        assert websocket.receive_text() == "inactive"
