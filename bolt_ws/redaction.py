"""No credential in a log: servers and frameworks write whole URLs, headers and exceptions."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple

from django.conf import settings

LOGGERS: Final = (
    "asyncio",
    "bolt_ws",
    "daphne.cli",
    "daphne.http_protocol",
    "daphne.server",
    "daphne.ws_protocol",
    "django.channels.server",
    "django.request",
    "django.security.csrf",
    "django.server",
    "hypercorn.access",
    "hypercorn.error",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.asgi",
    "uvicorn.error",
)
"""A filter sees what is logged on its own logger, not on those below it."""

HIERARCHIES: Final = frozenset(name.partition(".")[0] for name in LOGGERS)
"""What is logged below these, on loggers of any name, is redacted by the handlers."""

REDACTED: Final = "[redacted]"
SHOWN_LENGTH: Final = 200
"""Characters of what a client has chosen, in a log."""

# In base64url, `{"` is eyJ: how the header of a JSON Web Token begins (RFC 7515 section 3.1).
_JWT: Final = re.compile(r"eyJ[\w-]{4,}(?:(?:\.|%2e)[\w-]*)*", re.ASCII | re.IGNORECASE)
# As a header, as a line of one, as a pair in a scope's list or in a dict; `Bearer` anywhere.
_AUTHORIZATION: Final = re.compile(
    r"""(authorization(?:b?["'\s:=,(]){1,8}(?:[\w-]+[ ]+)?|\bbearer[ .]+)"""
    r"""(?:\[redacted\]|[^\s"',;)\]]+)""",
    re.IGNORECASE,
)

_parameters: set[str] = {"token", "ticket"}
_headers: set[str] = {"x-api-key"}
_schemes: set[str] = {"bearer"}
_prefixes: set[str] = set()
_marks: tuple[str, ...] = ("x-api-key",)  # a text without any of them needs no pattern


class Marks(NamedTuple):
    """What stands before a credential in a log."""

    parameters: Collection[str] = ()
    """Names of query parameters and cookies."""
    headers: Collection[str] = ()
    """Names of headers."""
    schemes: Collection[str] = ()
    """The first word of such a header, if the credential is the second."""
    prefixes: Collection[str] = ()
    """What a subprotocol begins with, before a dot."""


class RedactTokens(logging.Filter):
    """Replaces credentials in a record: in its message, its arguments and its exception's text.

    Those are the values of query parameters, headers and cookies that authentication backends take,
    of `X-API-Key` and of the session's cookie, what stands behind `Authorization` and `bearer`, and
    whatever looks like a JSON Web Token. Lets every record pass, and never raises.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record."""
        try:
            _redact_record(record)
        except Exception:
            record.msg, record.args = "A log record was dropped: it could not be redacted", None
            record.exc_info = record.exc_text = record.stack_info = None
        return True


class _RedactServers(RedactTokens):
    """The same on handlers, which see the project's own records too, and leave them alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] in HIERARCHIES:
            return super().filter(record)
        return True


def install() -> None:
    """Redact, from now on, what servers and Django log, and Daphne's access log."""
    from daphne.access import AccessLogGenerator  # whoever imports bolt_ws may use another server

    add_parameters([settings.SESSION_COOKIE_NAME])
    for name in LOGGERS:
        _add(logging.getLogger(name), RedactTokens)
    for name in ("", *HIERARCHIES):
        for handler in logging.getLogger(name).handlers:
            _add(handler, _RedactServers)
    if not hasattr(AccessLogGenerator.write_entry, "__wrapped__"):
        AccessLogGenerator.write_entry = _redacting(AccessLogGenerator.write_entry)


def add_parameters(names: Iterable[str]) -> None:
    """Redact the values of these query parameters too."""
    _parameters.update(map(str.lower, names))
    _parameter_pattern.cache_clear()


def add_marks(marks: Marks) -> None:
    """Redact what stands behind these too."""
    global _marks
    add_parameters(marks.parameters)
    # That one has a pattern of its own, for any scheme.
    _headers.update({each.lower() for each in marks.headers} - {"authorization"})
    _schemes.update(each.lower() for each in marks.schemes)
    _prefixes.update({each.lower() for each in marks.prefixes} - {"bearer"})
    _marks = (*_headers, *(f"{each}." for each in _prefixes))
    _mark_pattern.cache_clear()


def redact(text: str) -> str:
    """Return `text` without the credentials in it."""
    # The searches for plain text cost a tenth of the patterns, and find nothing in most records.
    if "eyJ" in text:
        text = _JWT.sub(REDACTED, text)
    lower = text.lower()
    if "=" in text and ("%" in text or any(name in lower for name in _parameters)):
        text = _parameter_pattern().sub(rf"\1{REDACTED}", text)
    if "bearer" in lower or "authorization" in lower:
        text = _AUTHORIZATION.sub(rf"\1{REDACTED}", text)
    for mark in _marks:
        if mark in lower:
            return _mark_pattern().sub(rf"\1{REDACTED}", text)
    return text


def shown(text: str) -> str:
    """Return a path or a header's value for a log: clients put anything there, tokens too."""
    return redact(text)[:SHOWN_LENGTH]


def _redact_record(record: logging.LogRecord) -> None:
    # Each argument by itself first: uvicorn's access formatter wants them one by one.
    record.msg = _redact_value(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(map(_redact_value, record.args))
    elif isinstance(record.args, dict):
        record.args = {key: _redact_value(value) for key, value in record.args.items()}
    try:
        message = record.getMessage()
    except Exception:
        pass  # arguments that do not fit, which logging itself reports
    else:
        # In an object, or in two arguments at once, a header's name and its value.
        if (redacted := redact(message)) != message:
            record.msg, record.args = redacted, None
    if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
        text = logging.Formatter().formatException(record.exc_info)
        if (redacted := redact(text)) != text:
            record.exc_text = redacted  # which formatters take instead of the exception
    if record.exc_text:
        record.exc_text = redact(record.exc_text)
    if record.stack_info:
        record.stack_info = redact(record.stack_info)


def _redact_value(value: Any) -> Any:
    return redact(value) if isinstance(value, str) else value


@functools.cache
def _parameter_pattern() -> re.Pattern[str]:
    """Match `name=value`, the name percent-encoded or not, up to the end of the value."""
    names = "|".join(map(_encoded, sorted(_parameters, key=len, reverse=True)))
    return re.compile(rf"""((?<![\w%-])(?:{names})=)[^&\s"<>]*""", re.IGNORECASE)


@functools.cache
def _mark_pattern() -> re.Pattern[str]:
    """Match a header with its value as `_AUTHORIZATION` does, a prefix with its credential."""
    headers, schemes, prefixes = (
        "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        for names in (_headers, _schemes, _prefixes)
    )
    begins = rf"""(?:{headers})(?:b?["'\s:=,(]){{1,8}}(?:(?:{schemes})[ ]+)?"""
    if prefixes:
        begins = rf"(?:{begins}|(?:{prefixes})\.)"
    return re.compile(rf"""((?<![\w-]){begins})(?:\[redacted\]|[^\s"',;)\]]+)""", re.IGNORECASE)


def _encoded(name: str) -> str:
    letters = (re.escape(chr(byte)) for byte in name.encode())
    codes = (f"%{byte:02x}" for byte in name.encode())
    return "".join(f"(?:{letter}|{code})" for letter, code in zip(letters, codes, strict=True))


def _redacting(write_entry: Callable[..., None]) -> Callable[..., None]:
    """Wrap what writes Daphne's access log, to a stream and past `logging`."""

    @functools.wraps(write_entry)
    def write(self: Any, host: Any, date: Any, request: str, *args: Any, **kwargs: Any) -> None:
        write_entry(self, host, date, redact(request), *args, **kwargs)

    return write


def _add(target: logging.Filterer, kind: type[RedactTokens]) -> None:
    if not any(type(each) is kind for each in target.filters):
        target.addFilter(kind())
