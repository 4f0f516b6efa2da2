"""The handshake as Django's request."""

from __future__ import annotations

import gc
import weakref
from typing import Annotated, Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.test import override_settings

from bolt_ws import BoltAPI
from bolt_ws.auth import JWTAuthentication, create_jwt_for_user
from bolt_ws.dependencies import Dependencies
from bolt_ws.parameters import compile_binder
from bolt_ws.requests import get_request
from bolt_ws.testing import AsyncTestClient
from bolt_ws.websocket import WebSocket
from tests.support import serve, talk, text


def make_websocket(**scope: Any) -> WebSocket:
    headers = [
        (b"host", b"testserver"),
        (b"cookie", b"a=1; b=2"),
        (b"user-agent", b"test"),
        (b"content-type", b"multipart/form-data; boundary=x"),
    ]
    base = {
        "type": "websocket",
        "path": "/ws/room/5",
        "query_string": b"q=x&q=y",
        "headers": headers,
        "client": ("10.0.0.1", 1234),
        "server": ("127.0.0.1", 8000),
        "url_route": {"kwargs": {"room_id": 5}},
    }
    return WebSocket({**base, **scope}, None, None)  # type: ignore[arg-type]


def test_it_is_a_get_request_without_body() -> None:
    request = get_request(make_websocket())
    assert isinstance(request, HttpRequest)
    assert request.method == "GET"
    assert request.path == request.path_info == "/ws/room/5"
    assert request.get_full_path() == "/ws/room/5?q=x&q=y"
    assert request.GET.getlist("q") == ["x", "y"]
    assert request.COOKIES == {"a": "1", "b": "2"}
    assert request.headers["User-Agent"] == "test"
    assert request.META["REMOTE_ADDR"] == "10.0.0.1"
    assert request.get_host() == "testserver"
    assert request.body == b""
    assert not request.POST
    assert not request.FILES
    assert request.params == {"room_id": 5}


def test_root_path() -> None:
    request = get_request(make_websocket(root_path="/ws"))
    assert request.path_info == "/room/5"


@pytest.mark.parametrize(
    ("scope", "scheme"),
    [
        ({}, "http"),
        ({"scheme": "ws"}, "http"),
        ({"scheme": "wss"}, "https"),
        ({"headers": [(b"x-forwarded-proto", b"https")]}, "https"),
    ],
)
@override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"))
def test_its_scheme_is_that_of_http(scope: dict[str, Any], scheme: str) -> None:
    request = get_request(make_websocket(**scope))
    assert request.scheme == scheme
    assert request.is_secure() is (scheme == "https")


def test_an_unknown_host_is_refused_as_django_does() -> None:
    with pytest.raises(DisallowedHost):
        get_request(make_websocket(headers=[(b"host", b"evil")])).get_host()


@pytest.mark.parametrize("raw", [b"q=\xff\xe9", "q=é".encode(), b"q=%FF", b"&&=%", b""])
def test_any_query_string_is_taken(raw: bytes) -> None:
    assert isinstance(get_request(make_websocket(query_string=raw)).GET, dict)


def test_text_that_is_not_escaped() -> None:
    assert get_request(make_websocket(query_string="q=é&r=1%20".encode())).GET == {
        "q": ["é"],
        "r": ["1 "],
    }


async def test_user_and_session_are_those_of_the_scope() -> None:
    user, session = AnonymousUser(), {"key": 1}
    request = get_request(make_websocket(user=user, session=session))
    assert request.user is user
    assert await request.auser() is user
    assert request.session is session


@pytest.mark.parametrize("name", ["user", "session", "auser"])
def test_there_is_no_user_or_session_without_middleware(name: str) -> None:
    assert not hasattr(get_request(make_websocket()), name)


def test_it_is_the_same_one_each_time() -> None:
    websocket = make_websocket()
    assert get_request(websocket) is get_request(websocket)
    assert get_request(websocket) is not get_request(make_websocket())


@pytest.mark.parametrize("looked_before", [True, False])
def test_a_taken_token_is_not_in_it(looked_before: bool) -> None:
    token = create_jwt_for_user(User(pk=7))
    websocket = make_websocket(query_string=f"token={token}&q=1".encode())
    if looked_before:
        get_request(websocket)
    assert JWTAuthentication().authenticate(websocket)
    request = get_request(websocket)
    assert request.GET.dict() == {"q": "1"}
    assert token not in str(request.META)
    assert token not in str(request.scope)


class AppRequest(HttpRequest):
    pass


def by_name(websocket, request): ...  # type: ignore[no-untyped-def]


def by_annotation(asked: HttpRequest, websocket: WebSocket) -> None: ...


def by_subclass(websocket: WebSocket, asked: AppRequest) -> None: ...


def by_annotated(websocket: WebSocket, asked: Annotated[HttpRequest, "a note"]) -> None: ...


@pytest.mark.parametrize("function", [by_name, by_annotation, by_subclass, by_annotated])
async def test_a_handler_asks_for_it(function: Any) -> None:
    websocket = make_websocket()
    _, named = await compile_binder(function, ["room_id"]).bind(websocket, Dependencies({}))
    assert named.pop("websocket") is websocket
    (request,) = named.values()
    assert request is get_request(websocket)


async def test_a_parameter_of_the_path_named_request_is_that() -> None:
    websocket = make_websocket(url_route={"kwargs": {"request": "x"}})
    _, named = await compile_binder(by_name, ["request"]).bind(websocket, Dependencies({}))
    assert named["request"] == "x"


async def test_an_annotated_request_is_no_request() -> None:
    def handler(websocket: WebSocket, request: int) -> None: ...

    websocket = make_websocket(query_string=b"request=5")
    _, named = await compile_binder(handler, []).bind(websocket, Dependencies({}))
    assert named["request"] == 5


async def test_the_first_parameter_is_the_connection_whatever_its_name() -> None:
    def handler(request): ...  # type: ignore[no-untyped-def]

    websocket = make_websocket()
    _, named = await compile_binder(handler, []).bind(websocket, Dependencies({}))
    assert named == {"request": websocket}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_blocking", [True, False])
async def test_the_request_of_a_connection(is_blocking: bool) -> None:
    def plain(websocket: Any) -> None:
        websocket.send_text(f"{websocket.request.method} {websocket.request.params['room']}")

    async def coroutine(websocket: WebSocket) -> None:
        await websocket.send_text(f"{websocket.request.method} {websocket.request.params['room']}")

    sent = await talk(serve(plain if is_blocking else coroutine, "/{room}"), "/lobby")
    assert sent[1] == text("GET lobby")


@pytest.mark.django_db
async def test_its_user_is_the_connections_and_not_the_cookies() -> None:
    async with AsyncTestClient(BoltAPI()):
        mallory = await User.objects.acreate(username="mallory", pk=8)
        for scope in ({"user": User(pk=3, username="victim")}, {}):
            websocket = make_websocket(**scope)
            websocket.context.user_id = "8"
            assert await get_request(websocket).auser() == mallory
            assert get_request(websocket).user == mallory


def test_its_user_can_be_set() -> None:
    request, alice = get_request(make_websocket(user=AnonymousUser())), User(pk=1)
    request.user = alice
    assert request.user is alice


async def test_it_keeps_no_connection_alive() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        assert websocket.request.path == "/"
        seen.append(weakref.ref(websocket))

    gc.collect()
    gc.disable()
    try:
        await talk(serve(handler))
        assert seen[0]() is None
    finally:
        gc.enable()
