"""Addresses and URLs, as a connection shows them."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit


class Address(NamedTuple):
    """The client's end of the connection."""

    host: str
    port: int


class URL(str):
    """A URL: text, with its parts as attributes, named as in `urllib.parse.urlsplit`."""

    __slots__ = ()

    @property
    def parts(self) -> SplitResult:
        """All parts at once."""
        return urlsplit(str(self))

    @property
    def scheme(self) -> str:
        """`ws` or `wss`."""
        return self.parts.scheme

    @property
    def netloc(self) -> str:
        """Host and port as they stand in the URL."""
        return self.parts.netloc

    @property
    def hostname(self) -> str | None:
        """The host without its port, in lower case."""
        return self.parts.hostname

    @property
    def port(self) -> int | None:
        """The port, None where the URL names none."""
        return self.parts.port

    @property
    def path(self) -> str:
        """The path, `root_path` included."""
        return self.parts.path

    @property
    def query(self) -> str:
        """What stands behind the `?`."""
        return self.parts.query
