"""Server processes to measure, on a core of their own, and what Linux knows of them."""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

STARTED_WITHIN = 30.0  # seconds
BUSY = 0.9  # of a core, used by the server: it was the bottleneck
CORES = sorted(os.sched_getaffinity(0))
# Runs a module as `python -m` does, as if uvloop were not installed.
WITHOUT_UVLOOP = (
    "import runpy, sys; sys.modules['uvloop'] = None; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True, eq=False)
class Kind:
    """A server: how it is started, and what it says when it listens."""

    name: str
    command: tuple[str, ...]
    listening: str
    environment: Mapping[str, str] = field(default_factory=dict)


def _daphne(name: str, whose: str) -> Kind:
    return Kind(
        name,
        ("daphne", "-b", "127.0.0.1", "-p", "0"),
        r"Listening on TCP address 127\.0\.0\.1:(\d+)",
        {"BENCH_DAPHNE": whose},
    )


def uvicorn(websockets: str) -> Kind:
    """Return uvicorn with one of its WebSocket implementations."""
    return Kind(
        f"uvicorn, {websockets}",
        ("uvicorn", "--host", "127.0.0.1", "--port", "0", "--no-use-colors", "--ws", websockets),
        r"Uvicorn running on http://127\.0\.0\.1:(\d+)",
        {"BENCH_DAPHNE": "stock"},
    )


OURS = _daphne("bolt_ws's Daphne", "complete")
STOCK = _daphne("stock Daphne", "stock")


def without_pings(kind: Kind) -> Kind:
    """Return a Daphne that sends no pings for as long as a benchmark runs."""
    return replace(kind, command=(*kind.command, "--ping-interval", "86400"))


def with_redis(kind: Kind, layer: str, url: str) -> Kind:
    """Return a server with one of `channels_redis`' layers, "core" or "pubsub"."""
    environment = {**kind.environment, "BENCH_LAYER": layer, "BENCH_REDIS": url}
    return replace(kind, name=f"{kind.name}, {layer}", environment=environment)


class Server:
    """A server process, listening at `address`; a context manager that ends it.

    `application` is "module:attribute" of a module beside this one. The process and its threads
    have one core, the last.
    """

    def __init__(
        self,
        kind: Kind,
        application: str,
        environment: Mapping[str, str] | None = None,
        *,
        uvloop: bool = False,
    ) -> None:
        self.kind = kind
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed on exit
        start = ["-m"] if uvloop else ["-c", WITHOUT_UVLOOP]
        self._process = subprocess.Popen(
            [sys.executable, *start, *kind.command, application],
            cwd=Path(__file__).parent,
            env={**os.environ, **kind.environment, **(environment or {})},
            stdout=subprocess.DEVNULL,  # Daphne's access log
            stderr=self._log,
        )
        self.pid = self._process.pid
        os.sched_setaffinity(self.pid, {CORES[-1]})
        try:
            self.address = f"127.0.0.1:{self._port()}"
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _port(self) -> str:
        for _ in range(int(STARTED_WITHIN / 0.05)):
            ended = self._process.poll() is not None
            if found := re.search(self.kind.listening, self.log()):
                return found[1]
            if ended:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.kind.name} did not start:\n{self.log()}")

    def log(self) -> str:
        """Return what the server has said so far."""
        return os.pread(self._log.fileno(), 1_000_000, 0).decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        log = self.log()
        self._process.kill()  # how servers stop is not measured
        self._process.wait()
        self._log.close()
        if "Traceback" in log or "ERROR" in log:
            print(f"{self.kind.name} failed while it was measured:\n{log[-1_000:]}")

    def busy(self) -> float:
        """Return the seconds that the process has computed, to a hundredth of one."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the bytes that the process alone has in memory, its proportional set size."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
        assert found, text
        return int(found[1]) * 1024


class Redis:
    """A Redis that keeps nothing, at `url`; a context manager that ends it.

    It is not on the servers' core.
    """

    def __init__(self, program: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "redis.sock"
        self.url = f"unix://{path}"
        self._process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"],
            cwd=self._folder.name,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(int(STARTED_WITHIN / 0.05)):
            if path.exists():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self._end()
        raise RuntimeError("Redis did not start")

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()


def prepare() -> None:
    """Keep this process off the servers' core, and have the servers end with it.

    It may also open as many files as the system lets it, and so may they.
    """
    os.sched_setaffinity(0, set(CORES[:-1]) or set(CORES))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of all `with` statements


def has_uvloop() -> bool:
    """Tell whether this interpreter, which the servers run on too, has uvloop."""
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(eq=False)
class Candidate:
    """A server with an application of `served`, and its figures of each round."""

    kind: Kind
    application: str
    uvloop: bool = False
    rates: list[float] = field(default_factory=list)
    """Things done a second."""
    costs: list[float] = field(default_factory=list)
    """Microseconds that the server computed for each."""
    loads: list[float] = field(default_factory=list)
    """The part of its core that the server used."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"{self.application} on {self.kind.name}" + (", uvloop" if self.uvloop else "")

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        """The median of the costs."""
        return statistics.median(self.costs)


