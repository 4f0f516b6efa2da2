"""manage.py check."""

import dataclasses
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings as project_settings
from django.core.checks import CheckMessage, Error, Warning, run_checks
from django.core.checks.registry import registry
from django.core.management import call_command, get_commands
from django.core.management.base import SystemCheckError
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.auth import (
    AllowAny,
    Authentication,
    Cookie,
    Guard,
    HasAnyPermission,
    HasPermission,
    Header,
    Identity,
    IsAdminUser,
    IsAuthenticated,
    IsStaff,
    JWTAuthentication,
    Query,
    Requires,
    SessionAuthentication,
    TicketAuthentication,
)
from bolt_ws.auth.revocation import RevocationStore
from bolt_ws.check_project import check_layer_of_rooms

ROOT = Path(__file__).resolve().parent.parent
KEY = "a key of its own, which is longer than the 32 bytes that HS256 asks for"
APIS = ["tests.test_checks:api"]

api = BoltAPI()


async def handler(websocket: WebSocket) -> None: ...


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    """A project in order whose only API is this module's, empty at first."""
    global api
    api = BoltAPI()
    with override_settings(
        BOLT_WS={"APIS": APIS, "JWT_KEY": KEY},
        CHANNEL_LAYERS={"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}},
        CACHES={"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache"}},
    ):
        yield


def messages(*, deploy: bool = True) -> list[CheckMessage]:
    return run_checks(tags=["bolt_ws"], include_deployment_checks=deploy)


def found(*, deploy: bool = True) -> list[str]:
    """The ids of what the checks say, without their prefix."""
    return [str(message.id).removeprefix("bolt_ws.") for message in messages(deploy=deploy)]


def jwt_backend(**options: Any) -> JWTAuthentication:
    return JWTAuthentication(**options)


class Custom(Guard):
    """Whom it lets in, nobody can tell."""

    def has_permission(self, websocket: Any) -> bool:
        return True


class LenientStaff(IsStaff):
    """A subclass answers itself."""

    def has_permission(self, websocket: Any) -> bool:
        return True


class Lent(Authentication):
    """A backend of the project's own, for a cookie."""

    is_ambient = True

    def authenticate(self, websocket: Any) -> Identity | None:
        return None


def declare(path: str = "/ws", **options: Any) -> None:
    api.websocket(path, **options)(handler)


# What one endpoint may be: the check that tells, and the nearest that is in order.

ENDPOINTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # keys
    ("E001", {"auth": [jwt_backend(key=KEY[:31])]}, {"auth": [jwt_backend(key=KEY[:32])]}),
    (
        "E001",
        {"auth": [jwt_backend(key=KEY[:31].encode())]},
        {"auth": [jwt_backend(key=KEY.encode())]},
    ),
    (
        "E001",
        {"auth": [jwt_backend(keys={"a": KEY, "b": "short"})]},
        {"auth": [jwt_backend(keys={"a": KEY, "b": KEY[::-1]})]},
    ),
    (
        "E002",
        {"auth": [jwt_backend(key=f"django-insecure-{KEY}")]},
        {"auth": [jwt_backend(key=f"django-secure-{KEY}")]},
    ),
    ("E002", {"auth": [jwt_backend(key="abcd" * 10)]}, {"auth": [jwt_backend(key="abcde" * 8)]}),
    (
        "W001",
        {"auth": [jwt_backend(key=project_settings.SECRET_KEY)]},
        {"auth": [jwt_backend(key=project_settings.SECRET_KEY + "!")]},
    ),
    # origins
    (
        "E004",
        {"auth": [SessionAuthentication()], "origins": ["*"]},
        {"auth": [SessionAuthentication()], "origins": ["https://app.example.com"]},
    ),
    (
        "E004",
        {"auth": [SessionAuthentication()], "origins": ["https://app.example.com", "*"]},
        {"auth": [SessionAuthentication()]},
    ),
    (
        "E004",
        {"auth": [jwt_backend(), SessionAuthentication()], "origins": ["*"]},
        {"auth": [jwt_backend(), TicketAuthentication()], "origins": ["*"]},
    ),
    (
        "E004",
        {"auth": [jwt_backend(sources=[Header(), Cookie("jwt")])], "origins": ["*"]},
        {"auth": [jwt_backend(sources=[Header(), Query("jwt")])], "origins": ["*"]},
    ),
    ("E004", {"auth": [Lent()], "origins": ["*"]}, {"auth": [Lent()], "origins": []}),
    # guards that nobody passes
    ("E005", {"guards": [IsAuthenticated()]}, {"guards": [AllowAny()]}),
    ("E005", {"guards": [IsStaff()]}, {"auth": [jwt_backend()], "guards": [IsStaff()]}),
    ("E005", {"guards": [IsAdminUser()]}, {"guards": [Custom()]}),
    ("E005", {"guards": [HasPermission("a.b")]}, {"guards": [HasPermission("a.b") | Custom()]}),
    ("E005", {"guards": [HasAnyPermission("a.b")]}, {"guards": [Custom(), IsStaff()]}),
    ("E005", {"guards": [IsStaff(), Custom()]}, {"guards": [LenientStaff(), Custom()]}),
    ("E005", {"guards": [Requires("a")]}, {"auth": [jwt_backend()], "guards": [Requires("a")]}),
    ("E005", {"guards": [Requires("a", none_of=["b"])]}, {"guards": [AllowAny() | Requires("a")]}),
    ("E005", {"guards": [IsStaff() | IsAdminUser()]}, {"guards": [IsStaff() | AllowAny()]}),
    ("E005", {"guards": [AllowAny() & IsStaff()]}, {"guards": [AllowAny() & Custom()]}),
    ("E005", {"guards": [AllowAny(), IsStaff()]}, {"guards": [AllowAny(), AllowAny()]}),
    ("E005", {"guards": [~Custom()]}, {"auth": [jwt_backend()], "guards": [~Custom()]}),
    ("E005", {"guards": [~IsStaff()]}, {"auth": [jwt_backend()], "guards": [~IsStaff()]}),
    (
        "E005",
        {"auth": [jwt_backend()], "guards": [~AllowAny()]},
        {"auth": [jwt_backend()], "guards": [~~AllowAny()]},
    ),
    (
        "E005",
        {"auth": [jwt_backend()], "guards": [~IsAuthenticated()]},
        {"auth": [jwt_backend()], "guards": [IsAuthenticated()]},
    ),
    (
        "E005",
        {"auth": [jwt_backend()], "guards": [~(AllowAny() | IsStaff())]},
        {"auth": [jwt_backend()], "guards": [~(AllowAny() & IsStaff())]},
    ),
    (
        "E005",
        {"auth": [jwt_backend()], "guards": [Custom(), ~AllowAny()]},
        {"auth": [jwt_backend()], "guards": [Custom(), ~Custom()]},
    ),
    # open endpoints
    ("W003", {}, {"guards": [AllowAny()]}),
    ("W003", {"auth": [], "guards": []}, {"auth": [jwt_backend()], "guards": []}),
    ("W003", {"opt": {"public": True}}, {"guards": [AllowAny() | IsStaff()]}),
    ("W003", {"origins": ["https://app.example.com"]}, {"guards": [Custom()]}),
]


@pytest.mark.parametrize(("expected", "bad", "good"), ENDPOINTS)
def test_an_endpoint(expected: str, bad: dict[str, Any], good: dict[str, Any]) -> None:
    declare("/good", **good)
    assert found() == []
    declare("/bad", **bad)
    assert found() == [expected]
    (message,) = messages()
    assert isinstance(message, Error if expected[0] == "E" else Warning)
    assert message.hint


@pytest.mark.parametrize(
    ("settings", "options", "expected"),
    [
        ({}, {}, ["W003"]),
        ({"GUARDS": ["bolt_ws.auth.AllowAny"]}, {}, []),
        ({"AUTHENTICATION": ["bolt_ws.auth.JWTAuthentication"]}, {}, []),
        ({"GUARDS": ["bolt_ws.auth.IsStaff"]}, {}, ["E005"]),
        (
            {"GUARDS": [IsStaff()], "AUTHENTICATION": ["bolt_ws.auth.JWTAuthentication"]},
            {"auth": []},
            ["E005"],
        ),
        (
            {"GUARDS": [IsStaff()], "AUTHENTICATION": ["bolt_ws.auth.JWTAuthentication"]},
            {"auth": [], "guards": [AllowAny()]},
            [],
        ),
        ({"AUTHENTICATION": [JWTAuthentication(key="short")]}, {}, ["E001"]),
        ({"AUTHENTICATION": [JWTAuthentication(key="short")]}, {"auth": []}, ["W003"]),
        ({"ORIGINS": ["*"], "AUTHENTICATION": [SessionAuthentication()]}, {}, ["E004"]),
        ({"ORIGINS": ["*"]}, {"auth": [SessionAuthentication()], "origins": []}, []),
    ],
)
def test_what_an_endpoint_takes_over_counts(
    settings: dict[str, Any], options: dict[str, Any], expected: list[str]
) -> None:
    with override_settings(BOLT_WS={"APIS": APIS, "JWT_KEY": KEY, **settings}):
        declare(**options)
        assert found() == expected


