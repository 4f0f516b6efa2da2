"""The demo as a person meets it: two browsers, one Daphne."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo_project.settings import BASE_DIR, DEMO_PASSWORD
from tests.requirements import missing

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
def daphne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in [name for name in os.environ if name.startswith("DEMO_")]:
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
    log_file = tmp_path / "daphne.log"
    server = Server(DAPHNE, "demo_project.asgi:application", log_file, environment)
    try:
        yield server
    finally:
        server.kill()


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


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send").click()


def test_two_people_chat(chromium: Browser, daphne: Server) -> None:
    problems: list[str] = []
    tokens: list[str] = []
    url = f"http://{daphne.address}"
    with (
        logged_in(chromium, url, "alice", problems) as alice,
        logged_in(chromium, url, "bob", problems) as bob,
    ):
        expect(alice.locator(".news")).to_have_text(["alice joined", "bob joined"])
        expect(alice.locator("#members .name")).to_have_text(["alice", "bob"])
        expect(bob.locator("#members .name")).to_have_text(["alice", "bob"])

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

        # A connection that was lost comes back with a token of its own.
        bob.on("websocket", lambda socket: tokens.append(socket.url.partition("?token=")[2]))
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
        say(bob, "Nobody hears this")
        expect(bob.locator(".message .text")).to_have_text("Nobody hears this")
        expect(alice.get_by_text("Nobody hears this")).to_have_count(0)

        bob.get_by_role("button", name="Log out").click()
        expect(bob.get_by_role("button", name="Log in")).to_be_visible()

    daphne.stop()
    assert problems == []
    assert len(tokens) == 2
    assert daphne.log.count('"POST /token/" 200') == 4  # one for each connection
    assert all(token.startswith("eyJ") for token in tokens)
