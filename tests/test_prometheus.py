"""What Prometheus scrapes."""

import importlib
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from bolt_ws import WebSocket, metrics, prometheus
from bolt_ws.auth import JWTAuthentication
from bolt_ws.prometheus import BoltWSCollector
from tests.support import ACCEPT, Connection, serve, status, talk, text

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    """A registry with the figures of this test's connections alone."""
    metrics.figures.forget()
    metrics.broadcasts.forget()
    registry = CollectorRegistry()
    registry.register(BoltWSCollector())
    yield registry
    metrics.figures.forget()


def scrape(registry: CollectorRegistry) -> Samples:
    """Return the samples of the text that Prometheus gets, by name and sorted labels."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def echo(websocket: WebSocket) -> None:
    async for message in websocket.iter_text():
        await websocket.send_text(message)


ECHO = (("endpoint", "echo"),)


async def test_the_figures_of_connections(registry: CollectorRegistry) -> None:
    application = serve(echo, auth=[JWTAuthentication()], guards=[])
    assert await status(application) == 401
    assert await status(application, "/nowhere") == 404
    connection = Connection(serve(echo))
    connection.put("é")
    for sent in (ACCEPT, text("é")):
        assert await connection.next() == sent
    open_ones = scrape(registry)
    connection.leave(4711)
    await connection.end()
    samples = scrape(registry)
    assert open_ones["bolt_ws_open_connections", ECHO] == 1
    assert samples["bolt_ws_open_connections", ECHO] == 0
    for found in (open_ones, samples):
        assert found["bolt_ws_connections_total", ECHO] == 1
        assert found["bolt_ws_messages_received_total", ECHO] == 1
        assert found["bolt_ws_received_bytes_total", ECHO] == 2
        assert found["bolt_ws_messages_sent_total", ECHO] == 1
        assert found["bolt_ws_sent_bytes_total", ECHO] == 2
        assert found["bolt_ws_outbox_drops_total", ECHO] == 0
        assert found["bolt_ws_rate_limit_drops_total", ECHO] == 0
        assert found["bolt_ws_handler_errors_total", ECHO] == 0
        refused = ("code", "not_authenticated"), *ECHO
        assert found["bolt_ws_refusals_total", refused] == 1
        assert found["bolt_ws_refusals_total", (("code", "not_found"), ("endpoint", ""))] == 1
    assert samples["bolt_ws_closes_total", (("code", "4xxx"), *ECHO)] == 1


async def test_no_label_is_a_path_or_a_client(registry: CollectorRegistry) -> None:
    application = serve(echo, "/ws/{room}")
    for room in ("secret-1", "secret-2"):
        await talk(application, f"/ws/{room}", "x")
        await status(application, f"/nowhere/{room}")
    exposed = generate_latest(registry).decode()
    assert "secret" not in exposed
    assert "127.0.0.1" not in exposed
    names = {name for _, labels in scrape(registry) for name, _ in labels}
    assert names == {"endpoint", "code", "le"}


def test_the_figures_of_broadcasts(registry: CollectorRegistry) -> None:
    for seconds in (0.0005, 0.2, 60):
        metrics.broadcasts.note_delivery(seconds)
    metrics.broadcasts.note_lost(3)
    samples = scrape(registry)
    assert samples["bolt_ws_broadcast_seconds_count", ()] == 3
    assert samples["bolt_ws_broadcast_seconds_sum", ()] == pytest.approx(60.2005)
    for bound, count in {"0.001": 1, "0.1": 1, "0.5": 2, "2.5": 2, "+Inf": 3}.items():
        assert samples["bolt_ws_broadcast_seconds_bucket", (("le", bound),)] == count
    assert samples["bolt_ws_lost_messages_total", ()] == 3


async def test_the_text_is_open_metrics_too(registry: CollectorRegistry) -> None:
    await talk(serve(echo), "/", "x")
    exposed = exposition.generate_latest(registry).decode()
    families = {each.name: each for each in openmetrics.text_string_to_metric_families(exposed)}
    assert all(name.startswith("bolt_ws_") for name in families)
    assert all(each.documentation for each in families.values())
    assert families["bolt_ws_broadcast_seconds"].type == "histogram"


async def test_registering_it_twice_is_an_error(registry: CollectorRegistry) -> None:
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(BoltWSCollector())


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    with pytest.raises(ImportError, match=r'pip install "django-bolt-ws\[prometheus\]"'):
        importlib.reload(prometheus)
