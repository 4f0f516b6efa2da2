"""What the page on upkeep shows does what it says, and each option is explained."""

from __future__ import annotations

import ast
import re
from types import ModuleType

import pytest

from bolt_ws.bounds import Bounds
from bolt_ws.options import EndpointOptions
from bolt_ws.testing import TestClient
from bolt_ws.upkeep import IDLE, SLOW, TOO_OLD, UNREAD
from tests.docs.pages import ROOT, run

PAGE = ROOT / "docs" / "upkeep.md"


@pytest.fixture
def page() -> ModuleType:
    return run(PAGE)


def test_handlers_that_do_not_receive(page: ModuleType) -> None:
    with TestClient(page.api) as client:
        with client.websocket_connect("/ws/clock") as clock:
            assert clock.receive_text() < clock.receive_text(timeout=5)
        with client.websocket_connect("/ws/orders") as ws:
            ws.send_json("tea")
            assert ws.receive_json() == {"charged": "tea"}
        for path in ("/ws/news/tea", "/ws/alerts"):
            with client.websocket_connect(path):
                pass


def test_sizes_and_rates(page: ModuleType) -> None:
    with TestClient(page.api) as client:
        with client.websocket_connect("/ws/draw/7") as ws:
            ws.send_json([1, 2])
            assert ws.receive_json() == [1, 2]
            ws.send_text(" " * 4097)
            ws.assert_closed(1009, "message too big")
        with client.websocket_connect("/ws/draw/7") as ws:
            for _ in range(70):
                ws.send_json(1)
            assert len(list(ws.iter_json())) >= 60  # the burst
            assert (ws.close_code, ws.close_reason) == (4429, "rate limit exceeded")
        with client.websocket_connect("/ws/draw/7") as ws:
            ws.send_text("[" * 2000)
            ws.assert_closed(1007)


def test_times(page: ModuleType) -> None:
    with TestClient(page.api) as client:
        with client.websocket_connect("/ws/desk") as ws:
            ws.send_text("hi")
            assert ws.receive_text() == "hi"
        for answer, verdict in {"Paris": "Right", "Rome": "Wrong"}.items():
            with client.websocket_connect("/ws/quiz") as ws:
                assert ws.receive_text() == "The capital of France?"
                ws.send_text(answer)
                assert ws.receive_text() == verdict


def test_background_work(page: ModuleType) -> None:
    with TestClient(page.api) as client, client.websocket_connect("/ws/dashboard") as ws:
        assert ws.receive_json()["tasks"] > 1
        ws.send_json(0.1)
        for _ in range(2):
            assert ws.receive_json(timeout=5)["tasks"] > 1


def test_streams(page: ModuleType) -> None:
    with TestClient(page.api) as client:
        with client.websocket_connect("/ws/countdown/2?pause=0") as ws:
            assert [ws.receive_json(), ws.receive_json()] == [{"left": 2}, {"left": 1}]
            ws.assert_closed(1000)
        with client.websocket_connect("/ws/count") as ws:
            ws.send_json(1)
            assert ws.receive_json() == {"left": 1}
            assert ws.receive_text() == "Next?"


def test_the_streams_of_other_pages() -> None:
    for page, path, messages, code in (
        (
            "endpoints",
            "/ws/squares/2",
            ['{"number":0,"square":0}', '{"number":1,"square":1}'],
            1000,
        ),
        ("blocking", "/ws/lines?count=2", ["line 0", "line 1"], 1000),
        ("connection", "/ws/timer", ["1"], None),
    ):
        client = TestClient(run(ROOT / "docs" / f"{page}.md").api)
        with client, client.websocket_connect(path) as ws:
            assert [ws.receive_text() for _ in messages] == messages
            if code is not None:
                ws.assert_closed(code)


def test_every_option_is_explained() -> None:
    """On the page of the endpoints all, on this one the bounds, each with its default."""
    endpoints = (ROOT / "docs" / "endpoints.md").read_text()
    rows = re.findall(r"^\| (`.+?) \| .+? \| .+ \|$", endpoints, re.M)
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert explained == set(EndpointOptions.__annotations__)

    defaults = dict(
        re.findall(r"^\|(?: | `\w+` \| | \| )`(\w+)=` \| `(.+?)` \|", PAGE.read_text(), re.M)
    )
    of_bounds = Bounds()
    assert defaults.keys() | {"burst"} == EndpointOptions.__annotations__.keys() & {
        *Bounds.__dataclass_fields__,
        "rate_limit",
    }
    for name, default in defaults.items():
        if name not in ("rate_limit", "disconnect_grace"):  # the setting's
            assert ast.literal_eval(default) == getattr(of_bounds, name), name


def test_every_code_is_explained() -> None:
    text = PAGE.read_text()
    for code, reason, _ in (IDLE, TOO_OLD, SLOW, UNREAD):
        assert re.search(rf'{code},? (?:and )?"{reason}"', text), reason
    assert '1009 and "message too big"' in text
    assert '4429 and "rate limit exceeded"' in text
