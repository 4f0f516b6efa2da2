"""`BOLT_WS["AUTHENTICATION"]` and `["GUARDS"]`: for endpoints that say nothing themselves."""

from collections.abc import Callable
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket, WebSocketRoute
from bolt_ws.asgi import websocket_application
from bolt_ws.auth import (
    AllowAny,
    Authentication,
    Guard,
    HasPermission,
    Identity,
    IsAdminUser,
    IsStaff,
    JWTAuthentication,
)
from bolt_ws.auth.backends import nonblocking
from bolt_ws.defaults import defaults_of
from tests.support import Application, make_token, serve, status

# Channels' own consumers look at the connections.
pytestmark = pytest.mark.django_db(transaction=True)

DEFAULTS: dict[str, Any] = {
    "AUTHENTICATION": ["bolt_ws.auth.JWTAuthentication"],
    "GUARDS": ["bolt_ws.auth.IsStaff"],
}

api = BoltAPI()
"""What the setting `APIS` names."""


async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Accepts everybody."""


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


async def answers(application: Application) -> list[int]:
    """How an anonymous client, a user and one of the staff are answered."""
    user, staff = f"token={make_token()}", f"token={make_token(is_staff=True)}"
    return [await status(application, "/x", query=query) for query in ("", user, staff)]


def with_an_endpoint() -> BoltAPI:
    made = BoltAPI()
    made.websocket("/x")(handler)
    return made


# Ways to serve an endpoint at /x that says nothing itself, by an API that may say something. What
# begins with "inner" are those where another API has it.


def own(outer: BoltAPI) -> None:
    outer.websocket("/x")(handler)


def own_with_text(outer: BoltAPI) -> None:
    outer.websocket_route("/x")(handler)


def own_consumer(outer: BoltAPI) -> None:
    outer.add_websocket_route("/x", Consumer)


def own_asgi(outer: BoltAPI) -> None:
    outer.add_websocket_route("/x", asgi)


def own_with_middleware(outer: BoltAPI) -> None:
    outer.websocket("/x", middleware=[lambda application: application])(handler)


def again(outer: BoltAPI) -> None:
    first = outer.websocket("/other")(handler)
    outer.websocket("/x")(first)


def again_from_an_open_api(outer: BoltAPI) -> None:
    elsewhere = BoltAPI(auth=[], guards=[AllowAny()])
    outer.websocket("/x")(elsewhere.websocket("/x")(handler))


def inner_first(outer: BoltAPI) -> None:
    outer.include(with_an_endpoint())


def inner_later(outer: BoltAPI) -> None:
    inner = BoltAPI()
    outer.include(inner)
    inner.websocket("/x")(handler)


def inner_of_routes(outer: BoltAPI) -> None:
    outer.include(BoltAPI(routes=[WebSocketRoute("/x", handler)]))


def inner_consumer_later(outer: BoltAPI) -> None:
    inner = BoltAPI()
    outer.include(inner)
    inner.add_websocket_route("/x", Consumer)


def inner_again(outer: BoltAPI) -> None:
    inner = BoltAPI()
    elsewhere = BoltAPI(auth=[], guards=[AllowAny()])
    endpoint = elsewhere.websocket("/elsewhere")(handler)
    outer.include(inner)
    inner.websocket("/x")(endpoint)


def inner_of_two(outer: BoltAPI) -> None:
    inner = with_an_endpoint()
    BoltAPI("/open", auth=[], guards=[AllowAny()]).include(inner)
    outer.include(inner)


def inner_compiled_before(outer: BoltAPI) -> None:
    inner = with_an_endpoint()
    as_asgi(inner)
    url_router(inner)
    outer.include(inner)


def inner_nested_outside_in(outer: BoltAPI) -> None:
    middle, inner = BoltAPI(), BoltAPI()
    outer.include(middle)
    middle.include(inner)
    inner.websocket("/x")(handler)


def inner_nested_inside_out(outer: BoltAPI) -> None:
    middle, inner = BoltAPI(), BoltAPI()
    inner.websocket("/x")(handler)
    middle.include(inner)
    outer.include(middle)


def inner_nested_middle_last(outer: BoltAPI) -> None:
    middle, inner = BoltAPI(), BoltAPI()
    inner.websocket("/x")(handler)
    outer.include(middle)
    middle.include(inner)


OWN = [own, own_with_text, own_consumer, own_asgi, own_with_middleware, again]
OWN.append(again_from_an_open_api)
INNER = [
    inner_first,
    inner_later,
    inner_of_routes,
    inner_consumer_later,
    inner_again,
    inner_of_two,
    inner_compiled_before,
    inner_nested_outside_in,
    inner_nested_inside_out,
    inner_nested_middle_last,
]


# Ways to make an application of an API.


def as_asgi(outer: BoltAPI) -> Application:
    return outer.as_asgi()


def url_router(outer: BoltAPI) -> Application:
    router: Application = URLRouter(outer.urlpatterns)
    return router


def discovered(outer: BoltAPI) -> Application:
    global api
    api = outer
    return websocket_application()


@pytest.mark.parametrize("build", [as_asgi, url_router, discovered])
@pytest.mark.parametrize("declare", [*OWN, *INNER])
async def test_the_settings_stand_before_every_endpoint(
    declare: Callable[[BoltAPI], None], build: Callable[[BoltAPI], Application]
) -> None:
    with override_settings(BOLT_WS={**DEFAULTS, "APIS": ["tests.test_defaults:api"]}):
        outer = BoltAPI()
        declare(outer)
        assert await answers(build(outer)) == [401, 403, 101]


@pytest.mark.parametrize("build", [as_asgi, url_router, discovered])
@pytest.mark.parametrize("declare", [*OWN, *INNER])
async def test_what_an_api_says_stands_before_every_endpoint_too(
    declare: Callable[[BoltAPI], None], build: Callable[[BoltAPI], Application]
) -> None:
    open_to_all = {"GUARDS": [AllowAny()], "APIS": ["tests.test_defaults:api"]}
    with override_settings(BOLT_WS=open_to_all):
        outer = BoltAPI(auth=[JWTAuthentication()], guards=[IsStaff()])
        declare(outer)
        assert await answers(build(outer)) == [401, 403, 101]


@pytest.mark.parametrize("declare", [*OWN, *INNER])
async def test_declared_before_the_setting_changes_and_served_after(
    declare: Callable[[BoltAPI], None],
) -> None:
    outer = BoltAPI()
    declare(outer)
    assert await answers(outer.as_asgi()) == [101, 101, 101]
    with override_settings(BOLT_WS=DEFAULTS):
        assert await answers(outer.as_asgi()) == [401, 403, 101]
    assert await answers(outer.as_asgi()) == [101, 101, 101]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [401, 403, 101]),
        ({"auth": None, "guards": None}, [401, 403, 101]),
        ({"guards": []}, [401, 101, 101]),  # auth without guards wants a credential
        ({"guards": [AllowAny()]}, [101, 101, 101]),
        ({"guards": [IsAdminUser()]}, [401, 403, 403]),
        ({"auth": []}, [403, 403, 403]),  # the guards stay, and nobody authenticates
        ({"auth": [], "guards": []}, [101, 101, 101]),
        ({"auth": [JWTAuthentication(key="k" * 32)]}, [401, 401, 401]),
    ],
)
@pytest.mark.parametrize("where", ["endpoint", "api", "inner api"])
async def test_replacing_the_settings(
    options: dict[str, Any], expected: list[int], where: str
) -> None:
    with override_settings(BOLT_WS=DEFAULTS):
        outer = BoltAPI(**(options if where == "api" else {}))
        inner = BoltAPI(**(options if where == "inner api" else {}))
        inner.websocket("/x", **(options if where == "endpoint" else {}))(handler)
        outer.include(inner)
        assert await answers(outer.as_asgi()) == expected


async def test_an_endpoint_that_replaces_them_replaces_them_when_declared_again() -> None:
    with override_settings(BOLT_WS=DEFAULTS):
        outer = BoltAPI()
        first = outer.websocket("/y", guards=[IsAdminUser()])(handler)
        outer.websocket("/x")(first)
        assert await answers(outer.as_asgi()) == [401, 403, 403]


# What the settings may hold


class Everybody(Authentication):
    """Takes anybody for user 1, and counts its instances."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    @nonblocking
    def authenticate(self, websocket: Any) -> Identity:
        return Identity("1")


