from __future__ import annotations

import logging

import pytest

from bolt_ws.redaction import LOGGERS, install


@pytest.mark.parametrize("name", LOGGERS)
@pytest.mark.parametrize(
    ("message", "args", "written"),
    [
        ("WebSocket /ws?token=eyJ.a.b [accepted]", (), "WebSocket /ws?token=[redacted] [accepted]"),
        ("%s - %s", ("1.2.3.4", "/ws?a=1&token=eyJ&b=2"), "1.2.3.4 - /ws?a=1&token=[redacted]&b=2"),
        ("%s", ("/ws?%74oken=eyJ",), "/ws?%74oken=[redacted]"),
        ("%d tokens", (2,), "2 tokens"),
    ],
)
def test_no_token_is_logged(
    name: str,
    message: str,
    args: tuple[object, ...],
    written: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    install()  # for the second time: the app has done it
    logger = logging.getLogger(name)
    assert len(logger.filters) == 1
    with caplog.at_level(logging.INFO, logger=name):
        logger.info(message, *args)
    assert [record.getMessage() for record in caplog.records] == [written]
