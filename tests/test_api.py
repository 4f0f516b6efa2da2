"""Declaring and including endpoints."""

from typing import Any

import pytest

from bolt_ws import BoltAPI, DeclarationError, Endpoint, WebSocket
from bolt_ws.auth import AllowAny, IsAuthenticated, IsStaff, JWTAuthentication
from tests.support import make_token, status


async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


def paths(api: BoltAPI) -> list[str]:
    return [route.pattern.path for route in api.routes]


def test_the_decorator_returns_an_endpoint() -> None:
    endpoint = BoltAPI().websocket("/ws")(handler)
    assert isinstance(endpoint, Endpoint)
    assert endpoint.name == "handler"


def test_a_name_of_its_own() -> None:
    assert BoltAPI().websocket("/ws", name="chat")(handler).name == "chat"


@pytest.mark.parametrize("prefix", ["/api", "api", "/api/"])
def test_a_prefix(prefix: str) -> None:
    api = BoltAPI(prefix=prefix)
    api.websocket("/ws")(handler)
    assert paths(api) == ["/api/ws"]


@pytest.mark.parametrize("prefix", ["", "/", "/v1", "v1/", "/v1/{tenant}"])
async def test_including(prefix: str) -> None:
    outer, inner = BoltAPI(prefix="/outer"), BoltAPI(prefix="/inner")
    inner.websocket("/ws")(handler)
    outer.include(inner, prefix=prefix)
    middle = prefix.strip("/")
    expected = f"/outer/{middle}/inner/ws" if middle else "/outer/inner/ws"
    assert paths(outer) == [expected]
    assert await status(outer.as_asgi(), expected.replace("{tenant}", "x")) == 101


def test_an_api_is_included_under_two_prefixes() -> None:
    outer, inner = BoltAPI(), BoltAPI()
    inner.websocket("/ws")(handler)
    outer.include(inner, prefix="/v1")
    outer.include(inner, prefix="/v2")
    assert paths(outer) == ["/v1/ws", "/v2/ws"]


def test_what_is_declared_after_including_is_served_too() -> None:
    outer, inner = BoltAPI(), BoltAPI()
    outer.include(inner, prefix="/v1")
    inner.websocket("/ws")(handler)
    assert paths(outer) == ["/v1/ws"]


def test_one_function_serves_several_paths() -> None:
    api = BoltAPI()
    api.websocket("/a")(api.websocket("/b")(handler))
    assert sorted(paths(api)) == ["/a", "/b"]


def test_two_functions_of_one_name() -> None:
    api = BoltAPI()
    api.websocket("/a")(handler)
    api.websocket("/b")(handler)
    assert [route.name for route in api.routes] == ["handler", "handler"]


def test_an_explicit_name_twice_is_an_error() -> None:
    api = BoltAPI()
    api.websocket("/a", name="chat")(handler)
    with pytest.raises(DeclarationError, match="name 'chat' is declared twice: for '/a' and"):
        api.websocket("/b", name="chat")(handler)


def test_a_declaration_that_failed_leaves_nothing_behind() -> None:
    api = BoltAPI()
    api.websocket("/a")(handler)
    with pytest.raises(DeclarationError):
        api.websocket("/a")(handler)
    assert paths(api) == ["/a"]


def test_including_a_path_that_is_there_is_an_error() -> None:
    outer, inner = BoltAPI(), BoltAPI()
    outer.websocket("/v1/ws")(handler)
    inner.websocket("/ws")(handler)
    with pytest.raises(DeclarationError, match=r"'/v1/ws' .* is declared twice"):
        outer.include(inner, prefix="/v1")
    assert paths(outer) == ["/v1/ws"]


def test_a_late_declaration_that_clashes_in_the_including_api_is_an_error() -> None:
    outer, inner = BoltAPI(), BoltAPI()
    outer.websocket("/ws")(handler)
    outer.include(inner)
    with pytest.raises(DeclarationError, match=r"'/ws' .* is declared twice"):
        inner.websocket("/ws")(handler)
    assert paths(inner) == []


