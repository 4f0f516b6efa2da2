"""The figures for Prometheus: `REGISTRY.register(BoltWSCollector())`, once in a process.

Needs the extra: `pip install "django-bolt-ws[prometheus]"`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from .metrics import EndpointFigures, Snapshot, snapshot

try:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        'bolt_ws.prometheus needs prometheus_client: pip install "django-bolt-ws[prometheus]"'
    ) from error

_COUNTERS: Final[tuple[tuple[str, str, Callable[[EndpointFigures], int]], ...]] = (
    ("connections", "Connections that were accepted.", lambda of: of["connections"]),
    ("messages_received", "Messages of clients.", lambda of: of["messages_received"]),
    ("received_bytes", "Bytes of the messages of clients.", lambda of: of["bytes_received"]),
    ("messages_sent", "Messages to clients.", lambda of: of["messages_sent"]),
    ("sent_bytes", "Bytes of the messages to clients.", lambda of: of["bytes_sent"]),
    (
        "outbox_drops",
        "Messages of rooms that were dropped for clients that read too slowly.",
        lambda of: of["outbox_drops"],
    ),
    (
        "rate_limit_drops",
        "Messages of clients that were dropped by a rate limit.",
        lambda of: of["rate_limit_drops"],
    ),
    (
        "handler_errors",
        "Exceptions that have ended a connection or a handshake.",
        lambda of: of["errors"],
    ),
)
"""Name, help and figure of the counters that have no label but the endpoint."""


class BoltWSCollector(Collector):
    """Makes Prometheus' metrics of `bolt_ws.metrics.snapshot()`, at each scrape.

    A label `endpoint` is the endpoint's name, "" for paths that no endpoint has.
    """

    def describe(self) -> list[Metric]:
        """Return the metrics without figures, by which a registry knows the names."""
        return list(_metrics_of(None))

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        return _metrics_of(snapshot())


def _metrics_of(of: Snapshot | None) -> Iterator[Metric]:
    endpoints = {} if of is None else of["endpoints"]
    is_open = GaugeMetricFamily(
        "bolt_ws_open_connections", "Open connections.", labels=["endpoint"]
    )
    for name, each in endpoints.items():
        is_open.add_metric([name], each["open"])
    yield is_open
    for metric, text, figure in _COUNTERS:
        counter = CounterMetricFamily(f"bolt_ws_{metric}", text, labels=["endpoint"])
        for name, each in endpoints.items():
            counter.add_metric([name], figure(each))
        yield counter
    yield from _by_code(endpoints)
    yield from _of_rooms(of)


def _by_code(endpoints: dict[str, EndpointFigures]) -> Iterator[Metric]:
    labels = ["endpoint", "code"]
    refusals = CounterMetricFamily("bolt_ws_refusals", "Refused handshakes.", labels=labels)
    closes = CounterMetricFamily("bolt_ws_closes", "Connections that have ended.", labels=labels)
    for name, each in endpoints.items():
        for code, count in each["refusals"].items():
            refusals.add_metric([name, code], count)
        for code, count in each["closes"].items():
            closes.add_metric([name, code], count)
    yield refusals
    yield closes


def _of_rooms(of: Snapshot | None) -> Iterator[Metric]:
    broadcast = HistogramMetricFamily(
        "bolt_ws_broadcast_seconds",
        "Time until a message is handed to all who are to get it in this process.",
    )
    lost = CounterMetricFamily(
        "bolt_ws_lost_messages", "Messages of rooms that did not reach this process."
    )
    if of is not None:
        buckets = [(bound, float(count)) for bound, count in of["broadcast_buckets"].items()]
        broadcast.add_metric([], buckets, of["broadcast_seconds"])
        lost.add_metric([], of["lost_messages"])
    yield broadcast
    yield lost
