"""The BOLT_WS setting."""

import math
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bolt_ws.conf import get_settings, jwt_key


def test_the_defaults() -> None:
    found = get_settings()
    assert (found.apis, found.jwt_key, found.admission_timeout) == (None, None, 4.0)


def test_a_setting_is_read_again_after_it_changed() -> None:
    assert get_settings().admission_timeout == 4.0
    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 2}):
        assert get_settings().admission_timeout == 2
        with override_settings(BOLT_WS={"APIS": ["chat.api:api"]}):
            assert get_settings().apis == ["chat.api:api"]
    assert get_settings().admission_timeout == 4.0


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"JWT_KEYS": "x"}, "JWT_KEYS"),
        ({"jwt_key": "x"}, "jwt_key"),
        ({"JWT_KEY": 5}, "JWT_KEY"),
        ({"APIS": "chat.api:api"}, "APIS"),
        ({"ADMISSION_TIMEOUT": "soon"}, "ADMISSION_TIMEOUT"),
        ({"ADMISSION_TIMEOUT": 0}, "ADMISSION_TIMEOUT"),
        ({"ADMISSION_TIMEOUT": 5.0}, "ADMISSION_TIMEOUT"),
        ({"ADMISSION_TIMEOUT": math.inf}, "ADMISSION_TIMEOUT"),
        ({"ADMISSION_TIMEOUT": math.nan}, "ADMISSION_TIMEOUT"),
        ([], "BOLT_WS"),
    ],
)
def test_a_setting_that_cannot_work_is_named(value: Any, named: str) -> None:
    with (
        override_settings(BOLT_WS=value),
        pytest.raises(ImproperlyConfigured, match=rf"settings\.BOLT_WS: .*{named}|{named}: "),
    ):
        get_settings()


def test_the_key_falls_back_to_the_secret_key() -> None:
    assert jwt_key() == settings.SECRET_KEY
    with override_settings(BOLT_WS={"JWT_KEY": "k"}):
        assert jwt_key() == "k"


def test_the_key_is_not_shown() -> None:
    with override_settings(BOLT_WS={"JWT_KEY": "the-secret"}):
        assert "the-secret" not in repr(get_settings())


def test_the_key_is_not_shown_in_an_error_either() -> None:
    with (
        override_settings(BOLT_WS={"JWT_KEY": "the-secret", "APIS": 5}),
        pytest.raises(ImproperlyConfigured) as caught,
    ):
        get_settings()
    assert "the-secret" not in str(caught.value)