def test_an_api_that_would_include_itself_is_an_error() -> None:
    one, other = BoltAPI(), BoltAPI()
    with pytest.raises(DeclarationError, match="include itself"):
        one.include(one)
    one.include(other)
    with pytest.raises(DeclarationError, match="include itself"):
        other.include(one)


@pytest.mark.parametrize("api", [None, "chat.api", handler])
def test_including_what_is_no_api_is_an_error(api: Any) -> None:
    with pytest.raises(DeclarationError, match="takes a BoltAPI"):
        BoltAPI().include(api)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("auth", [object()], "is no Authentication"),
        ("auth", [JWTAuthentication], r"is a class; write JWTAuthentication\(\)"),
        ("auth", JWTAuthentication(), r"auth must be a list such as \[JWTAuthentication\(\)\]"),
        ("auth", [IsAuthenticated()], "is no Authentication"),
        ("auth", ["jwt"], "'jwt' is no Authentication"),
        ("auth", [None], "None is no Authentication"),
        ("guards", [object()], "is no Guard"),
        ("guards", [IsAuthenticated], r"is a class; write IsAuthenticated\(\)"),
        ("guards", IsAuthenticated(), "guards must be a list"),
        ("guards", [lambda websocket: True], "is no Guard"),
        ("guards", [JWTAuthentication()], "is no Guard"),
    ],
)
def test_what_is_no_backend_or_guard_is_an_error(option: str, value: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        BoltAPI().websocket("/ws", **{option: value})(handler)
    with pytest.raises(DeclarationError, match=message):
        BoltAPI(**{option: value})


async def test_an_apis_auth_and_guards_are_its_endpoints() -> None:
    api = BoltAPI(auth=[JWTAuthentication()], guards=[IsStaff()])
    api.websocket("/ws")(handler)
    application = api.as_asgi()
    assert await status(application, "/ws") == 401
    assert await status(application, "/ws", query=f"token={make_token()}") == 403
    assert await status(application, "/ws", query=f"token={make_token(is_staff=True)}") == 101


async def test_an_endpoints_guards_stand_for_the_apis() -> None:
    api = BoltAPI(auth=[JWTAuthentication()], guards=[IsStaff()])
    api.websocket("/open", guards=[AllowAny()])(handler)
    assert await status(api.as_asgi(), "/open") == 101


async def test_an_empty_list_takes_the_apis_auth_and_guards_away() -> None:
    api = BoltAPI(auth=[JWTAuthentication()], guards=[IsStaff()])
    api.websocket("/open", auth=[], guards=[])(handler)
    assert await status(api.as_asgi(), "/open") == 101


async def test_an_empty_list_of_guards_still_asks_for_a_credential() -> None:
    api = BoltAPI(auth=[JWTAuthentication()])
    api.websocket("/ws", guards=[])(handler)
    assert await status(api.as_asgi(), "/ws") == 401


async def test_an_included_api_takes_over_auth_and_guards() -> None:
    outer, inner = BoltAPI(auth=[JWTAuthentication()]), BoltAPI()
    inner.websocket("/ws")(handler)
    outer.include(inner, prefix="/safe")
    assert await status(outer.as_asgi(), "/safe/ws") == 401
    assert await status(inner.as_asgi(), "/ws") == 101  # by itself it is as it was declared


async def test_an_included_apis_own_guards_stand() -> None:
    outer = BoltAPI(auth=[JWTAuthentication()], guards=[IsStaff()])
    inner = BoltAPI(guards=[AllowAny()])
    inner.websocket("/ws")(handler)
    outer.include(inner)
    assert await status(outer.as_asgi(), "/ws") == 101


def test_repr() -> None:
    api = BoltAPI(prefix="/v1")
    api.websocket("/ws")(handler)
    assert repr(api) == "<BoltAPI '/v1' with 1 endpoints>"
