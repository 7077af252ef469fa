"""Safeguards of the service, each with a way to take it out; a schedule must then show it.

``python -m storm.mutations`` prints the first such seed of each, of the first ten thousand.
"""

import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from spiir_pastro.domain.times import DAY_S
from spiir_pastro.io.alerts import Event
from spiir_pastro.serve import alert_source, queueing, spool, sweeps, upload
from spiir_pastro.serve.alert_source import KafkaSource
from spiir_pastro.serve.clock import Clock
from spiir_pastro.serve.decide import SkipReason
from spiir_pastro.serve.gracedb_client import Answer
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.model_slot import Model
from spiir_pastro.serve.queueing import Delivery, DeliveryQueue
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.spool_file import SpoolFile
from spiir_pastro.serve.standby import Standby
from spiir_pastro.serve.sweeps import Backfiller
from spiir_pastro.serve.upload import Delivered, EventFile, GraceDBUploader, Unanswered
from storm.run import quicken
from storm.timeline import SimulatedClock
from storm.world import kinds_of, play

__all__ = ["MUTATIONS", "Mutation", "first_seed"]

SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A safeguard taken out.

    Attributes
    ----------
    name
        What is missing.
    apply
        Takes it out.
    needs
        It cannot be missed in schedules without these kinds of faults, which are passed over.
    is_quick
        Whether one of the first hundred schedules shows it.
    """

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    needs: frozenset[str] = frozenset()
    is_quick: bool = False


def _any_200_is_success(patch: pytest.MonkeyPatch) -> None:
    document = upload._document

    def lenient(answer: Answer, statuses: set[int]) -> dict[str, Any]:
        if statuses == {201} and answer.status in (200, 201):
            return {"N": 1, "filename": upload.FILE_NAME}
        return document(answer, statuses)

    patch.setattr(upload, "_document", lenient)


def _refusals_are_final(patch: pytest.MonkeyPatch) -> None:
    failed = DeliveryQueue.failed

    def give_up(
        queue: DeliveryQueue, delivery: Delivery, error: Unanswered, now: float, *, jitter: float
    ) -> float:
        if error.cause in ("status_401", "status_403", "status_404"):
            queue._settle(delivery)
            return 0.0
        return failed(queue, delivery, error, now, jitter=jitter)

    patch.setattr(DeliveryQueue, "failed", give_up)


def _never_look_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GraceDBUploader, "is_there", lambda *_: False)


def _look_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Service, "_settling_s", lambda self: 0.0)  # noqa: ARG005


def _wake_before_settled(patch: pytest.MonkeyPatch) -> None:
    wait = DeliveryQueue._wait
    patch.setattr(
        DeliveryQueue,
        "_wait",
        lambda self, delivery, due, not_before: wait(self, delivery, due, 0.0 * not_before),
    )


def _settle_by_wall_clock(patch: pytest.MonkeyPatch) -> None:
    def settling(service: Service) -> float:
        return max(
            0.0, service.started_at + service.settings.gracedb.settle_s - service.clock.wall_s()
        )

    patch.setattr(Service, "_settling_s", settling)


def _everything_is_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KafkaSource, "_placed", _placed_as_new)


def _placed_as_new(kafka: KafkaSource, message: Any) -> Any:  # noqa: ANN401
    kafka._next[message.topic, message.number] = message.offset + 1
    return replace(message, is_old=False)


def _twins_are_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(alert_source, "TWIN_S", 0.0)


def _offsets_are_the_brokers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "offsets", lambda self: {})  # noqa: ARG005


def _offsets_before_events(patch: pytest.MonkeyPatch) -> None:
    accept = Spool.accept

    def early(self: Spool, uploads: Any, *, read_at: float, places: Any = None) -> Any:  # noqa: ANN401
        self.place(places or {})
        return accept(self, uploads, read_at=read_at)

    patch.setattr(Spool, "accept", early)


def _new_topics_from_their_end(patch: pytest.MonkeyPatch) -> None:
    read = KafkaSource._read

    def at_end(self: KafkaSource, consumer: Any, offered: Any) -> None:  # noqa: ANN401
        patched = consumer.offset_at
        consumer.offset_at = lambda place, time_s: None  # noqa: ARG005
        read(self, consumer, offered)
        consumer.offset_at = patched

    patch.setattr(KafkaSource, "_read", at_end)


def _no_search(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Backfiller, "run", lambda self, stop: None)  # noqa: ARG005


def _search_passes_over_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "reopen", lambda self, event_id: None)  # noqa: ARG005


def _search_trusts_the_label(patch: pytest.MonkeyPatch) -> None:
    lacks = Backfiller._lacks

    def lacks_label(self: Backfiller, event: dict[str, Any]) -> bool:
        is_known = self._spool.find(event["graceid"]) is not None
        return lacks(self, event) and not (is_known and event["labels"])

    patch.setattr(Backfiller, "_lacks", lacks_label)


def _search_leaves_what_another_answered(patch: pytest.MonkeyPatch) -> None:
    lacks = Backfiller._lacks

    def lacks_ours(self: Backfiller, event: dict[str, Any]) -> bool:
        known = self._spool.find(event["graceid"])
        is_theirs = known is not None and known.outcome == Delivered.OTHER
        return lacks(self, event) and not (is_theirs and event["labels"])

    patch.setattr(Backfiller, "_lacks", lacks_ours)


def _search_forgets_the_first_start(patch: pytest.MonkeyPatch) -> None:
    def now(spool: Spool, *, clock: Clock, health: Health) -> float:
        del health
        noted = spool.fact("first_start")
        if noted is None:
            spool.note("first_start", noted := clock.wall_s())
        return noted

    patch.setattr("storm.host.recall_first_start", now)


def _no_salvage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SpoolFile, "mend", lambda self: None)  # noqa: ARG005


def _no_checksum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "_drop_spoiled", lambda self: [])  # noqa: ARG005


def _deleted_spool_unnoticed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SpoolFile, "require", lambda self: None)  # noqa: ARG005


def _accepted_without_sync(patch: pytest.MonkeyPatch) -> None:
    connect = SpoolFile.connect
    patch.setattr(SpoolFile, "connect", lambda self, _: connect(self, "NORMAL"))


def _forget_by_clock_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(spool, "KEEP_EVENTS", 0)


def _no_second_mark(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("spiir_pastro.serve.dispatch.Dispatcher.mark_again", lambda self: None)  # noqa: ARG005


def _label_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GraceDBUploader, "_label", lambda self, event_id: None)  # noqa: ARG005


def _no_probe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(queueing, "PROBE_S", 1e6)
    patch.setattr(
        DeliveryQueue,
        "_begin_probing",
        lambda self, error, now, jitter: setattr(self, "_probe_at", now + 1e6),  # noqa: ARG005
    )


def _waits_by_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedClock, "monotonic_s", SimulatedClock.wall_s)


def _others_are_replaced(patch: pytest.MonkeyPatch) -> None:
    deliver = GraceDBUploader.deliver

    def trample(self: GraceDBUploader, file: EventFile, **named: Any) -> Delivered:  # noqa: ANN401
        return deliver(self, replace(file, replaces=True), **named)

    patch.setattr(GraceDBUploader, "deliver", trample)


def _labels_of_alerts_are_ignored(patch: pytest.MonkeyPatch) -> None:
    has_label = Event.has_label
    patch.setattr(Event, "has_label", lambda self, name: name == "INJ" and has_label(self, name))


def _comment_of_the_present_model(patch: pytest.MonkeyPatch) -> None:
    redelivery = sweeps.redelivery
    anonymous = lambda record: replace(redelivery(record), model="")  # noqa: E731
    patch.setattr("spiir_pastro.serve.service.redelivery", anonymous)


def _not_renewed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("storm.run.RENEW_S", 1e6)


def _search_before_the_first_start(patch: pytest.MonkeyPatch) -> None:
    def begin(self: Backfiller, now: float) -> float:
        del self
        return now - DAY_S

    patch.setattr(Backfiller, "_begin", begin)


def _letters_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Service, "_answer_letters", lambda self: None)  # noqa: ARG005


def _case_matters(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Models, "choose", _choose(lambda event: event.search in ("AllSky", "", None)))


def _unnamed_searches_are_answered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Models, "choose", _choose(lambda event: not event.is_injection))


def _injections_are_answered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Models,
        "choose",
        _choose(lambda event: event.is_injection or (event.search or "allsky").lower() == "allsky"),
    )


def _choose(is_ours: Callable[[Event], bool]) -> Callable[[Models, Event], Model | SkipReason]:
    return lambda self, event: self.own if is_ours(event) else SkipReason.OTHER_SEARCH


def _updates_are_news_each_time(patch: pytest.MonkeyPatch) -> None:
    unique = itertools.count()
    patch.setattr(spool, "_numbers", lambda *_: str(next(unique)))


def _updates_overtake(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DeliveryQueue, "_hold_successor", lambda *_: None)
    patch.setattr(DeliveryQueue, "_replace_others", lambda *_: None)


def _updates_under_way_at_once(patch: pytest.MonkeyPatch) -> None:
    def take(queue: DeliveryQueue, now: float) -> Delivery | None:
        queue._under_way.clear()
        return original(queue, now)

    original = DeliveryQueue.take
    patch.setattr(DeliveryQueue, "take", take)


def _duty_is_not_proven(patch: pytest.MonkeyPatch) -> None:
    def is_ours(self: Standby) -> bool:
        return self._begins_at <= self._clock.monotonic_s()

    patch.setattr(Standby, "is_ours", is_ours)


def _duty_begins_at_once(patch: pytest.MonkeyPatch) -> None:
    def is_ours(self: Standby) -> bool:
        return self._clock.monotonic_s() < self._proven_until

    patch.setattr(Standby, "is_ours", is_ours)


def _second_does_not_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standby, "must_look", False)


def _hosts_share_offsets(patch: pytest.MonkeyPatch) -> None:
    begin = KafkaSource.__init__
    patch.setattr(
        KafkaSource,
        "__init__",
        lambda self, *given, **named: begin(self, *given, **named | {"shares_group": False}),
    )


_CRASH = frozenset({"crashes"})
_HOSTS = frozenset({"two hosts"})
_WEATHER = frozenset({"weather"})
_UPDATES = frozenset({"updates"})
_DAMAGE = frozenset({"damaged page"})
MUTATIONS = (
    # Delivery.
    Mutation(name="any 200 is a success", apply=_any_200_is_success, needs=_WEATHER),
    Mutation(name="401, 403 and 404 are final", apply=_refusals_are_final, is_quick=True),
    Mutation(name="nothing is looked for", apply=_never_look_first, is_quick=True),
    Mutation(name="looked for before it is settled", apply=_look_at_once),
    Mutation(name="woken before it is settled", apply=_wake_before_settled, needs=_WEATHER),
    Mutation(name="settled by the wall clock", apply=_settle_by_wall_clock),
    Mutation(
        name="waits by the wall clock", apply=_waits_by_the_wall_clock, needs=frozenset({"clock"})
    ),
    Mutation(name="no probe", apply=_no_probe),
    Mutation(name="no label to a file found", apply=_label_forgotten, needs=_WEATHER),
    Mutation(
        name="another's file is replaced",
        apply=_others_are_replaced,
        needs=frozenset({"other writers"}),
    ),
    Mutation(
        name="an alert's label is ignored",
        apply=_labels_of_alerts_are_ignored,
        needs=frozenset({"other writers"}),
    ),
    # Offsets.
    Mutation(name="every alert is new", apply=_everything_is_new),
    Mutation(name="an alert's twin is new", apply=_twins_are_new),
    Mutation(name="offsets are the broker's", apply=_offsets_are_the_brokers),
    Mutation(name="offsets before events", apply=_offsets_before_events, is_quick=True),
    Mutation(
        name="new topics from their end",
        apply=_new_topics_from_their_end,
        needs=frozenset({"new topic"}),
    ),
    Mutation(
        name="the broker is not told again", apply=_not_renewed, needs=frozenset({"forgotten"})
    ),
    # Search and spool.
    Mutation(name="no search of GraceDB", apply=_no_search),
    Mutation(name="the first start is forgotten", apply=_search_forgets_the_first_start),
    Mutation(name="a search before the first start", apply=_search_before_the_first_start),
    Mutation(
        name="a search passes over what is done",
        apply=_search_passes_over_done,
        needs=frozenset({"amnesia"}),
    ),
    Mutation(
        name="a search trusts the label of what is done",
        apply=_search_trusts_the_label,
        needs=frozenset({"amnesia", "properties"}),
    ),
    Mutation(
        name="a search leaves what another answered",
        apply=_search_leaves_what_another_answered,
        needs=frozenset({"amnesia", "properties", "other writers"}),
    ),
    Mutation(name="no salvage", apply=_no_salvage),
    Mutation(name="no checksum", apply=_no_checksum, needs=_DAMAGE),
    Mutation(
        name="a deleted spool goes unnoticed",
        apply=_deleted_spool_unnoticed,
        needs=frozenset({"deleted spool"}),
    ),
    Mutation(
        name="accepted without sync", apply=_accepted_without_sync, needs=frozenset({"power"})
    ),
    Mutation(
        name="forgotten by the clock alone",
        apply=_forget_by_clock_alone,
        needs=frozenset({"clock"}),
    ),
    Mutation(name="no second mark", apply=_no_second_mark, needs=frozenset({"full disk"})),
    # Models and searches.
    Mutation(name="dead letters stay", apply=_letters_stay, needs=frozenset({"helpless model"})),
    Mutation(name="the comment names no model", apply=_comment_of_the_present_model),
    Mutation(name="the case of a search matters", apply=_case_matters, is_quick=True),
    Mutation(
        name="unnamed searches are answered",
        apply=_unnamed_searches_are_answered,
        needs=frozenset({"rubbish"}),
    ),
    Mutation(
        name="injections are answered",
        apply=_injections_are_answered,
        needs=frozenset({"rubbish"}),
    ),
    # Updates.
    Mutation(name="an update is news each time", apply=_updates_are_news_each_time, needs=_UPDATES),
    Mutation(name="an update overtakes", apply=_updates_overtake, needs=_UPDATES),
    Mutation(
        name="two answers under way at once", apply=_updates_under_way_at_once, needs=_UPDATES
    ),
    # Two hosts.
    Mutation(name="duty is not proven", apply=_duty_is_not_proven, needs=_HOSTS),
    Mutation(name="duty begins at once", apply=_duty_begins_at_once, needs=_HOSTS),
    Mutation(name="a second host does not look", apply=_second_does_not_look, needs=_HOSTS),
    Mutation(name="hosts share offsets", apply=_hosts_share_offsets, needs=_HOSTS),
)


def first_seed(mutation: Mutation) -> int | None:
    """Find the first schedule that misses a safeguard."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        mutation.apply(patch)
        quicken()
        for seed in range(SEEDS):
            if mutation.needs <= kinds_of(seed):
                if not play(seed, Path(root) / str(seed)).is_clean:
                    return seed
                shutil.rmtree(Path(root) / str(seed))
    return None


def main() -> int:
    """Print each safeguard's first seed; return 1 if one has none."""
    wanted = sys.argv[1:]
    missing = 0
    for mutation in MUTATIONS:
        if not wanted or mutation.name in wanted:
            seed = first_seed(mutation)
            missing += seed is None
            print(f"{mutation.name}: {seed}", flush=True)  # noqa: T201
    return missing


if __name__ == "__main__":
    sys.exit(main())
