"""Tries a handshake in process, and judges how it was refused."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.test import override_settings

from bolt_ws import BoltAPI, limits
from bolt_ws.registry import registry
from tests.hostile import api
from tests.hostile.project.settings import SHARED
from tests.hostile.table import Build, HandshakeClass, Row
from tests.hostile.wire import Attempt
from tests.support import Application, Connection, Event, close

PATIENCE = 3.0
"""Seconds that a handshake may take at most; no deadline of the table is longer than two."""

RETRIED = ("too_many_connections", "admission_timeout", "shutting_down")
"""What a client is told to try again."""

ENTERED = "entered"
"""What a client hears that got in."""


class Way(enum.Enum):
    """A way to refuse: what the server can, and what the project wants."""

    DENY = "with an HTTP status"
    FORBID = "with a close, which the server makes a 403"
    CLOSE = "with an accept and a close"


@dataclass
class Outcome:
    """All that came of a handshake."""

    sent: list[Any]
    terminal: list[Event]
    violations: list[Event]
    error: BaseException | None
    entered: list[str]
    seconds: float
    records: list[logging.LogRecord]
    secrets: set[str]

    @property
    def is_admitted(self) -> bool:
        """Whether a handler, or an `on_connect`, has run."""
        return bool(self.entered)


async def try_row(row: Row, way: Way, made: BoltAPI) -> Outcome:
    """Try a hostile handshake."""
    with _served(made, way, row.settings) as application:
        async with _connected(application, row.kind.crowd):
            connection, secrets = _connection(application, row.build(), way)
            return await _outcome(connection, secrets, row)


async def try_good(kind: HandshakeClass, way: Way, made: BoltAPI) -> Outcome:
    """Try the good handshake of a class."""
    with _served(made, way, kind.settings) as application:
        async with _connected(application, kind.crowd[1:]):
            return await _outcome(*_connection(application, kind.good(), way))


@contextlib.contextmanager
def _served(made: BoltAPI, way: Way, settings: Mapping[str, Any]) -> Iterator[Application]:
    refuse = "close" if way is Way.CLOSE else "deny"
    with override_settings(**SHARED, BOLT_WS={"REFUSE": refuse, **settings}):
        limits._rates._full_at.clear()  # nobody has connected before
        yield made.as_asgi()


def _connection(application: Application, made: Attempt, way: Way) -> tuple[Connection, set[str]]:
    connection = Connection(application)
    connection.scope = made.scope(deny=way is not Way.FORBID)
    return connection, made.secrets


@contextlib.asynccontextmanager
async def _connected(application: Application, builds: tuple[Build, ...]) -> AsyncIterator[None]:
    """Have others connected: their accepts are on their way until the end."""
    ends: list[tuple[Connection, asyncio.Event]] = []
    for build in builds:
        connection, _ = _connection(application, build(), Way.DENY)
        arrived, leaving = asyncio.Event(), asyncio.Event()
        connection.on_send = _holding(arrived, leaving)
        connection.start()
        await asyncio.wait_for(arrived.wait(), PATIENCE)
        ends.append((connection, leaving))
    api.entered.clear()
    try:
        yield
    finally:
        for connection, leaving in ends:
            leaving.set()
            await connection.end()


def _holding(arrived: asyncio.Event, leaving: asyncio.Event) -> Any:
    async def hold(event: Event) -> None:
        assert event["type"] in ("websocket.accept", "websocket.send", "websocket.close")
        arrived.set()
        await leaving.wait()

    return hold


async def _outcome(connection: Connection, secrets: set[str], row: Row | None = None) -> Outcome:
    api.entered.clear()
    start = time.monotonic()
    with _logged() as records:
        connection.start()
        assert connection.task is not None
        if row is not None and row.during is not None:
            await row.during(connection)
        done, _ = await asyncio.wait([connection.task], timeout=PATIENCE)
        if not done:
            connection.task.cancel()
            await asyncio.wait([connection.task], timeout=PATIENCE)
        error: BaseException | None = None
        try:
            connection.task.result()
        except BaseException as raised:  # a cancellation too
            error = raised
    return Outcome(
        connection.sent,
        connection.terminal,
        connection.violations,
        error,
        list(api.entered),
        time.monotonic() - start,
        records,
        secrets,
    )


class _Keeping(logging.Handler):
    """Keeps all records."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def _logged() -> Iterator[list[logging.LogRecord]]:
    handler = _Keeping()
    loggers = [logging.getLogger(), logging.getLogger("bolt_ws")]
    levels = [logger.level for logger in loggers]
    loggers[0].addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield handler.records
    finally:
        loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def judge_good(outcome: Outcome) -> None:
    """See that a handshake was admitted: accepted, greeted, closed with 1000."""
    assert outcome.error is None
    assert outcome.is_admitted, outcome.sent
    assert [event["type"] for event in outcome.sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert outcome.sent[1]["text"] == ENTERED
    assert outcome.sent[2] == close()
    _check_log(outcome)


def judge(row: Row, way: Way, outcome: Outcome) -> None:
    """See that a hostile handshake was refused, as its row says."""
    assert not outcome.is_admitted, outcome.sent
    assert outcome.seconds < PATIENCE
    if row.raises is None:
        assert outcome.error is None
    else:
        assert isinstance(outcome.error, row.raises)
    assert len(registry) == 0
    _check_log(outcome)
    has_traceback = any(record.exc_info for record in outcome.records)
    assert has_traceback <= (row.status == 500), "a client's fault is in the log as one of ours"
    if row.is_answered_by_guard:
        assert len(outcome.terminal) == 1
        return
    _check_refusal_in_log(row, outcome)
    assert outcome.violations == []
    if not row.is_heard:
        assert outcome.sent == []
        return
    assert len(outcome.terminal) == 1, outcome.sent
    if way is Way.DENY:
        _check_denial(row, outcome.sent)
    elif way is Way.FORBID:
        assert len(outcome.sent) == 1
        (only,) = outcome.sent
        assert (only["type"], only["code"]) == ("websocket.close", 4000 + row.status)
    else:
        assert len(outcome.sent) == 2
        accept, end = outcome.sent
        assert not any(secret in str(accept) for secret in outcome.secrets), "it is answered"
        assert accept["type"] == "websocket.accept"
        assert (end["type"], end["code"]) == ("websocket.close", row.close)


def _check_denial(row: Row, sent: list[Any]) -> None:
    assert len(sent) == 2
    start, body = sent
    assert start["type"] == "websocket.http.response.start"
    answer = json.loads(body["body"])
    assert (start["status"], answer["code"]) == (row.status, row.code)
    assert "secret detail" not in answer["detail"]
    names = {name for name, _ in start["headers"]}
    assert (b"www-authenticate" in names) == (row.status == 401)
    assert (b"retry-after" in names) == (row.code in RETRIED)


def _check_refusal_in_log(row: Row, outcome: Outcome) -> None:
    refusals: list[Any] = list(
        filter(None, (vars(each).get("refusal") for each in outcome.records))
    )
    told = [(refusal["status"], refusal["code"]) for refusal in refusals]
    assert told == [(row.status, row.code)]


def _check_log(outcome: Outcome) -> None:
    everything = "\n".join(f"{record.getMessage()} {vars(record)!r}" for record in outcome.records)
    for secret in outcome.secrets:
        for part in {secret, secret.rpartition(".")[2]}:
            assert len(part) < 16 or part not in everything, "a credential is in the log"
    for record in outcome.records:
        assert "\n" not in record.getMessage()
        assert "\r" not in record.getMessage()
