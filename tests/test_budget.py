"""What a message costs, with room for a busy machine. The budgets are in benchmarks/."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "echo_in_process.py"


@pytest.mark.timing
def test_an_echo_costs_little_more_than_bare_asgi() -> None:
    ran = subprocess.run(
        [sys.executable, str(BENCHMARK), "--rounds", "5", "--messages", "5000"],
        cwd=BENCHMARK.parent.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    ratios = dict(re.findall(r"^bolt_ws, (\w+) +[\d.]+ +([\d.]+)", ran.stdout, re.MULTILINE))
    assert set(ratios) == {"receive_text", "iter_text"}, ran.stdout
    assert all(float(ratio) <= 1.3 for ratio in ratios.values()), ran.stdout
    channels = re.search(
        r"^AsyncWebsocketConsumer over bolt_ws.*: ([\d.]+)$", ran.stdout, re.MULTILINE
    )
    assert channels, ran.stdout
    assert float(channels[1]) >= 6, ran.stdout
