"""Whose connection a log record is about: `connection_id`, `endpoint`, `user_id` and `client`."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

LOGGERS: Final = (
    "bolt_ws",
    "bolt_ws.daphne",
    "bolt_ws.daphne.websockets",
    "daphne.server",
    "django.dispatch",
)
"""Those of bolt_ws, and those that log what handlers and receivers of signals raise. A filter sees
what is logged on its own logger, not on those below it."""
MAX_LENGTH: Final = 200
"""Characters of a user's id in a log."""


FIELDS: Final = ("client", "connection_id", "endpoint", "user_id")


# The garbage collector may have somebody ask while its own thread makes one.
_making = threading.RLock()


def _forget() -> None:
    global _making
    _making = threading.RLock()  # another thread of the parent's may have had it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class LogFields:
    """What the records of one connection say of it.

    It does not refer to the connection: tasks and threads that outlive it may hold this.
    """

    __slots__ = ("_client", "_find_client", "_id", "_is_of_one", "endpoint", "user_id")

    def __init__(
        self,
        endpoint: str | None,
        find_client: Callable[[], str | None] | None = None,
        *,
        is_of_one: bool = True,
    ) -> None:
        """`find_client` is called at the first record: it takes 10 us, and there may be none."""
        self._id: str | None = None
        self._is_of_one = is_of_one
        self._client: str | None = None
        self._find_client = find_client
        self.endpoint = endpoint
        """The endpoint's name, None for a path that no endpoint has."""
        self.user_id: str | None = None
        """None before admission and while anonymous."""

    @property
    def connection_id(self) -> str | None:
        """A UUID4 as text, this connection's own; None where there is no connection."""
        if self._id is None and self._is_of_one:  # made when asked for, too, by whichever thread
            with _making:
                self._id = self._id or str(uuid.uuid4())
        return self._id

    @property
    def client(self) -> str | None:
        """The client's address, None where it is not known."""
        find = self._find_client
        if find is not None:
            self._client = find()
            self._find_client = None
        return self._client

    def identify(self, user_id: str) -> None:
        """Note whose connection it is. The id may be anybody's word, and forges no field."""
        if not user_id.isprintable() or " " in user_id:
            user_id = user_id.encode("unicode_escape").decode().replace(" ", "\\x20")
        self.user_id = user_id[:MAX_LENGTH]

    def as_extra(self) -> dict[str, Any]:
        """Return the fields as `extra` of a record that is logged outside of the connection."""
        return {name: getattr(self, name) for name in FIELDS}


NOBODY: Final = LogFields(None, is_of_one=False)

current: Final[ContextVar[LogFields]] = ContextVar("bolt_ws_log_fields", default=NOBODY)
"""The fields of the connection that is being served here."""


class ConnectionFields(logging.Filter):
    """Gives a record the four fields, None where there is no connection. Lets every record pass.

    A field that the record has already stays as it is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields to the record."""
        fields, known = current.get(), record.__dict__
        for name in FIELDS:
            if name not in known:
                known[name] = getattr(fields, name)
        return True


def install() -> None:
    """Give the fields, from now on, to all that bolt_ws logs."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(type(each) is ConnectionFields for each in logger.filters):
            logger.addFilter(ConnectionFields())
