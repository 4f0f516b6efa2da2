"""Autobahn's test suite: the Python 2.7 that it needs, its fuzzing client, and its reports."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORK = HERE / ".work"
REQUIREMENTS = HERE / "requirements.txt"
# The last that makes environments of Python 2.7. It brings the pip that still runs there.
VIRTUALENV = "virtualenv==20.21.1"
COMPRESSION = ["12.*", "13.*"]
SILENT_FOR = 900.0  # seconds; the suite itself ends its longest case after 480
BUILT_WITHIN = 900.0


class SuiteError(Exception):
    """The suite could not be installed, or did not run to its end."""


@dataclass(frozen=True)
class Result:
    """How a server behaved in one case."""

    case: str
    behavior: str
    behavior_close: str
    close_code: int | None
    report: Path

    @property
    def is_good(self) -> bool:
        """Whether nothing is to be said against the server."""
        return {self.behavior, self.behavior_close} <= {"OK", "INFORMATIONAL"}

    def explanation(self) -> list[str]:
        """Return what was expected and what came, a line each."""
        details: dict[str, Any] = json.loads(self.report.read_text())
        lines = []
        if self.behavior != "OK" and details["expected"].get("OK") is not None:
            lines += [
                f"expected {details['expected']['OK']!s:.200}",
                f"received {details['received']!s:.200}",
            ]
        elif self.behavior not in ("OK", "UNIMPLEMENTED"):
            lines.append(details["result"])
        if self.behavior_close != "OK":
            lines.append(details["resultClose"])
        return lines


def find_python2(given: str | None) -> str:
    """Return a Python 2.7: the `given` one, else the first on PATH that runs."""
    candidates = [given] if given else ["python2.7", "python2"]
    for candidate in candidates:
        path = shutil.which(candidate)
        # Version managers leave commands on PATH that run only where a version is chosen.
        question = "import sys; print(sys.version_info[:2] == (2, 7))"
        if path and _output([path, "-c", question]) == "True":
            return path
    raise SuiteError(
        f"{' and '.join(candidates)} cannot be run or are not Python 2.7, which Autobahn's test "
        "suite needs: name one with --python2"
    )


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def install(python2: str | None) -> Path:
    """Return the Python of an environment that holds the suite.

    It is made of `python2` if there is none.
    """
    environment = WORK / "python2"
    python = environment / "bin" / "python"
    stamp = environment / "installed.txt"
    required = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == required:
        return python
    found = find_python2(python2)
    print(f"Installing Autobahn's test suite for {found} in {environment}", flush=True)
    builder = WORK / "virtualenv"
    shutil.rmtree(environment, ignore_errors=True)
    _run([sys.executable, "-m", "venv", "--clear", str(builder)])
    _run([str(builder / "bin" / "python"), "-m", "pip", "install", "--quiet", VIRTUALENV])
    cache = str(WORK / "virtualenv-cache")
    make = [str(builder / "bin" / "virtualenv"), "--quiet", "--app-data", cache]
    _run([*make, "--python", found, str(environment)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)])
    stamp.write_text(required)
    return python


def _environment() -> dict[str, str]:
    # What else is installed is nothing to the Pythons made here.
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**inherited, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONWARNINGS": "ignore"}


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILT_WITHIN,
        check=False,
    )
    if done.returncode:
        raise SuiteError(f"{' '.join(command)} failed:\n{done.stdout}")


def fuzz(
    python: Path, url: str, name: str, cases: list[str], *, with_compression: bool
) -> list[Result]:
    """Run the `cases` against the server at `url`, and return what it did in each."""
    reports = WORK / "reports" / name
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    spec = {
        "outdir": str(reports),
        "servers": [{"agent": name, "url": url}],
        "cases": cases,
        "exclude-cases": [] if with_compression else COMPRESSION,
        "exclude-agent-cases": {},
    }
    spec_file = reports / "spec.json"
    spec_file.write_text(json.dumps(spec, indent=2))
    client = [str(python), "-u", str(python.with_name("wstest")), "-m", "fuzzingclient"]
    count = _watch([*client, "-s", str(spec_file)], reports / "client.log")
    index = reports / "index.json"
    results = _read(index, name) if index.exists() else []
    if not count or len(results) != count:
        raise SuiteError(
            f"{count} cases were to run, and {len(results)} have a result: see {reports}"
            + ("" if with_compression else f" ({', '.join(COMPRESSION)} need --deflate)")
        )
    return results


def _watch(command: list[str], log_file: Path) -> int:
    """Run the client, show where it is, and return how many cases it was to run."""
    process = subprocess.Popen(
        command,
        cwd=WORK,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    count = done = 0
    timer = threading.Timer(SILENT_FOR, process.kill)
    timer.start()
    try:
        with log_file.open("w") as log:
            for line in process.stdout:
                timer.cancel()
                timer = threading.Timer(SILENT_FOR, process.kill)
                timer.start()
                log.write(line)
                log.flush()
                if found := re.match(r"Ok, will run (\d+) test cases", line):
                    count = int(found[1])
                    if not count:  # the client would wait for ever
                        process.kill()
                elif found := re.match(r"Running test case ID (\S+)", line):
                    done += 1
                    if sys.stdout.isatty():
                        print(f"\r{done} of {count}: {found[1]:<12}", end="", flush=True)
        process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        if sys.stdout.isatty():
            print()
    return count


def _read(index: Path, name: str) -> list[Result]:
    results = [
        Result(
            case,
            entry["behavior"],
            entry["behaviorClose"],
            entry["remoteCloseCode"],
            index.with_name(entry["reportfile"]),
        )
        for case, entry in json.loads(index.read_text())[name].items()
    ]
    return sorted(results, key=lambda result: [int(part) for part in result.case.split(".")])