def test_included_endpoints_are_looked_at() -> None:
    inner = BoltAPI(auth=[JWTAuthentication(key="short")])
    inner.websocket("/inner")(handler)
    inner.websocket("/open", auth=[])(handler)
    api.include(inner, "/v1")
    said = {message.id: message.msg for message in messages()}
    assert sorted(map(str, said)) == ["bolt_ws.E001", "bolt_ws.W003"]
    assert "'handler' at '/v1/open'" in said["bolt_ws.W003"]


def test_one_backend_is_told_once() -> None:
    short = JWTAuthentication(key="short")
    declare("/a", auth=[short])
    declare("/b", auth=[short])
    assert found() == ["E001"]


@dataclasses.dataclass
class Unhashable(Authentication):
    name: str = ""

    def authenticate(self, websocket: Any) -> None: ...


def test_a_backend_need_not_be_hashable() -> None:
    declare(auth=[Unhashable(), JWTAuthentication(key="short")])
    assert found() == ["E001"]


# Keys


@pytest.mark.parametrize(
    ("algorithm", "length", "expected"),
    [
        ("HS256", 31, ["E001"]),
        ("HS256", 32, []),
        ("HS384", 47, ["E001"]),
        ("HS384", 48, []),
        ("HS512", 63, ["E001"]),
        ("HS512", 64, []),
    ],
)
def test_a_short_key_is_an_error(algorithm: str, length: int, expected: list[str]) -> None:
    declare(auth=[JWTAuthentication(key=KEY[:length], algorithms=[algorithm])])
    assert found() == expected


def test_a_public_key_is_no_secret() -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    declare(auth=[JWTAuthentication(public_key=pem, algorithms=["RS256"])])
    assert found() == []


def test_bytes_are_counted_not_characters() -> None:
    declare(auth=[JWTAuthentication(key="éàüôç¿¡æ" * 2)])
    assert found() == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"SECRET_KEY": "short", "BOLT_WS": {"APIS": APIS}}, ["E001", "W001"]),
        ({"SECRET_KEY": "", "BOLT_WS": {"APIS": APIS}}, ["E001"]),
        ({"SECRET_KEY": "", "BOLT_WS": {"APIS": APIS, "JWT_KEY": ""}}, ["E001"]),
        ({"BOLT_WS": {"APIS": APIS, "JWT_KEY": "short"}}, ["E001"]),
        ({"BOLT_WS": {"APIS": APIS, "JWT_KEY": "django-insecure-" + KEY}}, ["E002"]),
        ({"BOLT_WS": {"APIS": APIS, "JWT_KEY": KEY}}, []),
        ({"BOLT_WS": {"APIS": APIS, "JWT_KEY": ""}}, ["W001"]),
        ({"BOLT_WS": {"APIS": APIS}}, ["W001"]),
        ({"BOLT_WS": {"APIS": APIS}, "DEBUG": True}, []),
    ],
    ids=repr,
)
def test_the_key_of_the_settings(settings: dict[str, Any], expected: list[str]) -> None:
    declare(auth=[JWTAuthentication()])
    with override_settings(**settings):
        assert sorted(found()) == expected


def test_what_a_project_starts_with_is_wrong_when_it_is_deployed() -> None:
    declare(auth=[JWTAuthentication()])
    insecure = "django-insecure-" + KEY
    with override_settings(SECRET_KEY=insecure, BOLT_WS={"APIS": APIS}, DEBUG=True):
        assert found(deploy=False) == []
        assert found() == ["E002"]


def test_the_message_helps_and_keeps_the_key_to_itself() -> None:
    declare(auth=[JWTAuthentication(key="hunter2")])
    (message,) = messages()
    assert "7 bytes" in str(message.msg)
    assert "secrets.token_urlsafe" in str(message.hint)
    assert "hunter2" not in str(message)


# The project around