class Demanding(Guard):
    """Needs an argument, and fails without it in a way of its own."""

    def __init__(self, room: str = "") -> None:
        if not room:
            raise LookupError("no room")

    def has_permission(self, websocket: Any) -> bool:
        return True


staff_only = IsStaff()


def some_guard(websocket: Any) -> bool:
    return True


@pytest.mark.parametrize(
    "guards",
    [
        ["bolt_ws.auth.IsStaff"],
        ["tests.test_defaults.staff_only"],
        [IsStaff()],
        (IsStaff(),),
        ["bolt_ws.auth.IsAuthenticated", IsStaff()],
        [IsStaff() & ~IsAdminUser()],
    ],
    ids=repr,
)
async def test_instances_and_dotted_paths(guards: Any) -> None:
    with override_settings(BOLT_WS={**DEFAULTS, "GUARDS": guards}):
        assert await answers(serve(handler, "/x")) == [401, 403, 101]


def test_the_class_of_a_path_is_made_once_for_all_endpoints() -> None:
    Everybody.made = 0
    with override_settings(BOLT_WS={"AUTHENTICATION": ["tests.test_defaults.Everybody"]}):
        outer = with_an_endpoint()
        outer.websocket("/y")(handler)
        first, second = (route.consumer.plan.admission.auth for route in outer.routes)
        assert first == second
        assert Everybody.made == 1
    with override_settings(BOLT_WS={"AUTHENTICATION": ["tests.test_defaults.Everybody"]}):
        assert defaults_of(outer).auth != first  # nothing of one setting is in another
        assert Everybody.made == 2