@dataclass
class Comparison:
    """One of the candidates over the best of others, and what the ratio is to be."""

    title: str
    budget: str
    above: Candidate
    below: list[Candidate]

    def print(self) -> None:
        """Print the ratio, by the rate and by what the server computes."""
        rate = self.above.rate / max(each.rate for each in self.below)
        cost = min(each.cost for each in self.below) / self.above.cost
        print(f"{self.title:50}{rate:10.2f}{cost:12.2f}{self.budget:>10}")


def parser_for(description: str | None, *, seconds: float) -> argparse.ArgumentParser:
    """Return the options that all comparisons of servers have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each round")
    parser.add_argument("--only", default="", help="part of the titles of what is to be compared")
    return parser


def selected(comparisons: list[Comparison], only: str) -> list[Comparison]:
    """Return the comparisons with `only` in their titles."""
    found = [each for each in comparisons if only in each.title]
    if not found:
        titles = "\n  ".join(each.title for each in comparisons)
        raise SystemExit(f"No comparison is called {only!r}. There are:\n  {titles}")
    return found


def compare(
    comparisons: list[Comparison],
    rounds: int,
    one_round: Callable[[Server], tuple[int, float, float]],
    unit: str,
) -> None:
    """Measure all candidates in turn, `rounds` times, and print their figures and ratios.

    `one_round` returns how many things were done, in how many seconds, of which the server
    computed so many.
    """
    candidates = list(
        dict.fromkeys(each for one in comparisons for each in (one.above, *one.below))
    )
    with ExitStack() as stack:
        servers = [
            stack.enter_context(Server(each.kind, f"served:{each.application}", uvloop=each.uvloop))
            for each in candidates
        ]
        for _ in range(rounds):
            for candidate, server in zip(candidates, servers, strict=True):
                count, seconds, busy = one_round(server)
                candidate.rates.append(count / seconds)
                candidate.costs.append(busy / count * 1e6)
                candidate.loads.append(busy / seconds)
    print(f"{'':44}{unit + '/s':>12}{'lowest':>10}{'highest':>10}{'server us':>11}{'core':>7}")
    for each in candidates:
        load = statistics.median(each.loads)
        print(
            f"{each.name:44}{each.rate:12,.0f}{min(each.rates):10,.0f}{max(each.rates):10,.0f}"
            f"{each.cost:11.1f}{load:7.0%}"
        )
    print(f"\n{'':50}{'by rate':>10}{'by server':>12}{'budget':>10}")
    for comparison in comparisons:
        comparison.print()
    if any(statistics.median(each.loads) < BUSY for each in candidates):
        print("Some servers had to wait for their core or for the client: go by the second ratio.")