def layer(path: str) -> dict[str, Any]:
    return {"CHANNEL_LAYERS": {"default": {"BACKEND": path}}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (layer("channels.layers.InMemoryChannelLayer"), ["W002"]),
        ({**layer("channels.layers.InMemoryChannelLayer"), "DEBUG": True}, []),
        (layer("channels_redis.core.RedisChannelLayer"), []),
        (layer("no.such.Layer"), ["E007"]),
        ({"CHANNEL_LAYERS": {}}, []),
        ({"CHANNEL_LAYERS": {"default": {}}}, ["E007"]),
        ({"CHANNEL_LAYERS": None}, ["E007"]),
    ],
    ids=repr,
)
def test_channel_layers(settings: dict[str, Any], expected: list[str]) -> None:
    with override_settings(**settings):
        assert found(deploy=False) == expected


def cache(path: str) -> dict[str, Any]:
    return {"BACKEND": f"django.core.cache.backends.{path}"}


class WithoutGroups(InMemoryChannelLayer):
    """A layer that can only send."""

    extensions = ("flush",)


class Leaky(InMemoryChannelLayer):
    """A layer whose errors tell secrets."""

    def __init__(self, host: str) -> None:
        raise ValueError(f"bad host {host!r}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, None),
        (layer("channels.layers.InMemoryChannelLayer"), None),
        ({"BOLT_WS": {"CHANNEL_LAYER": "chat"}}, "no such layer"),
        (layer("no.such.Layer"), "Cannot import BACKEND"),
        (layer(f"{__name__}.WithoutGroups"), "has no groups"),
        (
            {
                "CHANNEL_LAYERS": {
                    "default": {"BACKEND": f"{__name__}.Leaky", "CONFIG": {"host": "s3cret"}}
                }
            },
            "ValueError was raised while it was made",
        ),
        ({"BOLT_WS": {"CHANNEL_LAYER": 1}}, None),  # E003's to say
    ],
)
def test_the_layer_of_rooms(settings: dict[str, Any], said: str | None) -> None:
    with override_settings(**settings):
        messages = check_layer_of_rooms()
    assert [message.id for message in messages] == ([] if said is None else ["bolt_ws.E007"])
    if said is not None:
        assert said in messages[0].msg
        assert "s3cret" not in messages[0].msg


@pytest.mark.parametrize(
    ("caches", "expected"),
    [
        ({"default": cache("locmem.LocMemCache")}, ["W005"]),
        ({"default": cache("dummy.DummyCache")}, ["W005"]),
        ({"default": cache("redis.RedisCache")}, []),
        ({"default": cache("db.DatabaseCache"), "other": cache("locmem.LocMemCache")}, []),
        ({"default": cache("nosuch.Cache")}, []),
    ],
    ids=repr,
)
def test_caches(caches: dict[str, Any], expected: list[str]) -> None:
    with override_settings(CACHES=caches):
        declare("/jwt", auth=[JWTAuthentication()])
        assert found() == []
        declare("/ticket", auth=[TicketAuthentication()])
        assert found() == expected
        assert found(deploy=False) == []


def test_the_cache_of_revocations() -> None:
    caches = {"default": cache("db.DatabaseCache"), "other": cache("locmem.LocMemCache")}
    with override_settings(CACHES=caches):
        declare("/good", auth=[JWTAuthentication(revocation=RevocationStore())])
        assert found() == []
        declare("/bad", auth=[JWTAuthentication(revocation=RevocationStore(cache="other"))])
        (message,) = messages()
    assert message.id == "bolt_ws.W005"
    assert "'other'" in message.msg


