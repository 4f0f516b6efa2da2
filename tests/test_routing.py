"""Paths to endpoints; 404 for the rest."""

import inspect
import logging
import uuid
from typing import Any

import pytest
from channels.routing import URLRouter
from django.urls import path as url_path

from bolt_ws import BoltAPI, DeclarationError, WebSocket
from bolt_ws.routing import Router
from tests.support import Connection, close, status, talk


def make_api(*paths: str) -> BoltAPI:
    """An API whose endpoints say their own path and the parameters found."""
    api = BoltAPI()
    for each in paths:

        async def handler(websocket: WebSocket, path: str = each) -> None:
            await websocket.send_json([path, {k: str(v) for k, v in websocket.path_params.items()}])

        api.websocket(each)(handler)
    return api


async def found(application: Any, path: str, **scope: Any) -> str:
    """The JSON that the endpoint at `path` says; "404" where there is none."""
    sent = await talk(application, path, deny=True, **scope)
    if sent[0]["type"] == "websocket.http.response.start":
        return str(sent[0]["status"])
    return str(sent[1]["text"])


@pytest.mark.parametrize(
    ("declared", "path", "params"),
    [
        ("/", "/", "{}"),
        ("/ws", "/ws", "{}"),
        ("ws", "/ws", "{}"),
        ("/ws/{x}", "/ws/a", '{"x":"a"}'),
        ("/ws/{x:str}", "/ws/é x", '{"x":"é x"}'),
        ("/ws/{x:int}", "/ws/007", '{"x":"7"}'),
        ("/ws/{x:float}", "/ws/1.50", '{"x":"1.5"}'),
        ("/ws/{x:float}", "/ws/2", '{"x":"2.0"}'),
        ("/ws/{x:path}", "/ws/a/b/", '{"x":"a/b/"}'),
        ("/ws/{x:slug}", "/ws/a-b_c", '{"x":"a-b_c"}'),
        ("/ws/{x:uuid}", f"/ws/{uuid.UUID(int=1)}", f'{{"x":"{uuid.UUID(int=1)}"}}'),
        ("/ws/<int:x>", "/ws/7", '{"x":"7"}'),
        ("/ws/<x>", "/ws/a", '{"x":"a"}'),
        ("/{x}/and/{y:int}", "/a/and/1", '{"x":"a","y":"1"}'),
        ("/v.1/{x}", "/v.1/a", '{"x":"a"}'),
    ],
)
async def test_a_path_is_found(declared: str, path: str, params: str) -> None:
    assert await found(make_api(declared).as_asgi(), path) == f'["{declared}",{params}]'


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        ("/ws", "/"),
        ("/ws", "/ws/"),
        ("/ws/", "/ws"),
        ("/ws", "/WS"),
        ("/ws/{x}", "/ws/"),
        ("/ws/{x}", "/ws/a/b"),
        ("/ws/{x:int}", "/ws/a"),
        ("/ws/{x:int}", "/ws/-1"),
        ("/ws/{x:float}", "/ws/1."),
        ("/ws/{x:float}", "/ws/" + "9" * 400),
        ("/ws/{x:slug}", "/ws/a b"),
        ("/ws/{x:uuid}", "/ws/1"),
        ("/ws/{x:int}", "/ws/1\n"),
        ("/ws", "/ws\n"),
        ("/v.1/{x}", "/v-1/a"),
    ],
)
async def test_a_path_is_not_found(declared: str, path: str) -> None:
    assert await found(make_api(declared).as_asgi(), path) == "404"


@pytest.mark.parametrize(
    ("converter", "kind"),
    [
        ("str", str),
        ("int", int),
        ("float", float),
        ("uuid", uuid.UUID),
        ("slug", str),
        ("path", str),
    ],
)
async def test_a_converter_makes_its_type(converter: str, kind: type) -> None:
    api = BoltAPI()
    kinds: list[type] = []

    @api.websocket(f"/{{x:{converter}}}")
    async def handler(websocket: WebSocket) -> None:
        kinds.append(type(websocket.path_params["x"]))

    await talk(
        api.as_asgi(), "/00000000-0000-0000-0000-000000000001" if kind is uuid.UUID else "/1"
    )
    assert kinds == [kind]


