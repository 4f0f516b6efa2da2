"""Every hostile handshake is refused, and the nearest good one is admitted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from bolt_ws import BoltAPI
from tests.hostile.api import make_api, withdraw_credentials
from tests.hostile.classes import BY_NAME, CLASSES, ROWS
from tests.hostile.judging import Way, judge, judge_good, try_good, try_row
from tests.hostile.table import HandshakeClass, Row

# Synchronous steps run where Django's connections are cared for, which pytest-django takes for use.
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def under_attack() -> BoltAPI:
    """The API, compiled once."""
    return make_api()


@pytest.fixture(autouse=True)
def withdrawn() -> Iterator[None]:
    """Credentials are revoked, and no ticket is left."""
    withdraw_credentials()
    yield
    cache.clear()


def test_the_table_is_long_enough() -> None:
    assert len(CLASSES) >= 30
    assert len(ROWS) >= 150
    assert len(BY_NAME) == len(ROWS)
    assert len({kind.name for kind in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_hostile_handshake_is_refused(row: Row, under_attack: BoltAPI) -> None:
    for way in Way:
        judge(row, way, await try_row(row, way, under_attack))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.name)
async def test_the_nearest_good_handshake_is_admitted(
    kind: HandshakeClass, under_attack: BoltAPI
) -> None:
    for way in Way:
        judge_good(await try_good(kind, way, under_attack))
