"""What Prometheus scrapes, put together from what is counted anyway when it does.

Counters keep their dotted names, which docs/operate.md lists: a name that ends in a cause becomes a metric with a
label, and one that no line below knows is under ``iotgw_events_total``, so that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from iotgw.control.reach import Reach
from iotgw.statistics import Histogram
from tasks.contract import DEFAULT_QUEUE, INGEST_QUEUE

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Counted(NamedTuple):
    metric: str
    text: str
    label: str = ""


COUNTERS = {
    "links.opened": Counted("links_opened", "Links that were let in"),
    "links.closed.*": Counted("links_closed", "Links that closed", "cause"),
    "links.refused.*": Counted("links_refused", "New links that were closed at once", "cause"),
    "malformed.*": Counted("malformed", "Bytes that were no message", "cause"),
    "messages": Counted("messages", "Frames that were opened"),
    "messages.*": Counted("messages_outcome", "What became of messages", "outcome"),
    "acks": Counted("acks", "Messages that were answered"),
    "batches.*": Counted("batches", "Batches given to the broker", "event"),
    "receipts": Counted("receipts", "Batches that are committed"),
    "admissions": Counted("admissions", "Devices that wanted to come in on a link"),
    "admissions.refused.*": Counted("admissions_refused", "Devices that may not come in", "cause"),
    "sessions.*": Counted("sessions_events", "Sessions that began, ended or were replaced", "event"),
    "tls.refused.*": Counted("tls_refused", "TLS handshakes that failed", "cause"),
    "strangers.*": Counted("strangers", "Links that were no device's", "kind"),
    "commands.*": Counted("commands", "What became of commands on their way down", "event"),
    "calls": Counted("calls", "Tasks whose reply was waited for"),
    "calls.*": Counted("calls_ended", "How calls ended", "end"),
    "control.requests": Counted("control_requests", "Requests to the control API"),
    "control.errors.*": Counted("control_errors", "Requests to the control API that got an error", "code"),
    "*": Counted("events", "Everything else that is counted", "event"),
}
_SPOOL_STATES = ("off", "ready", "full", "unavailable")


def text(reach: Reach) -> str:
    """The whole scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gateway(reach))
    ProcessCollector(registry=registry)
    return generate_latest(registry).decode()


class _Gateway(Collector):
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self._reach.gateway.statistics.snapshot())
        yield from self._gauges()
        yield from self._spool()
        yield from self._queues()
        statistics = self._reach.gateway.statistics
        yield _histogram("iotgw_ack_latency_seconds", "From when a message was there whole to its answer", statistics.acks)
        yield _histogram("iotgw_reactor_lag_seconds", "How late the event loop came to what was due", statistics.lag)

    def _gauges(self) -> Iterator[Metric]:
        reach, gateway = self._reach, self._reach.gateway
        batches = gateway.batches
        now = {
            "links": ("Open links", gateway.links),
            "sessions": ("Devices with a session", len(gateway.sessions)),
            "addresses": ("Different addresses that have links", len(gateway.addresses)),
            "banned_addresses": ("Addresses that are banned", len(gateway.addresses.bans)),
            "banned_devices": ("Devices that are banned", len(gateway.banned_devices)),
            "taps": ("Devices that somebody watches", len(gateway.taps)),
            "commands_under_way": ("Devices for which commands are on their way to be written", len(gateway.commanding)),
            "batches_in_flight": ("Batches without a receipt", batches.in_flight),
            "messages_collected": ("Messages that wait for their batch to leave", batches.collected),
            "admissions_waiting": ("Devices that wait to be asked for", gateway.admissions.waiting),
            "reading_paused": ("1 while devices are not read from", int(gateway.is_paused)),
            "draining": ("1 from the beginning of a drain on", int(reach.draining.state != "no")),
            "callers_waiting": ("Callers that wait for the end of a command", len(reach.callers)),
            "calls_waiting": ("Tasks whose reply is waited for", reach.offload.waiting),
            "reactor_lag_latest_seconds": ("The last of the lags", reach.lag.latest),
        }
        for name, (what, value) in now.items():
            yield GaugeMetricFamily(f"iotgw_{name}", what, value)

    def _spool(self) -> Iterator[Metric]:
        told = self._reach.gateway.batches.snapshot()
        states = GaugeMetricFamily("iotgw_spool_state", "1 for the state that the spool is in", labels=["state"])
        for state in _SPOOL_STATES:
            states.add_metric([state], int(told["spool"] == state))
        yield states
        for name, what in {"spool_batches": "Batches in the spool", "spool_bytes": "Its size on the disk"}.items():
            yield GaugeMetricFamily(f"iotgw_{name}", what, float(told.get(name, 0)))

    def _queues(self) -> Iterator[Metric]:
        reach = self._reach
        depths = GaugeMetricFamily("iotgw_queue_depth", "Tasks in the queue that no worker has taken", labels=["queue"])
        for queue, depth in reach.queues.depths.items():
            depths.add_metric([queue], depth)
        yield depths
        ages = GaugeMetricFamily(
            "iotgw_queue_age_seconds", "For how long the oldest of what this gateway put there has no answer", labels=["queue"]
        )
        ages.add_metric([INGEST_QUEUE], reach.gateway.batches.oldest_seconds)
        ages.add_metric([DEFAULT_QUEUE], reach.offload.oldest_seconds)
        yield ages
        if reach.queues.unacked is not None:
            yield GaugeMetricFamily("iotgw_queue_unacked", "Tasks that workers have taken and not finished", reach.queues.unacked)


def _counters(counts: dict[str, int]) -> Iterator[Metric]:
    received, sent = counts.pop("bytes.received"), counts.pop("bytes.sent")
    yield CounterMetricFamily("iotgw_received_bytes", "Bytes that devices sent", received)
    yield CounterMetricFamily("iotgw_sent_bytes", "Bytes that devices were sent", sent)
    malformed = sum(count for name, count in counts.items() if name.startswith("malformed."))
    frames = counts.get("messages", 0) + malformed
    yield CounterMetricFamily("iotgw_frames", "Frames, opened or malformed; a message of several counts once", frames)
    # All of them, whether counted yet or not: a rate needs the zero before the first.
    families = {
        key: CounterMetricFamily(f"iotgw_{of.metric}", of.text, labels=[of.label] if of.label else [])
        for key, of in COUNTERS.items()
    }
    for key, of in COUNTERS.items():
        if not of.label:
            families[key].add_metric([], counts.pop(key, 0))
    for name, count in counts.items():
        prefix, _, cause = name.rpartition(".")
        key = f"{prefix}.*"
        families[key if key in families else "*"].add_metric([cause if key in families else name], count)
    yield from families.values()


def _histogram(name: str, what: str, histogram: Histogram) -> Metric:
    total, buckets = 0, []
    for bound, count in zip([*map(str, histogram.bounds), "+Inf"], histogram.buckets, strict=True):
        total += count
        buckets.append((bound, total))
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=histogram.sum)
