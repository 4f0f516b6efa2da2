"""Mixes the tests of the matrix, and switches off what it judges where MATRIX_SHARES is 0."""

import os
import random
from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

SEED = int(os.environ.get("MATRIX_SEED") or random.randrange(1_000_000))
SHARES = os.environ.get("MATRIX_SHARES") != "0"


def pytest_report_header() -> str:
    """Say how to have this order again."""
    return f"MATRIX_SEED={SEED}"


# The last, because pytest-django has an order of its own: all that roll back, then all that flush.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix them."""
    random.Random(SEED).shuffle(items)


@pytest.fixture(scope="session", autouse=True)
def _run(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Each test finds the table as the one before left it; who looks after the last one?"""
    from .models import Note  # here, because Django is not set up above

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bolt_ws.testing.database.SHARES", SHARES)
        yield
    with django_db_blocker.unblock():
        assert not SHARES or not Note.objects.exists()


@pytest.fixture(autouse=True)
def _clean(django_db_blocker: DjangoDbBlocker) -> None:
    """Have each test fail by itself where what is judged is off, not by what another one left."""
    from .models import Note

    if not SHARES:
        with django_db_blocker.unblock():
            Note.objects.all().delete()
