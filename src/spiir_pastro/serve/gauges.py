"""Gauges that are computed when Prometheus asks.

A gauge that a loop keeps up to date says "healthy" for as long as the loop hangs; these cannot.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from spiir_pastro.serve.dead_letters import DeadLetters
from spiir_pastro.serve.drift import Drift
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.spool import Spool

_PREFIX = "spiir_pastro"


class Gauges(Collector):
    """Gauges of spool, dead letters, health and drift.

    ``drift`` compares what was seen with what is expected; ``wall_s`` is the time, Unix seconds.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        letters: DeadLetters,
        health: Health,
        drift: Callable[[], Sequence[Drift]],
        wall_s: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._letters = letters
        self._health = health
        self._drift = drift
        self._wall_s = wall_s

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give every gauge; without those of a spool that cannot be read, which health reports."""
        problems = self._health.problems()
        try:
            found = [*self._of_spool(), *self._of_drift()]
        except sqlite3.Error as error:
            found = []
            problems.setdefault("spool", f"cannot be read: {error}")
        yield from found
        with suppress(OSError):
            self._letters.look()
        yield _gauge("dead_letter_files", "Payloads in the dead-letter folder", len(self._letters))
        yield _gauge("dead_letter_bytes", "Bytes of those", self._letters.size)
        yield _gauge("healthy", "1 if /healthz says so", not problems)
        problem = _labelled("problem", "1 for each part that has a problem", "part")
        for part in problems:
            problem.add_metric([part], 1)
        yield problem

    def _of_spool(self) -> Iterator[GaugeMetricFamily]:
        events = _labelled("spool_events", "Events in the spool, by state", "state")
        for state, count in self._spool.counts().items():
            events.add_metric([state], count)
        yield events
        oldest = self._spool.oldest_pending()
        age_s = 0.0 if oldest is None else max(0.0, self._wall_s() - oldest)
        yield _gauge("spool_oldest_seconds", "Age of the oldest pending event", age_s)

    def _of_drift(self) -> Iterator[GaugeMetricFamily]:
        observed = _labelled("drift_observed", "Events seen in the window", "what")
        expected = _labelled("drift_expected", "Events expected in the window", "what")
        warning = _labelled("drift_warning", "1 if what is seen has drifted from that", "what")
        for count in self._drift():
            observed.add_metric([count.what], count.observed)
            if count.expected is not None:
                expected.add_metric([count.what], count.expected)
                warning.add_metric([count.what], count.has_drifted)
        yield from (observed, expected, warning)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)


def _labelled(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=[label])
