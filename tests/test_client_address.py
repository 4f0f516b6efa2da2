"""The address of the client, behind proxies too."""

from ipaddress import ip_address
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.client_address import client_address, trusted_proxies

TRUSTED = ["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48", "unix"]


def address(peer: Any, *forwarded_for: str | bytes, trusted: list[str] = TRUSTED) -> str | None:
    values = [each.encode() if isinstance(each, str) else each for each in forwarded_for]
    headers = [(b"x-forwarded-for", value) for value in values]
    client = [peer, 50000] if isinstance(peer, str) else peer
    with override_settings(BOLT_WS={"TRUSTED_PROXIES": trusted}):
        return client_address({"client": client, "headers": headers})


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),  # what a socket for both families says
        ("fe80::1%eth0", "fe80::1"),
        (["203.0.113.9", None], "203.0.113.9"),
        (("203.0.113.9", 1), "203.0.113.9"),
        (None, None),
        ([], None),
        ("", None),
        ([None, None], None),
        ("testclient", None),
        ("203.0.113.9\r\nForged: line", None),
    ],
    ids=repr,
)
def test_the_peer(peer: Any, expected: str | None) -> None:
    assert address(peer) == expected
    assert address(peer, trusted=[]) == expected


@pytest.mark.parametrize("peer", ["203.0.113.9", "11.0.0.1", "2001:db8::1", "testclient"])
@pytest.mark.parametrize("trusted", [TRUSTED, [], ["unix"]], ids=str)
def test_a_peer_that_is_no_trusted_proxy_cannot_name_another(peer: str, trusted: list[str]) -> None:
    assert address(peer, "198.51.100.7", trusted=trusted) == address(peer)


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["198.51.100.66, 198.51.100.7"], "198.51.100.7"),  # the first is the client's own word
        (["10.6.6.6, 198.51.100.7"], "198.51.100.7"),
        (["nonsense, 198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        (["198.51.100.66, 198.51.100.7, 10.0.0.2,192.0.2.1"], "198.51.100.7"),
        (["198.51.100.66", "198.51.100.7"], "198.51.100.7"),  # two headers
        (["198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        (["198.51.100.7:4711"], "198.51.100.7"),  # as some proxies write it
        (["[2001:db8::7]"], "2001:db8::7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["  198.51.100.7\t"], "198.51.100.7"),
        (["10.0.0.3"], "10.0.0.3"),  # a client among the proxies
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # What is no address: whoever passed it on is all that is known.
        (["unknown"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        ([","], "10.0.0.1"),
        (["198.51.100.7,"], "10.0.0.1"),
        (["198.51.100.7, unknown"], "10.0.0.1"),
        (["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (["198.51.100.7, , 10.0.0.2"], "10.0.0.2"),
        (["198.51.100.256"], "10.0.0.1"),
        (["198.51.100.7:"], "10.0.0.1"),
        (["198.51.100.7:x"], "10.0.0.1"),
        (["198.51.100.7:80x"], "10.0.0.1"),
        (["[2001:db8::7]x"], "10.0.0.1"),
        (["198.51.100.7 "], "198.51.100.7"),
        (["198.51.100.7 10.0.0.2"], "10.0.0.1"),
        (["[2001:db8::7"], "10.0.0.1"),
        (["[]"], "10.0.0.1"),
        (["1"], "10.0.0.1"),
        (["9" * 10_000], "10.0.0.1"),
        (["2001:db8::7%" + "z" * 100], "10.0.0.1"),
        ([b"\xff\xfe"], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_what_a_trusted_proxy_says(forwarded_for: list[str | bytes], expected: str) -> None:
    assert address("10.0.0.1", *forwarded_for) == expected


@pytest.mark.parametrize("peer", ["192.0.2.1", "::ffff:10.0.0.1", "2001:db8:ffff::1"])
def test_addresses_and_networks_are_trusted(peer: str) -> None:
    assert address(peer, "198.51.100.7") == "198.51.100.7"


@pytest.mark.parametrize("peer", [None, [], "", ["", 0]], ids=repr)
def test_a_unix_socket(peer: Any) -> None:
    assert address(peer, "198.51.100.7") == "198.51.100.7"
    assert address(peer, "198.51.100.7", trusted=["10.0.0.0/8"]) is None
    assert address(peer, "unknown") is None


def test_a_name_of_a_header_in_any_case() -> None:
    scope = {"client": ["10.0.0.1", 1], "headers": [(b"X-Forwarded-For", b"198.51.100.7")]}
    with override_settings(BOLT_WS={"TRUSTED_PROXIES": TRUSTED}):
        assert client_address(scope) == "198.51.100.7"


@pytest.mark.parametrize(
    "entry", ["", "proxy.example.com", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "*", "Unix", "::g"]
)
def test_an_entry_that_is_no_address(entry: str) -> None:
    async def handler(websocket: WebSocket) -> None: ...

    with override_settings(BOLT_WS={"TRUSTED_PROXIES": ["10.0.0.1", entry]}):
        with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES") as caught:
            trusted_proxies()
        assert repr(entry) in str(caught.value) or entry in str(caught.value)
        with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES"):
            BoltAPI().websocket("/")(handler)
        # The log asks too, and must not fail; nobody is trusted then.
        scope = {"client": ["10.0.0.1", 1], "headers": [(b"x-forwarded-for", b"198.51.100.7")]}
        assert client_address(scope) == "10.0.0.1"
    assert trusted_proxies() is None


@given(peer=st.text(max_size=50), forwarded_for=st.lists(st.binary(max_size=100), max_size=3))
def test_it_is_an_address_or_none(peer: str, forwarded_for: list[bytes]) -> None:
    for each in (peer, "10.0.0.1"):
        found = address(each, *forwarded_for)
        assert found is None or str(ip_address(found)) == found
