"""Finding a project's APIs."""

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bolt_ws.asgi import websocket_application
from bolt_ws.discovery import find_apis, find_routes
from tests.support import status

Write = Callable[..., None]

API = """
    from bolt_ws import BoltAPI, WebSocket

    api = BoltAPI(prefix="{name}")

    @api.websocket("/ws")
    async def {name}_handler(websocket: WebSocket) -> None:
        await websocket.accept()
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write packages that can be imported: `write(shop={"api": "..."})`."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write_packages(**packages: dict[str, str]) -> None:
        for package, modules in packages.items():
            (tmp_path / package).mkdir()
            for name, source in {"__init__": "", **modules}.items():
                source = textwrap.dedent(source).replace("{name}", package)
                (tmp_path / package / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    yield write_packages
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {path.name for path in tmp_path.iterdir()}:
            del sys.modules[name]


def installed(*apps: str, project: str = "tests", **bolt_ws: Any) -> override_settings:
    return override_settings(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "bolt_ws", *apps],
        ROOT_URLCONF=f"{project}.urls",
        BOLT_WS=bolt_ws,
    )


def paths() -> list[str]:
    return [route.pattern.path for route in find_routes()]


def test_a_project_without_an_api() -> None:
    assert find_apis() == []
    assert paths() == []


def test_the_api_modules_of_the_project_and_its_apps(write: Write) -> None:
    write(
        shop={"api": API},
        chat={"api": API},
        plain={},
        site_={"api": API, "urls": "urlpatterns = []"},
    )
    with installed("shop", "chat", "plain", project="site_"):
        assert paths() == ["/site_/ws", "/shop/ws", "/chat/ws"]


def test_a_project_package_that_is_an_app_too_counts_once(write: Write) -> None:
    write(site_={"api": API, "urls": "urlpatterns = []"})
    with installed("site_", project="site_"):
        assert paths() == ["/site_/ws"]


def test_an_api_that_another_app_imports_counts_once(write: Write) -> None:
    write(shop={"api": API}, chat={"api": "from shop.api import api, api as again"})
    with installed("shop", "chat"):
        assert paths() == ["/shop/ws"]


def test_an_api_that_another_includes_counts_once(write: Write) -> None:
    write(
        shop={"api": API},
        chat={
            "api": """
            from bolt_ws import BoltAPI
            from shop.api import api as shop_api

            api = BoltAPI()
            api.include(shop_api, prefix="/v1")
            """
        },
    )
    for order in (("shop", "chat"), ("chat", "shop")):
        with installed(*order):
            assert paths() == ["/v1/shop/ws"]


def test_several_apis_of_one_module(write: Write) -> None:
    write(
        shop={
            "api": API
            + "\n    other = BoltAPI(prefix='other')\n    other.websocket('/ws')(shop_handler)"
        }
    )
    with installed("shop"):
        assert sorted(paths()) == ["/other/ws", "/shop/ws"]


def test_an_api_package(write: Write) -> None:
    write(shop={"api": "from .routers import api", "routers": API.replace("{name}", "shop")})
    with installed("shop"):
        assert paths() == ["/shop/ws"]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("import no_such_module", ModuleNotFoundError, "no_such_module"),
        ("from bolt_ws import Nothing", ImportError, "Nothing"),
        ("from . import missing", ImportError, "missing"),
        ("1 / 0", ZeroDivisionError, "division"),
        ("def", SyntaxError, "invalid syntax"),
    ],
)
def test_a_broken_api_module_is_shown(
    write: Write, source: str, error: type[Exception], message: str
) -> None:
    write(shop={"api": source})
    with installed("shop"), pytest.raises(error, match=message):
        websocket_application()


def test_nothing_is_imported_when_django_starts(write: Write) -> None:
    write(shop={"api": "1 / 0"})
    with installed("shop"):
        assert "shop.api" not in sys.modules


def test_the_setting_names_the_apis(write: Write) -> None:
    write(shop={"api": API, "more": API}, chat={"api": API})
    with installed("shop", "chat", APIS=["shop.more:api", "shop.more:api"]):
        assert paths() == ["/shop/ws"]
        assert "chat.api" not in sys.modules


def test_an_empty_setting_names_none(write: Write) -> None:
    write(shop={"api": API})
    with installed("shop", APIS=[]):
        assert paths() == []


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("shop.api", ImproperlyConfigured, 'takes "module:attribute"'),
        ("shop.api:", ImproperlyConfigured, 'takes "module:attribute"'),
        (":api", ImproperlyConfigured, 'takes "module:attribute"'),
        ("shop.api:nothing", ImproperlyConfigured, "'shop.api:nothing' is no BoltAPI"),
        ("shop.api:BoltAPI", ImproperlyConfigured, "is no BoltAPI"),
        ("shop.nothing:api", ModuleNotFoundError, "shop.nothing"),
    ],
)
def test_a_name_that_finds_nothing(
    write: Write, name: str, error: type[Exception], message: str
) -> None:
    write(shop={"api": API})
    with installed("shop", APIS=[name]), pytest.raises(error, match=message):
        find_apis()


def test_one_path_in_two_apps_is_an_error(write: Write) -> None:
    source = API.replace('prefix="{name}"', "")
    write(shop={"api": source}, chat={"api": source})
    with (
        installed("shop", "chat"),
        pytest.raises(ImproperlyConfigured, match=r"'/ws' .* declared twice"),
    ):
        websocket_application()


async def test_a_path_without_a_parameter_goes_first_across_apps(write: Write) -> None:
    source = """
        from bolt_ws import BoltAPI, WebSocket

        api = BoltAPI()

        @api.websocket("PATH", guards=[])
        async def {name}_handler(websocket: WebSocket) -> None:
            if "{name}" == "chat":
                await websocket.accept()
    """
    write(
        shop={"api": source.replace("PATH", "/room/{room}")},
        chat={"api": source.replace("PATH", "/room/new")},
    )
    with installed("shop", "chat"):
        application = websocket_application()
    assert await status(application, "/room/new") == 101
    assert await status(application, "/room/old") == 403