async def test_a_path_without_a_parameter_goes_first() -> None:
    application = make_api("/room/{x}", "/room/new").as_asgi()
    assert await found(application, "/room/new") == '["/room/new",{}]'
    assert await found(application, "/room/old") == '["/room/{x}",{"x":"old"}]'


async def test_paths_with_parameters_keep_their_order() -> None:
    application = make_api("/{x:int}", "/{x}").as_asgi()
    assert await found(application, "/1") == '["/{x:int}",{"x":"1"}]'
    assert await found(application, "/a") == '["/{x}",{"x":"a"}]'


async def test_a_root_path_is_taken_off() -> None:
    application = make_api("/a").as_asgi()
    assert await found(application, "/app/a", root_path="/app") == '["/a",{}]'
    assert await found(application, "/a", root_path="/app") == "404"


async def test_an_unknown_path_gets_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert await status(make_api("/a").as_asgi(), "/b", query="token=secret") == 404
    (record,) = [each for each in caplog.records if each.name == "bolt_ws"]
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert "'/b'" in record.getMessage()
    assert "secret" not in caplog.text


async def test_an_unknown_path_cannot_forge_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    await status(make_api("/a").as_asgi(), "/b\nCRITICAL all is lost")
    assert "\n" not in caplog.records[0].getMessage()


async def test_an_unknown_path_is_closed_where_there_is_no_denial() -> None:
    connection = Connection(make_api("/a").as_asgi(), "/b")
    assert await connection.end() == [close(4404, "not_found")]


async def test_the_routers_scope_is_left_as_it_came() -> None:
    connection = Connection(make_api("/{x}").as_asgi(), "/a")
    before = dict(connection.scope)
    connection.leave()
    await connection.end()
    assert connection.scope == before


async def test_an_api_under_a_prefix_of_a_urlrouter() -> None:
    application = URLRouter([url_path("outer/<int:n>/", make_api("/a", "/{x}").as_asgi())])
    assert await found(application, "/outer/3/a") == '["/a",{"n":"3"}]'
    assert await found(application, "/outer/3/b") == '["/{x}",{"n":"3","x":"b"}]'
    assert await found(application, "/outer/3/b/c") == "404"


async def test_urlpatterns_in_a_urlrouter() -> None:
    application = URLRouter(make_api("/a", "/{x:float}", "/room/<int:n>").urlpatterns)
    assert await found(application, "/a") == '["/a",{}]'
    assert await found(application, "/2.5") == '["/{x:float}",{"x":"2.5"}]'
    assert await found(application, "/room/3") == '["/room/<int:n>",{"n":"3"}]'


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/{x:nothing}", "unknown converter 'nothing' of parameter 'x'; known are .*float.*int"),
        ("/<nothing:x>", "unknown converter 'nothing'"),
        ("/{x}/{x}", "two parameters 'x'"),
        ("/{x}/<int:x>", "two parameters 'x'"),
        ("/{}", "'' is no name for a parameter"),
        ("/{1x}", "'1x' is no name"),
        ("/{a b}", "'a b' is no name"),
        ("/{x", "a bracket is not closed"),
        ("/x}", "a bracket is not closed, or not opened"),
        ("/<int:x", "a bracket is not closed"),
        ("/{{x}}", "a bracket is not closed"),
    ],
)
def test_a_path_that_cannot_work_is_an_error(path: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make_api(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a", "/a"),
        ("/a", "a"),
        ("/{x}", "/{y}"),
        ("/{x}", "/{x:str}"),
        ("/{x:int}", "/<int:y>"),
    ],
)
def test_a_path_declared_twice_is_an_error(one: str, other: str) -> None:
    with pytest.raises(DeclarationError, match="declared twice"):
        make_api(one, other)


def test_paths_that_differ_in_their_converter_stand_side_by_side() -> None:
    assert len(make_api("/{x}", "/{x:int}", "/{x:uuid}").routes) == 3


def test_servers_take_a_router_for_asgi() -> None:
    router = Router([])
    assert inspect.iscoroutinefunction(router.__call__)
