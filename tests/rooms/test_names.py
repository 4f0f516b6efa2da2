"""Names of rooms, and the groups that they are."""

import string
from typing import Any

import pytest
from channels.layers import BaseChannelLayer
from hypothesis import example, given
from hypothesis import strategies as st

from bolt_ws.rooms.names import endpoint_key, group_of, path_key, user_key

# Any text that Python can hold, and more of what Channels allows than chance would bring.
NAMES = st.one_of(
    st.text(st.characters(), min_size=1, max_size=200),
    st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=200),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3),
    st.builds("bolt_ws.{}".format, st.text(max_size=100)),
)


def is_allowed(group: str) -> bool:
    """Tell whether Channels takes a name for a group's."""
    try:
        return BaseChannelLayer().require_valid_group_name(group) is not False
    except TypeError:
        return False


@given(NAMES)
@example("room.1\n")
@example("\ud800")
@example("x" * 100)
def test_any_text_is_a_name_of_a_group_that_channels_allows(name: str) -> None:
    assert is_allowed(group_of(name))


@given(NAMES)
@example("x" * 99)
@example("x" * 100)
@example("bolt_ws.room.1")
@example("bolt_wsx")
def test_a_name_that_channels_allows_is_the_groups_name(name: str) -> None:
    is_own = is_allowed(name) and not name.startswith("bolt_ws.")
    assert (group_of(name) == name) is is_own


@given(NAMES, NAMES)
@example("a b", "a  b")
@example("room.1", "room.1\n")
@example("\ud800", "\ud801")
@example("\ud800", "\\ud800")
@example("é", "e\u0301")  # the same to the eye: names are not normalised
def test_distinct_names_share_no_group(one: str, other: str) -> None:
    assert (group_of(one) == group_of(other)) is (one == other)


@given(NAMES)
def test_no_name_reaches_a_group_that_another_name_is_encoded_as(name: str) -> None:
    assert group_of(group_of(name)) != group_of(name) or group_of(name) == name
    assert group_of(name) != "bolt_ws.shared"
    assert not group_of(name).startswith("bolt_ws.process.")


@pytest.mark.parametrize("name", ["bolt_ws.shared", "bolt_ws.process.0", "bolt_ws."])
def test_the_groups_of_bolt_ws_itself_are_no_rooms(name: str) -> None:
    assert group_of(name).startswith("bolt_ws.room.")


@pytest.mark.parametrize(
    ("name", "is_own"),
    [("x" * 99, True), ("x" * 100, False), ("x" * 200, False), ("\U0001f600" * 200, False)],
)
def test_long_names(name: str, is_own: bool) -> None:
    assert (group_of(name) == name) is is_own
    assert is_allowed(group_of(name))


@pytest.mark.parametrize("name", ["", "x" * 201, "\U0001f600" * 201])
def test_names_that_are_too_short_or_too_long(name: str) -> None:
    with pytest.raises(ValueError, match=f"1 to 200 characters, and not {len(name)}"):
        group_of(name)


@pytest.mark.parametrize("name", [None, 7, b"room.1", ["room.1"]])
def test_a_name_is_text(name: Any) -> None:
    with pytest.raises(TypeError, match="a room's name is text"):
        group_of(name)


def test_an_encoded_name_is_the_same_in_each_release() -> None:
    # Servers of different releases are in one group while a project is deployed.
    digest = "c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65"
    assert group_of("a b") == f"bolt_ws.room.{digest}"


@given(st.text(), st.text(), st.text())
def test_users_paths_and_endpoints_share_no_key(one: str, other: str, path: str) -> None:
    assert len({user_key(one), endpoint_key(other), path_key(one, path)}) == 3


def test_ids_of_users_compare_as_text() -> None:
    assert user_key(7) == user_key("7")
    assert user_key(7) != user_key("07")


def test_no_path_of_one_endpoint_is_a_path_of_another() -> None:
    # The path is the client's: behind an endpoint's key it must not read as another key.
    assert path_key("chat /a", "b:c") != path_key("chat /a:b", "c")
    assert path_key("chat", "/a") == path_key("chat", "//a")
