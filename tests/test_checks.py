"""manage.py check."""

from typing import Any

import pytest
from django.core.checks import Error, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.auth import JWTAuthentication
from bolt_ws.checks import check_jwt_keys

api = BoltAPI()


async def handler(websocket: WebSocket) -> None: ...


@pytest.fixture(autouse=True)
def project() -> Any:
    """A project whose only API is this module's, empty at first."""
    global api
    api = BoltAPI()
    with override_settings(BOLT_WS={"APIS": ["tests.test_checks:api"]}):
        yield


def errors() -> list[str | None]:
    return [message.id for message in check_jwt_keys()]


def test_a_project_in_order() -> None:
    api.websocket("/ws", auth=[JWTAuthentication()])(handler)
    assert errors() == []


@pytest.mark.parametrize(
    ("algorithm", "length", "expected"),
    [
        ("HS256", 31, ["bolt_ws.E001"]),
        ("HS256", 32, []),
        ("HS384", 47, ["bolt_ws.E001"]),
        ("HS384", 48, []),
        ("HS512", 63, ["bolt_ws.E001"]),
        ("HS512", 64, []),
        ("RS256", 10, []),
    ],
)
def test_a_short_key_is_an_error(algorithm: str, length: int, expected: list[str]) -> None:
    backend = JWTAuthentication(key="k" * length, algorithms=[algorithm])
    api.websocket("/ws", auth=[backend])(handler)
    assert errors() == expected


def test_bytes_are_counted_not_characters() -> None:
    api.websocket("/ws", auth=[JWTAuthentication(key="é" * 16)])(handler)
    assert errors() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"SECRET_KEY": "short"},
        {"BOLT_WS": {"APIS": ["tests.test_checks:api"], "JWT_KEY": "short"}},
    ],
)
def test_a_short_key_in_the_settings_is_an_error(settings: dict[str, Any]) -> None:
    api.websocket("/ws", auth=[JWTAuthentication()])(handler)
    with override_settings(**settings):
        assert errors() == ["bolt_ws.E001"]


def test_backends_of_apis_and_of_included_ones_are_looked_at() -> None:
    global api
    short = JWTAuthentication(key="short")
    inner = BoltAPI(auth=[short])
    inner.websocket("/ws")(handler)
    api.include(inner)
    assert errors() == ["bolt_ws.E001"]


def test_one_backend_is_told_once() -> None:
    short = JWTAuthentication(key="short")
    api.websocket("/a", auth=[short])(handler)
    api.websocket("/b", auth=[short])(handler)
    assert errors() == ["bolt_ws.E001"]


def test_the_message_helps_and_keeps_the_key_to_itself() -> None:
    api.websocket("/ws", auth=[JWTAuthentication(key="hunter2")])(handler)
    (message,) = check_jwt_keys()
    assert isinstance(message, Error)
    assert "7 bytes" in str(message.msg)
    assert "secrets.token_urlsafe" in str(message.hint)
    assert "hunter2" not in str(message)


def test_it_runs_with_manage_py_check() -> None:
    api.websocket("/ws", auth=[JWTAuthentication(key="short")])(handler)
    assert "bolt_ws.E001" in [message.id for message in run_checks()]
    with pytest.raises(SystemCheckError, match=r"bolt_ws\.E001"):
        call_command("check")