BROKEN = [
    ({"GUARDS": ["bolt_ws.auth.NoSuchGuard"]}, r'BOLT_WS\["GUARDS"\].*NoSuchGuard'),
    ({"GUARDS": ["no.such.module"]}, r'BOLT_WS\["GUARDS"\].*No module named'),
    ({"GUARDS": ["IsStaff"]}, r'BOLT_WS\["GUARDS"\].*module path'),
    ({"GUARDS": [""]}, r'BOLT_WS\["GUARDS"\]'),
    ({"GUARDS": ["tests.broken_module.guard"]}, r'BOLT_WS\["GUARDS"\].*ZeroDivisionError'),
    ({"GUARDS": ["bolt_ws.auth.HasPermission"]}, r'BOLT_WS\["GUARDS"\].*HasPermission\(\).*inst'),
    ({"GUARDS": ["tests.test_defaults.Demanding"]}, r'BOLT_WS\["GUARDS"\].*Demanding.*no room'),
    ({"GUARDS": ["bolt_ws.auth.Guard"]}, r'BOLT_WS\["GUARDS"\].*Guard\(\) fails'),
    ({"GUARDS": ["bolt_ws.auth.JWTAuthentication"]}, r'BOLT_WS\["GUARDS"\].* is no Guard'),
    ({"GUARDS": ["tests.test_defaults.some_guard"]}, r'BOLT_WS\["GUARDS"\].* is no Guard'),
    ({"GUARDS": ["os.path"]}, r'BOLT_WS\["GUARDS"\].* is no Guard'),
    ({"GUARDS": [IsStaff]}, r'BOLT_WS\["GUARDS"\].*write IsStaff\(\)'),
    ({"GUARDS": [HasPermission]}, r'BOLT_WS\["GUARDS"\].*write HasPermission\(\)'),
    ({"GUARDS": [None]}, r'BOLT_WS\["GUARDS"\].*None is no Guard'),
    ({"GUARDS": [JWTAuthentication()]}, r'BOLT_WS\["GUARDS"\].*is no Guard'),
    ({"GUARDS": "bolt_ws.auth.IsStaff"}, r"settings\.BOLT_WS.*GUARDS"),
    ({"GUARDS": None}, r"settings\.BOLT_WS.*GUARDS"),
    ({"AUTHENTICATION": ["no.such.module"]}, r'BOLT_WS\["AUTHENTICATION"\]'),
    ({"AUTHENTICATION": ["bolt_ws.auth.IsStaff"]}, r'BOLT_WS\["AUTHENTICATION"\].*no Authentic'),
    ({"AUTHENTICATION": ["bolt_ws.auth.HasPermission"]}, "HasPermission is no Authentication"),
    ({"AUTHENTICATION": [IsStaff()]}, r'BOLT_WS\["AUTHENTICATION"\].*no Authentication'),
    ({"ORIGINS": ["null"]}, r'BOLT_WS\["ORIGINS"\]'),
]


@pytest.fixture
def broken_module(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `tests.broken_module` whose import fails."""
    import tests

    (tmp_path / "broken_module.py").write_text("guard = 1 / 0")
    monkeypatch.setattr(tests, "__path__", [*tests.__path__, str(tmp_path)])


@pytest.mark.usefixtures("broken_module")
@pytest.mark.parametrize(("settings", "named"), BROKEN, ids=repr)
def test_a_setting_that_cannot_work_is_named_when_the_application_is_built(
    settings: dict[str, Any], named: str
) -> None:
    outer = with_an_endpoint()
    with override_settings(BOLT_WS={**settings, "APIS": ["tests.test_defaults:api"]}):
        for build in (as_asgi, url_router, discovered):
            with pytest.raises(ImproperlyConfigured, match=named):
                build(outer)
        with pytest.raises(ImproperlyConfigured, match=named):
            outer.websocket("/y")(handler)


def test_a_broken_setting_leaves_no_endpoint_behind() -> None:
    outer = with_an_endpoint()
    with override_settings(BOLT_WS={"GUARDS": ["no.such.module"]}):
        with pytest.raises(ImproperlyConfigured):
            outer.websocket("/y")(handler)
        with pytest.raises(ImproperlyConfigured):
            outer.include(with_an_endpoint(), "/z")
    assert [route.pattern.path for route in outer.routes] == ["/x"]
