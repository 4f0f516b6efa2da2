"""Each check switched off turns a row of the table red."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from tests.hostile.api import make_api, withdraw_credentials
from tests.hostile.checks import CHECKS
from tests.hostile.classes import BY_NAME
from tests.hostile.judging import Way, judge, try_row
from tests.hostile.switching import Check

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def withdrawn() -> Iterator[None]:
    """Credentials are revoked, and no ticket is left."""
    withdraw_credentials()
    yield
    cache.clear()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.name))
async def test_a_check_switched_off_turns_a_row_red(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [BY_NAME[name] for name in check.rows]
    for row in rows:  # green before
        judge(row, Way.DENY, await try_row(row, Way.DENY, make_api()))
    with monkeypatch.context() as patches:
        check.off(patches)
        for row in rows:
            withdraw_credentials()
            outcome = await try_row(row, Way.DENY, make_api())
            with pytest.raises(AssertionError):
                judge(row, Way.DENY, outcome)
            assert outcome.is_admitted == check.lets_in, outcome


def test_each_check_is_named_once() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
