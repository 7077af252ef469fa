"""Events of SPIIR on GraceDB that lack our label, put through the service's own spool.

What the broker no longer has, GraceDB still has. So a sweep over the last day, every hour, makes up
for a lost spool, a long outage and the broker's retention. It goes back as far as the last sweep
that came to its end, and never before the service's first start.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from spiir_pastro.domain.times import DAY_S
from spiir_pastro.serve.clock import Clock, Flag
from spiir_pastro.serve.decide import LABEL, Decision, Skip, Upload
from spiir_pastro.serve.gracedb_client import GraceDB
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.queueing import Delivery
from spiir_pastro.serve.spool import Record, Spool
from spiir_pastro.serve.spool_file import spool_path
from spiir_pastro.serve.upload import PROPERTIES, Unanswered, has_file, read_document

log = structlog.get_logger(__name__)

PAGE = 100
AGAIN_S = 10.0  # after a sweep that failed: health is to be green soon after GraceDB is back
LOOK_S = 5.0
SWEPT = "swept_until"
"""The spool's note of when the last whole sweep began."""
_REQUESTED = "backfill_since"

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillPlan:
    """How often GraceDB is searched, and how far back at most; times in seconds.

    Attributes
    ----------
    every_s
        Between sweeps; None leaves them out.
    since
        Unix time before which no sweep goes; None if it may.
    topics
        Names of the topics without the prefix: what they would bring is what is answered.
    properties
        Whether an event needs ``spiir.properties.json``, too.
    """

    every_s: float | None
    since: float | None
    topics: tuple[str, ...]
    properties: bool = False


@dataclass(kw_only=True, slots=True)
class _Sweep:
    """A search from one Unix time on: when it began, how far it is, and what it found."""

    since: float
    begun: float
    start: int = 0
    found: int = 0


