"""No token in a log: a filter for the loggers of servers that write the whole URL."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

LOGGERS: Final = ("uvicorn.error", "uvicorn.access", "daphne.server", "django.request")
"""A filter sees what is logged on its own logger, not on those below it."""

_TOKEN = re.compile(r"""([?&](?:t|%74)(?:o|%6f)(?:k|%6b)(?:e|%65)(?:n|%6e)=)[^&\s"'\]]*""", re.I)


class RedactTokens(logging.Filter):
    """Replaces the value of `?token=` in a record's message and arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record, and let it pass."""
        record.msg = _redact(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(map(_redact, record.args))
        return True


def install() -> None:
    """Add the filter, once, to the loggers of the servers."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, RedactTokens) for each in logger.filters):
            logger.addFilter(RedactTokens())


def _redact(value: Any) -> Any:
    return _TOKEN.sub(r"\1[redacted]", value) if isinstance(value, str) else value
