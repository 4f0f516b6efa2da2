"""Run Autobahn's test suite against an echo. README.md says more.

python tests/conformance/run.py [--server daphne|stock-daphne|uvicorn] [--cases '1.*' ...]
    [--deflate] [--python2 PATH] [-- options of the server]
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.conformance.suite import WORK, Result, SuiteError, fuzz, install  # noqa: E402
from tests.live.server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind, Server  # noqa: E402

LARGEST = str(32 * 1024 * 1024)  # bytes; the suite's largest message has 16 MiB
DAPHNE_OPTIONS = (
    "--websocket-max-message-size",
    LARGEST,
    "--websocket-max-frame-size",
    LARGEST,
)
SERVERS = {
    DAPHNE.name: (DAPHNE, DAPHNE_OPTIONS),
    STOCK_DAPHNE.name: (STOCK_DAPHNE, DAPHNE_OPTIONS),
    # bolt_ws.daphne has nothing to do there.
    UVICORN.name: (
        replace(UVICORN, environment=STOCK_DAPHNE.environment),
        ("--ws-max-size", LARGEST),
    ),
}
PACKAGES = ["daphne", "twisted", "autobahn", "uvicorn", "websockets", "wsproto", "uvloop"]


def versions() -> str:
    """Return what the result depends on, as far as it is installed."""
    found = {each.name.lower(): each.version for each in distributions()}
    return ", ".join(f"{name} {found[name]}" for name in PACKAGES if name in found)


@contextmanager
def serving(kind: Kind, *, with_compression: bool) -> Iterator[Server]:
    """Serve the echo."""
    environment = {}
    if with_compression and kind.name == DAPHNE.name:
        environment["TEST_DAPHNE_DEFLATE"] = "1"
    WORK.mkdir(exist_ok=True)
    log_file = WORK / f"{kind.name}.log"
    server = Server(kind, "tests.conformance.echo:application", log_file, environment)
    try:
        yield server
    finally:
        server.kill()


def report(results: list[Result]) -> None:
    """Print how many cases ended how, and those that did not end well."""
    for name, ends in (
        ("behavior", Counter(result.behavior for result in results)),
        ("behaviorClose", Counter(result.behavior_close for result in results)),
    ):
        counts = ", ".join(f"{count} {end}" for end, count in ends.most_common())
        print(f"{name + ':':<14} {counts}, of {len(results)}")
    for result in results:
        if not result.is_good:
            code = result.close_code or "without a code"
            print(f"{result.case}: {result.behavior}, close {result.behavior_close} ({code})")
            for line in result.explanation():
                print(f"    {line}")


def main() -> int:
    """Run the cases, and return 1 if the server failed in one of them or logged an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", choices=SERVERS, default=DAPHNE.name)
    parser.add_argument(
        "--cases", nargs="+", default=["*"], metavar="CASE", help="as in '1.*' or 7.1.5"
    )
    parser.add_argument(
        "--deflate", action="store_true", help="with the compression cases, 12.* and 13.*"
    )
    parser.add_argument("--python2", metavar="PATH", help="a Python 2.7 for the first run")
    parser.add_argument("options", nargs="*", help="options of the server, after --")
    arguments = parser.parse_args()
    # Ended so, this still ends the server and the client that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    kind, options = SERVERS[arguments.server]
    kind = replace(kind, command=(*kind.command, *options, *arguments.options))
    try:
        python = install(arguments.python2)
        print(versions())
        with serving(kind, with_compression=arguments.deflate) as server:
            results = fuzz(
                python,
                f"ws://{server.address}",
                kind.name,
                arguments.cases,
                with_compression=arguments.deflate,
            )
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 2
    report(results)
    print(f"Each case in detail: {WORK / 'reports' / kind.name / 'index.html'}")
    errors = server.log.count("Traceback (most recent call last)")
    if errors:
        print(f"Errors in the server's log: {errors}, see {server.log_file}")
    return int(bool(errors) or not all(result.is_good for result in results))


if __name__ == "__main__":
    sys.exit(main())