class Backfiller:
    """Searches GraceDB with a client of its own.

    Parameters
    ----------
    decide
        What to do about an alert.
    submit
        Takes what is to be delivered.
    """

    def __init__(  # noqa: PLR0913  (parts meet here)
        self,
        gracedb: GraceDB,
        plan: BackfillPlan,
        *,
        spool: Spool,
        decide: Callable[[Json], Decision],
        submit: Callable[[list[Delivery]], None],
        health: Health,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._gracedb = gracedb
        self._plan = plan
        self._spool = spool
        self._decide = decide
        self._submit = submit
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._unfinished: _Sweep | None = None

    def run(self, stop: Flag) -> None:
        """Sweep at once, then as planned and as asked for, until told to stop."""
        due = self._clock.monotonic_s()
        while not stop.is_set():
            now = self._clock.monotonic_s()
            with suppress(sqlite3.Error):  # the loop tells of a spool that cannot be read
                requested = self._spool.fact(_REQUESTED)
                if requested is not None or (self._plan.every_s is not None and now >= due):
                    worked = self._try(requested)
                    due = now + (self._plan.every_s or DAY_S if worked else AGAIN_S)
            stop.wait(LOOK_S)
        self._gracedb.close()

    def sweep(self, since: float) -> int:
        """Put what lacks our file since a Unix time into the spool; return how many events.

        Raises
        ------
        Unanswered
            If GraceDB does not answer as it should; what was found until then is in the spool.
        sqlite3.Error
            If the spool cannot be written.
        """
        sweep = _Sweep(since=since, begun=self._clock.wall_s())
        self._go_on(sweep)
        return sweep.found

    def _go_on(self, sweep: "_Sweep") -> None:
        for event in self._events(sweep):
            if self._lacks(event):
                sweep.found += self._take(event)

    def _try(self, requested: float | None) -> bool:
        """Sweep; say whether it came to its end."""
        sweep = self._unfinished
        if sweep is None or requested not in (None, sweep.since):
            begun = self._clock.wall_s()
            since = self._begin(begun) if requested is None else requested
            sweep = self._unfinished = _Sweep(since=since, begun=begun)
        try:
            self._go_on(sweep)
            if sweep.since <= self._begin(sweep.begun):
                self._spool.note(SWEPT, sweep.begun)
            if requested is not None:
                self._spool.forget_fact(_REQUESTED)
        except (Unanswered, sqlite3.Error) as error:
            self._health.report("backfill", f"events without an answer not searched for: {error}")
            return False
        self._unfinished = None
        self._health.clear("backfill")
        log.info("backfill.done", since=sweep.since, events=sweep.found)
        return True

    def _begin(self, now: float) -> float:
        """Say how far back to go."""
        swept_until = self._spool.fact(SWEPT)
        if swept_until is None:  # a new spool: earlier ones may have taken anything with them
            return self._plan.since if self._plan.since is not None else now - DAY_S
        # A day earlier than the last sweep began: events may appear late, and clocks may step.
        begin = min(now, swept_until) - DAY_S
        return begin if self._plan.since is None else max(begin, self._plan.since)

    def _events(self, sweep: "_Sweep") -> Iterator[Json]:
        """Give SPIIR's events since then that our topics would have brought.

        A sweep that failed goes on with its page: of many pages one fails now and then.
        """
        # Open at the end, for this machine's clock may be slow.
        end = max(sweep.since, self._clock.wall_s()) + DAY_S
        query = f"pipeline: spiir created: {_utc(sweep.since)} .. {_utc(end)}"
        total = sweep.start + 1
        while sweep.start < total:
            events, total = self._page(query, sweep.start)
            for event in events:
                if isinstance(event, dict) and is_of_topics(event, self._plan.topics):
                    yield event
            sweep.start += len(events)

    def _page(self, query: str, start: int) -> tuple[list[object], int]:
        """Return some of the events that match, and how many do."""
        document = read_document(lambda: self._gracedb.events(query, start=start, count=PAGE))
        events, total = document.get("events"), document.get("numRows")
        if not isinstance(events, list) or not isinstance(total, int):
            raise Unanswered("GraceDB's answer is no list of events", cause="nonsense")
        # An empty page before the end would make the search look complete.
        if not events and start < total:
            raise Unanswered(f"GraceDB gave {start} of {total} events", cause="nonsense")
        return events, total

    def _lacks(self, event: Json) -> bool:
        """Whether an event has neither our label nor a delivery on its way.

        The label is put with the file, or after it. The delivery looks whether the file is there.
        Properties come after the label, and carry none: the log says whether they arrived, of
        events that only a lost spool knew, and of those done that GraceDB may have forgotten.
        """
        event_id = str(event.get("graceid"))
        known = self._spool.find(event_id)
        if LABEL in (event.get("labels") or ()):
            may_lack = known is None or (known.state == "done" and known.properties is not None)
            is_asked = self._plan.properties and may_lack
            return is_asked and not has_file(self._gracedb, event_id, PROPERTIES)
        return known is None or known.state != "pending"

    def _take(self, event: Json) -> bool:
        """Spool an event's answer and hand it on; whether there is one."""
        event_id = str(event.get("graceid"))
        record = self._spool.reopen(event_id)
        if record is not None:
            log.warning("backfill.reopened", event_id=event_id)
            self._submit([redelivery(record)])
            return True
        decision = self._decide({"uid": event_id, "alert_type": "new", "data": event})
        match decision:
            case Skip():
                log.info("backfill.skipped", event_id=event_id, reason=decision.reason)
                return False
            case Upload():
                log.warning("backfill.found", event_id=event_id)
                self._metrics.backfilled.inc()
                new = self._spool.accept([decision], read_at=self._clock.wall_s())
                self._submit(
                    [
                        Delivery(
                            event_id=event_id,
                            content=u.content,
                            model=u.model,
                            properties=u.properties,
                            look_first=True,
                        )
                        for u in new
                    ]
                )
                return True


def redelivery(record: Record) -> Delivery:
    """Make the delivery of an event that may be on GraceDB already."""
    return Delivery(
        event_id=record.event_id,
        content=record.content,
        model=record.model,
        properties=record.properties,
        revision=record.revision,
        look_first=True,
        attempts=record.attempts,
    )


def request_backfill(folder: Path, since: float) -> None:
    """Ask the service that has a spool to search from a Unix time on.

    Raises
    ------
    sqlite3.Error
        If the spool cannot be written.
    """
    with closing(sqlite3.connect(spool_path(folder), isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_REQUESTED, since))


def is_of_topics(event: Mapping[str, Any], topics: tuple[str, ...]) -> bool:
    """Whether GraceDB sends an event to one of the topics: ``group_pipeline[_search]``.

    Examples
    --------
    >>> is_of_topics({"group": "CBC", "pipeline": "spiir", "search": "AllSky"}, ("cbc_spiir",))
    True
    >>> is_of_topics({"group": "Test", "pipeline": "spiir", "search": "MDC"}, ("cbc_spiir",))
    False
    """
    general = f"{event.get('group')}_{event.get('pipeline')}".lower()
    return general in topics or f"{general}_{event.get('search')}".lower() in topics


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
