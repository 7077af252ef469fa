"""Safeguards of the service, each with a way to take it out; a schedule must then show it.

``python -m storm.mutations`` prints the first such seed of each, of the first ten thousand.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from spiir_pastro.serve import history, queueing, source, spool, upload
from spiir_pastro.serve.backfill import Backfiller
from spiir_pastro.serve.clock import Clock
from spiir_pastro.serve.gracedb import Answer
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.queueing import Delivery, DeliveryQueue
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.source import KafkaSource
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.upload import GraceDBUploader, Unanswered
from storm.run import quicken
from storm.world import play

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
    seeds
        Among so many schedules one shows it.
    """

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    seeds: int = SEEDS


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
    patch.setattr(source, "TWIN_S", 0.0)


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


def _search_forgets_the_first_start(patch: pytest.MonkeyPatch) -> None:
    def now(spool: Spool, *, clock: Clock, health: Health) -> float:
        del health
        noted = spool.fact("first_start")
        if noted is None:
            spool.note("first_start", noted := clock.wall_s())
        return noted

    patch.setattr(history, "recall_first_start", now)
    patch.setattr("storm.world.recall_first_start", now)


def _no_salvage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "_mend", lambda self: None)  # noqa: ARG005


def _no_crc(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "_drop_spoiled", lambda self: [])  # noqa: ARG005


def _deleted_spool_unnoticed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spool, "check", lambda self: None)  # noqa: ARG005


def _accepted_without_sync(patch: pytest.MonkeyPatch) -> None:
    connect = Spool._connect
    patch.setattr(Spool, "_connect", lambda self, _: connect(self, "NORMAL"))


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


MUTATIONS = (
    Mutation(name="any 200 is a success", apply=_any_200_is_success),
    Mutation(name="401, 403 and 404 are final", apply=_refusals_are_final, seeds=50),
    Mutation(name="nothing is looked for", apply=_never_look_first, seeds=50),
    Mutation(name="looked for before it is settled", apply=_look_at_once),
    Mutation(name="woken before it is settled", apply=_wake_before_settled),
    Mutation(name="settled by the wall clock", apply=_settle_by_wall_clock),
    Mutation(name="every alert is new", apply=_everything_is_new),
    Mutation(name="an alert's twin is new", apply=_twins_are_new),
    Mutation(name="offsets are the broker's", apply=_offsets_are_the_brokers),
    Mutation(name="offsets before events", apply=_offsets_before_events, seeds=50),
    Mutation(name="new topics from their end", apply=_new_topics_from_their_end),
    Mutation(name="no search of GraceDB", apply=_no_search),
    Mutation(name="the first start is forgotten", apply=_search_forgets_the_first_start),
    Mutation(name="no salvage", apply=_no_salvage),
    Mutation(name="a deleted spool goes unnoticed", apply=_deleted_spool_unnoticed),
    Mutation(name="forgotten by the clock alone", apply=_forget_by_clock_alone),
    Mutation(name="no second mark", apply=_no_second_mark),
    Mutation(name="no label to a file found", apply=_label_forgotten),
    Mutation(name="no probe", apply=_no_probe),
)


def first_seed(mutation: Mutation) -> int | None:
    """Find the first schedule that misses a safeguard."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        quicken()
        mutation.apply(patch)
        for seed in range(mutation.seeds):
            if not play(seed, Path(root) / str(seed)).is_clean:
                return seed
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
