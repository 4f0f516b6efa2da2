"""Real servers as subprocesses, each on a port that the system chose."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

ROOT = Path(__file__).resolve().parents[2]
STARTED_WITHIN = 30.0  # seconds
STOPPED_WITHIN = 10.0
LOGGED_WITHIN = 10.0
DONE_WITHIN = 10.0  # one connection of a test


@dataclass(frozen=True)
class Kind:
    """A server and what it does its own way."""

    name: str
    command: tuple[str, ...]
    listening: str
    """The line that says the port."""
    can_deny: bool
    """It answers a refused handshake with our response, where others say 403."""
    has_standard_codes: bool
    """It sends the close codes 1001 to 1015 and reasons."""
    code_of_vanished: int
    """What it reports for a client that is gone without a close frame."""
    exit_codes: tuple[int, ...] = (0,)
    """What its process ends with after SIGTERM."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What tells the served project which server it has."""

    def __str__(self) -> str:
        return self.name

    def status(self, status: int) -> int:
        """Return what a client sees of a handshake that is refused with `status`."""
        return status if self.can_deny else 403

    def close(self, code: int, reason: str = "") -> tuple[int, str]:
        """Return what a client sees of a close with `code` and `reason`."""
        if self.has_standard_codes:
            return code, reason
        return (code + 3000 if 1001 <= code <= 1015 else code), ""


DAPHNE = Kind(
    "daphne",
    ("daphne", "-b", "127.0.0.1", "-p", "0"),
    r"Listening on TCP address 127\.0\.0\.1:(\d+)",
    can_deny=True,
    has_standard_codes=True,
    code_of_vanished=1006,
)
STOCK_DAPHNE = replace(
    DAPHNE,
    name="stock-daphne",
    environment={"TEST_DAPHNE": "stock"},
    can_deny=False,
    has_standard_codes=False,
    # Stopped within a second of an upgrade, it forgets to cancel what it runs (a KeyError that it
    # does not log), and Python may then crash over what is left while it ends.
    exit_codes=(0, -signal.SIGSEGV),
)
UVICORN = Kind(
    "uvicorn",
    ("uvicorn", "--host", "127.0.0.1", "--port", "0", "--no-use-colors"),
    r"Uvicorn running on http://127\.0\.0\.1:(\d+)",
    can_deny=True,
    has_standard_codes=True,
    code_of_vanished=1005,
    exit_codes=(0, -signal.SIGTERM),
)


class Server:
    """A server process, listening. `expected` are the errors that its log may show."""

    def __init__(
        self,
        kind: Kind,
        application: str,
        log_file: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.kind = kind
        self.log = ""
        self.expected: list[str] = []
        self.log_file = log_file
        self._grown = threading.Condition()
        self._ended = False
        self._was_asked = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", *kind.command, application],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **kind.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.address = f"127.0.0.1:{self.wait_for(kind.listening, STARTED_WITHIN)[1]}"
        except AssertionError:
            self.kill()
            raise

    def _read(self) -> None:
        assert self.process.stdout
        with self.log_file.open("w") as file:
            for line in self.process.stdout:
                file.write(line)
                file.flush()
                with self._grown:
                    self.log += line
                    self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def wait_for(
        self, pattern: str, seconds: float = LOGGED_WITHIN, count: int = 1, start: int = 0
    ) -> re.Match[str]:
        """Wait until `pattern` is in the log `count` times, and return the last of them.

        What stands before `start` does not count.
        """
        compiled = re.compile(pattern, re.MULTILINE)

        def found() -> list[re.Match[str]]:
            return list(compiled.finditer(self.log, start))

        with self._grown:
            self._grown.wait_for(lambda: self._ended or len(found()) >= count, seconds)
            matches = found()
        assert len(matches) >= count, f"{self.kind} has not logged {pattern!r}:\n{self.log}"
        return matches[-1]

    async def logged(self, text: str, count: int = 1) -> None:
        """Wait until `text` is in the log `count` times."""
        await asyncio.to_thread(self.wait_for, re.escape(text), LOGGED_WITHIN, count)

    async def failed(self, error: str) -> None:
        """Expect one more traceback in the log, that of `error`, and wait for it."""
        self.expected.append(error)
        line = f"^{re.escape(error)}$"
        count = self.expected.count(error)
        await asyncio.to_thread(self.wait_for, line, LOGGED_WITHIN, count)

    def check_log(self) -> None:
        """See that nothing but the expected went wrong, and that no token was logged."""
        for error in set(self.expected):  # a client may see the close before the reason is logged
            self.wait_for(f"^{re.escape(error)}$", count=self.expected.count(error))
        log = self.log
        tracebacks = re.findall(r"(?m)^Traceback .*\n(?:\s.*\n)*(\S.*)$", log)
        assert sorted(tracebacks) == sorted(self.expected), log
        for trouble in ("never awaited", "was destroyed", "never retrieved", "took too long"):
            assert trouble not in log, log
        assert "eyJ" not in log, "a JSON Web Token is in the log"  # how each of them starts
        assert "token=" not in log.replace("token=[redacted]", "")

    def forget_log(self) -> None:
        """Start the log anew, for what is to come."""
        with self._grown:
            self.log = ""
            self.expected = []

    def signal_stop(self) -> None:
        """Ask the server to stop."""
        self._was_asked = True
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop the server, see that it does so in time and that its whole log is as expected."""
        if not self._was_asked:
            self.signal_stop()
        try:
            code = self.process.wait(STOPPED_WITHIN)
        finally:
            self.kill()
        assert code in self.kind.exit_codes, self.log
        self.check_log()

    def kill(self) -> None:
        """End the process, if it has not ended, and have its whole log."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout
        self.process.stdout.close()


@asynccontextmanager
async def connected(server: Server, path: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A connection of the `websockets` client, bounded in time."""
    # No proxy: the environment may name one, and it knows nothing of this machine's loopback.
    defaults = {"proxy": None, "compression": None, "ping_interval": None}
    async with (
        asyncio.timeout(DONE_WITHIN),
        connect(f"ws://{server.address}{path}", **{**defaults, **options}) as client,
    ):
        yield client


async def refused(server: Server, path: str, **options: Any) -> tuple[int, bytes]:
    """Connect, see that it is refused, and return the status and the body of the answer."""
    try:
        async with connected(server, path, **options):
            pass
    except InvalidStatus as error:
        return error.response.status_code, error.response.body or b""
    raise AssertionError(f"{path} was accepted")


async def close_of(client: ClientConnection) -> tuple[int | None, str | None]:
    """Wait for the server's close, and return its code and reason."""
    await client.wait_closed()
    return client.close_code, client.close_reason


async def check_echo(server: Server, path: str = "/echo/text") -> None:
    """See that the server serves."""
    async with connected(server, path) as client:
        await client.send("still there?")
        assert await client.recv() == "still there?"
