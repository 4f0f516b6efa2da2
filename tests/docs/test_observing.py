"""What the pages on signals, figures and logs show does what they say."""

from __future__ import annotations

import json
import logging
import logging.config
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import RequestFactory

from bolt_ws.metrics import EndpointFigures, Snapshot
from bolt_ws.testing import TestClient
from tests.docs.pages import ROOT, run

METRICS, LOGGING = ROOT / "docs" / "metrics.md", ROOT / "docs" / "logging.md"


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.mark.django_db
def test_the_signals() -> None:
    module = run(METRICS)
    ann = User.objects.create_user("ann")
    with TestClient(module.api, user=ann) as client, client.websocket_connect("/ws/chat") as ws:
        ws.send_text("hello")
        assert ws.receive_text() == "hello"
    with TestClient(module.api) as client:
        client.assert_refused("/ws/chat", 401)
    ann.refresh_from_db()
    assert ann.last_login is not None
    assert cache.get(f"last:{ann.pk}") == [1000, 5]
    assert cache.get("refused") == [401, "not_authenticated"]


def test_the_figures() -> None:
    module = run(METRICS)
    with TestClient(module.api) as client:
        client.assert_refused("/ws/chat", 401)
    found = json.loads(module.figures(RequestFactory().get("/")).content)
    assert found["endpoints"]["chat"]["refusals"]["not_authenticated"] >= 1
    explained = set(re.findall(r"`(\w+)`", METRICS.read_text()))
    assert EndpointFigures.__annotations__.keys() <= explained
    assert Snapshot.__annotations__.keys() - {"endpoints"} <= explained


def test_the_metrics_for_prometheus() -> None:
    module = run(METRICS)
    with TestClient(module.api) as client:
        client.assert_refused("/ws/chat", 401)
    response = module.metrics(RequestFactory().get("/metrics"))
    assert response.headers["Content-Type"].startswith("text/plain")
    exposed = set(re.findall(r"(?m)^# TYPE (bolt_ws_\w+) ", response.content.decode()))
    assert exposed == set(re.findall(r"`(bolt_ws_\w+)`", METRICS.read_text()))


def test_the_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = run(LOGGING)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logging.config.dictConfig(module.LOGGING)
    try:
        with TestClient(module.api) as client, client.websocket_connect("/ws/orders") as ws:
            ws.send_text("tea")
            ws.receive_text()
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    written = capsys.readouterr().err.splitlines()
    ordered, closed = (line for line in written if "orders" in line)
    fields = re.escape(ordered.removesuffix("ordered tea"))
    assert re.fullmatch(r"INFO [-0-9a-f]{36} orders None \S+ ", ordered.removesuffix("ordered tea"))
    shown = re.search(r"```text\n(INFO .*)\n```", LOGGING.read_text())
    assert shown is not None
    pattern = re.sub(r"\d+", r"\\d+", re.escape(shown[1].partition("Closed '/ws/chat' (chat)")[2]))
    assert re.fullmatch(rf"{fields}Closed '/ws/orders' \(orders\){pattern}", closed)
    attributes: Any = re.findall(r"^\| `(\w+)` \|", LOGGING.read_text(), re.M)
    assert attributes == ["connection_id", "endpoint", "user_id", "client"]
