"""The metrics that Prometheus reads."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from spiir_pastro.serve.decide import SkipReason

_PREFIX = "spiir_pastro"
_DURATIONS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0)
_AGES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Metrics:
    """Every counter and histogram of one service, in a registry of its own; see also `Gauges`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.alerts = self._counter("alerts", "Alerts read, by topic", "topic")
        self.skipped = self._counter("skipped", "Alerts skipped, by reason", "reason")
        self.duplicates = self._counter("duplicates", "Alerts of events already accepted")
        self.backfilled = self._counter("backfilled", "Events found on GraceDB without our file")
        self.dead_letters = self._counter("dead_letters", "Payloads not understood", "reason")
        self.uploads = self._counter("uploads", "Events settled, by outcome", "outcome")
        self.retries = self._counter("upload_retries", "Failed attempts, by cause", "cause")
        self.model_swaps = self._counter("model_swaps", "New model files, by outcome", "outcome")
        self.kafka_errors = self._counter("kafka_errors", "Errors of the broker client", "name")
        self.on_duty = self._gauge("on_duty", "1 if this host is the one that answers")
        self.on_duty.set(1)
        self.model = self._gauge(
            "model", "1 for each model in use, by the search it answers", "search", "version"
        )
        self.last_alert = self._gauge("last_alert_timestamp_seconds", "When an alert was last read")
        self.started = self._gauge("start_timestamp_seconds", "When the service was started")
        self.latency = self._histogram(
            "alert_to_request_seconds", "From reading an alert to sending its file", _DURATIONS_S
        )
        self.decision = self._histogram(
            "decision_seconds", "From reading an alert to knowing its probabilities", _DURATIONS_S
        )
        self.age = self._histogram("alert_age_seconds", "Age of an alert when read", _AGES_S)
        self.started.set(time.time())
        # A counter that appears with its first event has no increase a rule could see.
        for reason in SkipReason:
            (self.dead_letters if reason.is_dead_letter else self.skipped).labels(reason=reason)
        for outcome in ("taken", "refused"):
            self.model_swaps.labels(outcome=outcome)

    def exposition(self) -> bytes:
        """Return the text of ``/metrics``."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", text, buckets=buckets, registry=self.registry)