COMMANDS = {
    "own": "from django.core.management.commands.runserver import Command",
    "wrapping": "from daphne.management.commands.runserver import Command as Base\n"
    "class Command(Base): pass",
    "broken": "1 / 0",
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Install apps, of which `own`, `wrapping` and `broken` bring a `runserver`."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, source in COMMANDS.items():
        folder = tmp_path / f"{name}_runserver" / "management" / "commands"
        folder.mkdir(parents=True)
        for package in (folder, folder.parent, folder.parent.parent):
            (package / "__init__.py").touch()
        (folder / "runserver.py").write_text(source)
    importlib.invalidate_caches()

    # Daphne's app registers a check, which fails in a project without Daphne.
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    cached: Any = get_commands

    def install_apps(*apps: str, **settings: Any) -> override_settings:
        cached.cache_clear()
        required = ["django.contrib.contenttypes", "django.contrib.auth", "bolt_ws"]
        return override_settings(
            INSTALLED_APPS=[*apps, *required], STATIC_URL="static/", **settings
        )

    yield install_apps
    cached.cache_clear()
    for name in [name for name in sys.modules if name.endswith("_runserver")]:
        del sys.modules[name]


STATIC, ASGI = "django.contrib.staticfiles", {"ASGI_APPLICATION": "demo_project.asgi.application"}


@pytest.mark.parametrize(
    ("apps", "settings", "expected"),
    [
        (("daphne", STATIC), ASGI, []),
        (("daphne", STATIC), {}, ["bolt_ws.E006"]),
        (("daphne", STATIC), {"ASGI_APPLICATION": None}, ["bolt_ws.E006"]),
        ((STATIC,), {}, []),
        (("own_runserver",), {}, []),
        ((STATIC, "daphne"), ASGI, ["daphne.E001"]),  # its own says it, and we do not again
        (("own_runserver", "daphne", STATIC), ASGI, ["bolt_ws.W004"]),
        (("daphne", "own_runserver"), ASGI, []),
        (("wrapping_runserver", "daphne"), ASGI, []),
        (("broken_runserver", "daphne"), ASGI, ["bolt_ws.W004"]),
    ],
)
def test_daphne(
    install: Callable[..., Any], apps: tuple[str, ...], settings: dict[str, Any], expected: Any
) -> None:
    with install(*apps, **settings):
        said = [message.id for message in run_checks() if str(message.id)[0] in "bd"]
        assert list(dict.fromkeys(said)) == expected  # each installation registers Daphne's once


# Modules that cannot be imported


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("from bolt_ws import Nothing", "cannot import name 'Nothing'"),
        ("def", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError in "),
        ("raise RuntimeError('hunter2')", "RuntimeError in "),
        ("key = {}['hunter2']", "KeyError in "),
        ("raise SystemError('hunter2')", "SystemError in "),
        ("api = 5", "'broken_api:api' is no BoltAPI"),
        ("from bolt_ws import BoltAPI\napi = BoltAPI(auth=[5])", "auth: 5 is no Authentication"),
        (
            "from bolt_ws import BoltAPI\napi = BoltAPI()\n"
            "async def f(ws): ...\napi.websocket('/', middleware=[lambda app: None])(f)",
            "which is no ASGI application",
        ),
    ],
)
def test_a_broken_module_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str
) -> None:
    (tmp_path / "broken_api.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_api", raising=False)
    importlib.invalidate_caches()
    with override_settings(BOLT_WS={"APIS": ["broken_api:api"], "JWT_KEY": KEY}):
        errors = [message for message in messages() if isinstance(message, Error)]
    (message,) = errors
    assert message.id == "bolt_ws.E003"
    assert told in message.msg
    assert "hunter2" not in str(message)
    monkeypatch.delitem(sys.modules, "broken_api", raising=False)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"APIS": 5}, "settings.BOLT_WS"),
        ({"JWT_KEYS": "hunter2"}, "settings.BOLT_WS"),
        ({"APIS": APIS, "GUARDS": ["no.such.guard"]}, 'BOLT_WS["GUARDS"]'),
    ],
)
def test_a_broken_setting_is_told(settings: dict[str, Any], told: str) -> None:
    with override_settings(BOLT_WS=settings):
        (message,) = messages()
    assert message.id == "bolt_ws.E003"
    assert told in message.msg
    assert "hunter2" not in str(message)


# With manage.py


def test_they_run_with_manage_py_check() -> None:
    declare(auth=[JWTAuthentication(key="short")], guards=[~AllowAny()])
    assert {"bolt_ws.E001", "bolt_ws.E005"} <= {message.id for message in run_checks()}
    with pytest.raises(SystemCheckError, match=r"bolt_ws\.E001"):
        call_command("check")


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, []),
        (["--deploy"], {}, []),
        (["--deploy"], {"DEMO_DEBUG": "0", "DEMO_SECRET_KEY": KEY}, ["W001", "W002"]),
    ],
)
def test_the_demo(arguments: list[str], environment: dict[str, str], expected: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "check", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "demo_project.settings",
            "PYTHONPATH": str(ROOT),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "System check identified" in result.stdout + result.stderr
    assert sorted(re.findall(r"bolt_ws\.(\w+)\)", result.stdout + result.stderr)) == expected
