"""Whose rows are seen by whom, and what is left of them: the matrix, on each database."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).parent / "matrix"
DONE_WITHIN = 60.0  # seconds

CASES = ["DjangoTestCase", "DjangoTransactionTestCase", "TestPytestDb", "TestPytestTransactionalDb"]
KINDS = ["async_handler", "sync_handler", "guard", "dependency"]
CELLS = {
    f"{case}.test_{kind}_{client}_{turn}"
    for case, kind, client, turn in itertools.product(CASES, KINDS, ["sync", "async"], [1, 2])
}
BY_ASGIREF = {
    f"{case}.test_{kind}_async_{turn}"
    for case, kind, turn in itertools.product(
        ["DjangoTestCase", "DjangoTransactionTestCase"],
        ["async_handler", "guard", "dependency"],
        [1, 2],
    )
}
"""Django runs these coroutines with `async_to_sync`, and all synchronous code that they cause then
runs in the test's thread anyway. Other databases lose their connection to `close_old_connections`,
but one in memory cannot be closed. The same cells fail with the other client."""
OTHERS = {
    "cells.test_transactions_at_once[db]",
    "cells.test_transactions_at_once[transactional_db]",
}


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Django's settings of each database in turn."""
    if request.param == "postgresql":
        return {**request.getfixturevalue("postgresql"), "CONN_MAX_AGE": 0}
    name = ":memory:" if request.param == "sqlite-memory" else str(tmp_path / "test.sqlite3")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "TEST": {"NAME": name},
        # Seconds that SQLite waits for a lock. One connection for all never has to.
        "OPTIONS": {"timeout": 0.1},
        "CONN_MAX_AGE": 0,
    }


def run(
    database: Mapping[str, Any], folder: Path, *options: str, **environment: str
) -> tuple[dict[str, bool], int, str]:
    """Run the matrix: which of its tests passed, pytest's exit code, and all that it printed."""
    report = folder / "report.xml"
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "DJANGO_"))  # they are about this very run
    }
    command = [sys.executable, "-m", "pytest", "-c", PROJECT / "pytest.ini", PROJECT / "cells.py"]
    try:
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", "--junitxml", report, *options],
            cwd=ROOT,
            env={**inherited, "MATRIX_DATABASE": json.dumps(database), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DONE_WITHIN,
        )
    except subprocess.TimeoutExpired as hung:
        pytest.fail(f"The matrix hangs:\n{(hung.stdout or b'').decode()}")
    output = done.stdout.decode()
    assert report.exists(), output
    passed: dict[str, bool] = {}
    for test in ElementTree.parse(report).iter("testcase"):
        name = f"{test.attrib['classname'].rpartition('.')[2]}.{test.attrib['name']}"
        is_good = not any(test.find(bad) is not None for bad in ("failure", "error", "skipped"))
        # What fails in its test and in its teardown is there twice.
        passed[name] = passed.get(name, True) and is_good
    return passed, done.returncode, output


def test_every_cell_passes(database: dict[str, Any], tmp_path: Path) -> None:
    passed, code, output = run(database, tmp_path)
    assert passed == dict.fromkeys(CELLS | OTHERS, True), output
    assert code == 0, output


def test_every_cell_fails_without_the_mechanism(database: dict[str, Any], tmp_path: Path) -> None:
    # Warnings do not count here: of connections for instance that nobody closes.
    options = ["--tb=line", "-W", "ignore"]
    passed, _, output = run(database, tmp_path, *options, MATRIX_SHARES="0")
    spared = BY_ASGIREF if database["NAME"] == ":memory:" else set()
    assert set(passed) == CELLS | OTHERS, output
    assert {name for name in passed if passed[name]} <= spared, output
