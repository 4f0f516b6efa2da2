"""JSON in and out."""

import datetime
import decimal
import uuid
from typing import Any

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from bolt_ws import InvalidJSON
from bolt_ws.messages import decode_json, encode_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_goes_out_comes_in(value: Any) -> None:
    assert decode_json(encode_json(value)) == value
    assert decode_json(encode_json(value).decode()) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, True]}, b'{"a":[1,null,true]}'),
        ("é", '"é"'.encode()),
        (mark_safe("<b>"), b'"<b>"'),
        (gettext_lazy("Yes"), b'"Yes"'),
        ([gettext_lazy("Yes")], b'["Yes"]'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (datetime.date(2026, 1, 2), b'"2026-01-02"'),
        (decimal.Decimal("1.10"), b'"1.10"'),
    ],
)
def test_what_django_hands_out_is_encoded(value: Any, expected: bytes) -> None:
    assert encode_json(value) == expected


def test_what_json_cannot_hold_is_named() -> None:
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        encode_json({"a": object()})


@pytest.mark.parametrize(
    "data", ["", " ", "{", "nul", "[1,]", "{'a': 1}", "1 2", b"\xff", b'"\xff"', "NaN", '"\ud800"']
)
def test_what_is_no_json(data: str | bytes) -> None:
    with pytest.raises(InvalidJSON, match="Invalid JSON: ") as caught:
        decode_json(data)
    assert caught.value.data is data


def test_invalid_json_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Invalid JSON"):
        decode_json("{")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_invalid_json(opening: str) -> None:
    with pytest.raises(InvalidJSON, match="nested too deeply"):
        decode_json(opening * 100_000)


@given(st.text() | st.binary())
def test_nothing_but_invalid_json_is_raised(data: str | bytes) -> None:
    try:
        decode_json(data)
    except InvalidJSON as error:
        assert error.data is data  # noqa: PT017
