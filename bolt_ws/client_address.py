"""The address of the client, behind proxies too."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, Final, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .conf import get_settings

Address = IPv4Address | IPv6Address

UNIX: Final = "unix"
"""Among the trusted proxies: whoever has no address, for it came through a Unix socket."""

_MAX_LENGTH: Final = 64
"""Characters; the longest address has 39, a port and brackets not counted."""
_WITH_PORT: Final = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


def client_address(scope: Mapping[str, Any]) -> str | None:
    """Return the client's address as text, None where it is not known.

    It is the peer's. Where that is one of `BOLT_WS["TRUSTED_PROXIES"]`, it is the last one in
    `X-Forwarded-For` that is none of them: each proxy adds at the end whom it was called by, and
    what stands before is the client's own word. Behind an entry that is no address nothing is
    believed: it is then the proxy that passed it on.

    Never raises, for the log asks too: with settings that are broken, no proxy is trusted.
    """
    peer = str((scope.get("client") or ("",))[0])
    address = _parse(peer)
    try:
        trusted = trusted_proxies()
    except ImproperlyConfigured:
        trusted = None
    if trusted is not None and trusted.cover(address, is_unix=not peer):
        for entry in reversed(_forwarded_for(scope)):
            claimed = _parse_entry(entry.strip())
            if claimed is None:
                break
            address = claimed
            if not trusted.cover(address):
                break
    return None if address is None else str(address)


class TrustedProxies(NamedTuple):
    """Whose `X-Forwarded-For` counts."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    has_unix: bool

    def cover(self, address: Address | None, *, is_unix: bool = False) -> bool:
        """Tell whether a peer is one of them; `is_unix` is one without an address."""
        if address is None:
            return is_unix and self.has_unix
        return any(address in network for network in self.networks)


@functools.cache
def trusted_proxies() -> TrustedProxies | None:
    """Return `BOLT_WS["TRUSTED_PROXIES"]`, None if there is none.

    Raises `ImproperlyConfigured` for an entry that is no address and no network.
    """
    entries = get_settings().trusted_proxies
    if not entries:
        return None
    return TrustedProxies(tuple(_networks(entries)), UNIX in entries)


def _networks(entries: Iterable[str]) -> Iterable[IPv4Network | IPv6Network]:
    for entry in entries:
        if entry == UNIX:
            continue
        try:
            yield ip_network(entry)
        except ValueError as error:
            raise ImproperlyConfigured(
                f'BOLT_WS["TRUSTED_PROXIES"]: {error}; write an address such as "10.0.0.1", a '
                f'network such as "10.0.0.0/8", or "{UNIX}" for whoever connects to a Unix socket'
            ) from None


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])  # behind it the zone, an interface of ours
    except ValueError:
        return None
    # What a socket for both families says of an IPv4 client (RFC 4291 section 2.5.5.2).
    return getattr(address, "ipv4_mapped", None) or address


def _parse_entry(entry: str) -> Address | None:
    if len(entry) > _MAX_LENGTH:
        return None
    match = _WITH_PORT.fullmatch(entry)  # as some proxies write it
    return _parse(match[1] or match[2] if match else entry)


def _forwarded_for(scope: Mapping[str, Any]) -> list[str]:
    values = [
        value.decode("latin-1")
        for name, value in scope.get("headers", ())
        if name.lower() == b"x-forwarded-for"
    ]
    return ",".join(values).split(",") if values else []


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting == "BOLT_WS":
        trusted_proxies.cache_clear()


setting_changed.connect(_reset, dispatch_uid="bolt_ws.client_address")
