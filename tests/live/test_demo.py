"""The demo as a person meets it: two browsers, one Daphne."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo_project.settings import BASE_DIR, DEMO_PASSWORD
from tests.requirements import missing

from .rooms.redis_server import RedisServer
from .server import DAPHNE, Server

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a server of the demo is told. Its database is there, with the two users."""
    for name in os.environ:
        if name.startswith("DEMO_") or name == "REDIS_URL":
            monkeypatch.delenv(name)
    environment = {
        "DJANGO_SETTINGS_MODULE": "demo_project.settings",
        "DEMO_DATABASE": str(tmp_path / "demo.sqlite3"),
    }
    for command in (["migrate", "--verbosity=0"], ["make_demo_users"]):
        subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=BASE_DIR,
            env={**os.environ, **environment},
            check=True,
            timeout=60,
        )
    return environment


@contextmanager
def serving(log_file: Path, environment: dict[str, str]) -> Iterator[Server]:
    server = Server(DAPHNE, "demo_project.asgi:application", log_file, environment)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def daphne(tmp_path: Path, environment: dict[str, str]) -> Iterator[Server]:
    with serving(tmp_path / "daphne.log", environment) as server:
        yield server


@pytest.fixture
def two_daphnes(tmp_path: Path, environment: dict[str, str]) -> Iterator[tuple[Server, Server]]:
    """Two processes that share a Redis."""
    # Not in tmp_path: the path of a Unix socket has 107 characters at most.
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        environment["REDIS_URL"] = redis.url
        try:
            with (
                serving(tmp_path / "one.log", environment) as one,
                serving(tmp_path / "two.log", environment) as two,
            ):
                yield one, two
        finally:
            redis.stop()


