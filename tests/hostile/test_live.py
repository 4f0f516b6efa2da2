"""Some of the same handshakes, as bytes, to our Daphne, stock Daphne and uvicorn."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from tests.hostile.classes import CLASSES, ROWS
from tests.hostile.judging import ENTERED
from tests.hostile.project.settings import CACHE_FOLDER, SHARED, caches_in
from tests.hostile.table import HandshakeClass, Row, rows_of
from tests.hostile.wire import Answer, Attempt, send
from tests.live.server import DAPHNE, LOGGED_WITHIN, STOCK_DAPHNE, UVICORN, Server, check_echo

EVERY = 3
"""One of so many rows of each class is tried, the first one of each, too."""
LIVE = [
    row for kind in CLASSES for row in [each for each in rows_of(kind) if each.is_live][::EVERY]
]
FIRST = [row for kind in CLASSES for row in [each for each in rows_of(kind) if each.is_live][:1]]

FAULTS = (
    "secret detail",
    "must answer True or False",
    "has no attribute 'user_id'",
    "before admission has ended",
)
"""What may be in the log after a traceback: faults that the client asked for."""


class Attacked(Server):
    """A server whose project fails as its clients want."""

    def check_log(self) -> None:
        """See that only that went wrong, and that no token was logged."""
        ends = re.findall(r"(?m)^Traceback .*\n(?:\s.*\n)*(\S.*)$", self.log)
        assert [end for end in ends if not any(fault in end for fault in FAULTS)] == []
        for trouble in (
            "never awaited",
            "was destroyed",
            "never retrieved",
            "took too long to shut down",
        ):
            assert trouble not in self.log
        assert "eyJ" not in self.log, "a JSON Web Token is in the log"


@pytest.fixture(scope="module", params=[DAPHNE, STOCK_DAPHNE, UVICORN], ids=str)
def attacked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacked]:
    """A server of the project under attack, and its cache."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    running = Attacked(
        request.param,
        "tests.hostile.project.asgi:application",
        folder / "log",
        {
            "DJANGO_SETTINGS_MODULE": "tests.hostile.project.settings",
            CACHE_FOLDER: str(folder / "cache"),
        },
    )
    try:
        with override_settings(**SHARED, CACHES=caches_in(str(folder / "cache"))):
            yield running
        running.stop()
    finally:
        running.kill()


@pytest.fixture(autouse=True)
async def undisturbed(attacked: Attacked) -> AsyncIterator[None]:
    """The server still serves."""
    yield
    await check_echo(attacked, "/echo")


async def tried(server: Attacked, attempt: Attempt, logged: str | None = None) -> Answer:
    """Send a handshake, and see what the server and we have logged of it."""
    start = len(server.log)
    answer = await send(server, attempt)
    if logged is not None and not is_of_server(answer):
        await asyncio.to_thread(server.wait_for, logged, LOGGED_WITHIN, 1, start)
    for secret in attempt.secrets:
        assert secret not in server.log, "a credential is in the log"
    return answer


def is_of_server(answer: Answer) -> bool:
    """Whether the server itself has refused what it takes for no HTTP or no WebSocket."""
    return answer.status == 400 and b'"code"' not in answer.body


def refusal_of(row: Row) -> str | None:
    """A pattern of the line in the log."""
    return None if row.is_answered_by_guard else rf"Refused .*: {row.status} {row.code}: "


def test_a_tenth_of_the_table_is_tried() -> None:
    assert len(LIVE) * 10 >= len(ROWS)


@pytest.mark.parametrize("row", LIVE, ids=str)
async def test_a_hostile_handshake_is_refused(row: Row, attacked: Attacked) -> None:
    answer = await tried(attacked, row.build(), refusal_of(row))
    assert answer.text is None
    assert answer.status == attacked.kind.status(row.status) or is_of_server(answer)


@pytest.mark.parametrize("row", [row for row in FIRST if row.code != "not_found"], ids=str)
async def test_a_browser_is_told_why(row: Row, attacked: Attacked) -> None:
    attempt = row.build()
    attempt = dataclasses.replace(attempt, path=f"/closing{attempt.path}")
    answer = await tried(attacked, attempt, refusal_of(row))
    if not is_of_server(answer):
        assert answer == Answer(101, code=attacked.kind.close(row.close)[0])


@pytest.mark.parametrize("kind", [row.kind for row in FIRST], ids=lambda kind: str(kind.name))
async def test_the_nearest_good_handshake_is_admitted(
    kind: HandshakeClass, attacked: Attacked
) -> None:
    assert await tried(attacked, kind.good()) == Answer(101, text=ENTERED, code=1000)