@pytest.fixture
def chromium() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for found in map(shutil.which, names) if found), None)
    if path is None:
        missing("chromium", f"needs a browser: none of {', '.join(names)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@contextmanager
def logged_in(browser: Browser, url: str, username: str, problems: list[str]) -> Iterator[Page]:
    """The lobby in a browser of one's own. What goes wrong in the page is added to `problems`."""
    context = browser.new_context()
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{url}/rooms/lobby/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(DEMO_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#state")).to_have_text("Connected")
    yield page
    context.close()


END_OF = """
frames => new Promise(ended => {
  socket.addEventListener("close", event => ended([event.code, event.reason]));
  frames.forEach(frame => socket.send(frame));
})
"""
"""Send frames, and give the close that follows."""


TOO_MUCH: tuple[tuple[list[str], int, str], ...] = (
    (["x" * 20_000], 1009, "message too big"),
    (["too fast"] * 50, 4429, "rate limit exceeded"),
)


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def send_note(page: Page, text: str, to: str) -> None:
    page.get_by_label("Note", exact=True).fill(text)
    page.get_by_label("To", exact=True).select_option(label=to)
    page.get_by_role("button", name="Send note").click()


def test_two_people_chat(chromium: Browser, daphne: Server) -> None:
    problems: list[str] = []
    tokens: list[str] = []
    url = f"http://{daphne.address}"

    def note_token(url: str) -> None:
        if "token" in url:
            tokens.append(url.partition("?token=")[2])

    with (
        logged_in(chromium, url, "alice", problems) as alice,
        logged_in(chromium, url, "bob", problems) as bob,
    ):
        expect(alice.locator(".news")).to_have_text(["alice joined", "bob joined"])
        for page in (alice, bob):
            expect(page.locator("#count")).to_have_text("2 connections")

        say(alice, "Hello Bob!")
        expect(bob.locator(".message:not(.own) .text")).to_have_text("Hello Bob!")
        expect(bob.locator(".message .head .name")).to_have_text("alice")
        expect(alice.locator(".message.own .text")).to_have_text("Hello Bob!")

        # Markup is text, on both sides.
        markup = '<img src="x" onerror="window.ran = true"><script>window.ran = true</script>'
        say(bob, markup)
        for page in (alice, bob):
            expect(page.locator(".message .text").last).to_have_text(markup)
            expect(page.locator(".message img, .message script")).to_have_count(0)
            assert page.evaluate("window.ran") is None

        # What is no message is answered, and the conversation goes on.
        too_long = '{"text": "' + "a" * 501 + '"}'
        for frame in ("{", "[]", '{"text": 1}', '{"text": "  "}', "[" * 5000, too_long):
            alice.evaluate("document.getElementById('problem').textContent = ''")
            alice.evaluate("frame => socket.send(frame)", frame)
            expect(alice.locator("#problem")).not_to_be_empty()
        say(alice, "Still here")
        expect(bob.locator(".message .text").last).to_have_text("Still here")

        # The process says what it does, in a stream.
        for page in (alice, bob):
            expect(page.locator("#status")).to_have_text("2 in all rooms, 9 messages")
        answer = alice.request.get(f"{url}/health/")
        assert (answer.status, answer.json()) == (200, {"stopping": False, "open": 4})

        # Who says too much at once, or too fast, is closed, and comes back.
        joined = bob.locator(".news").filter(has_text="alice joined")
        for times, (frames, code, reason) in enumerate(TOO_MUCH, 1):
            assert alice.evaluate(END_OF, frames) == [code, reason]
            expect(joined).to_have_count(times)
            expect(alice.locator("#state")).to_have_text("Connected")

        # Who is not there is not brought back until somebody is.
        alice.evaluate("old = socket, old.onclose({code: 4408}), old.onclose = null, old.close()")
        expect(alice.locator("#state")).to_have_text("Closed (4408)")
        alice.get_by_label("Message", exact=True).click()
        expect(alice.locator("#state")).to_have_text("Connected")

        # A connection that was lost comes back with a token of its own.
        bob.on("websocket", lambda socket: note_token(socket.url))
        bob.evaluate("socket.close()")
        expect(alice.locator(".news").last).to_have_text("bob joined")
        expect(bob.locator("#state")).to_have_text("Connected")
        say(alice, "Welcome back")
        expect(bob.locator(".message .text").last).to_have_text("Welcome back")

        # Another room is another conversation, and a left one says so.
        bob.get_by_label("Another room").fill("secret-garden")
        bob.get_by_role("button", name="Go").click()
        expect(bob.locator("#state")).to_have_text("Connected")
        expect(alice.locator(".news").last).to_have_text("bob left")
        expect(alice.locator("#count")).to_have_text("1 connection")
        say(bob, "Nobody hears this")
        expect(bob.locator(".message .text")).to_have_text("Nobody hears this")
        expect(alice.get_by_text("Nobody hears this")).to_have_count(0)

        # A view sends to a room, and to one user wherever he is.
        send_note(alice, "Where is he?", "everyone here")
        expect(alice.locator(".news").last).to_have_text("alice: Where is he?")
        send_note(alice, "Come back!", "bob")
        expect(bob.locator(".news").last).to_have_text("alice, to you alone: Come back!")
        expect(bob.get_by_text("Where is he?")).to_have_count(0)
        expect(alice.get_by_text("Come back!")).to_have_count(0)
        csrf = {
            "csrfmiddlewaretoken": alice.locator("[name=csrfmiddlewaretoken]").first.input_value()
        }
        for path, form, status in (
            ("lobby", {"text": "From elsewhere"}, 403),
            ("lobby", {"text": "a" * 501, **csrf}, 400),
            ("lobby", {"text": "To whom?", "to": "0", **csrf}, 400),
            ("l" * 33, {"text": "Where?", **csrf}, 400),
        ):
            answer = alice.request.post(f"{url}/rooms/{path}/note/", form=form)
            assert answer.status == status, (path, form)

        bob.get_by_role("button", name="Log out").click()
        expect(bob.get_by_role("button", name="Log in")).to_be_visible()

    daphne.stop()
    assert problems == []
    assert len(tokens) == 2
    assert daphne.log.count('"POST /token/" 200') == 7  # one for each connection
    assert all(token.startswith("eyJ") for token in tokens)


def test_two_processes_are_one_chat(chromium: Browser, two_daphnes: tuple[Server, Server]) -> None:
    problems: list[str] = []
    one, two = two_daphnes
    with (
        logged_in(chromium, f"http://{one.address}", "alice", problems) as alice,
        logged_in(chromium, f"http://{two.address}", "bob", problems) as bob,
    ):
        for page in (alice, bob):
            expect(page.locator("#count")).to_have_text("2 connections")
        say(alice, "Hello over there!")
        expect(bob.locator(".message .text")).to_have_text("Hello over there!")
        say(bob, "Hello yourself!")
        expect(alice.locator(".message .text")).to_have_text(
            ["Hello over there!", "Hello yourself!"]
        )
        send_note(bob, "To all", "everyone here")
        expect(alice.locator(".news").last).to_have_text("bob: To all")
        send_note(bob, "A secret", "alice")
        expect(alice.locator(".news").last).to_have_text("bob, to you alone: A secret")
        expect(bob.get_by_text("A secret")).to_have_count(0)
        bob.close()
        expect(alice.locator(".news").last).to_have_text("bob left")
        expect(alice.locator("#count")).to_have_text("1 connection")
    one.stop()
    two.stop()
    assert problems == []
