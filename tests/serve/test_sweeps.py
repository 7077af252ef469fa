"""A search of GraceDB comes to its end, however often it fails on the way."""

import json
import random
from pathlib import Path

import pytest

from rehearsal.sample_alerts import sample_alerts
from rehearsal.sample_model import RehearsalModel, always
from rehearsal.stand_in import StandInGraceDB, announce
from serve.test_service import ListSource, payloads, service
from spiir_pastro.serve import sweeps
from spiir_pastro.serve.clock import SystemClock
from spiir_pastro.serve.decide import LABEL, decide
from spiir_pastro.serve.gracedb_client import Answer, GraceDBClient, NoAnswer
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.queueing import Delivery
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.sweeps import SWEPT, Backfiller, BackfillPlan

EVENTS = [alert["data"] for alert in sample_alerts(60)]


class Unsteady:
    """A GraceDB of many pages, that often gives no answer."""

    def __init__(self) -> None:
        self.dice = random.Random(1)  # noqa: S311  (dice, no secret)
        self.asked = 0

    def events(self, query: str, *, start: int, count: int) -> Answer:
        del query
        self.asked += 1
        if self.dice.random() < 0.5:
            raise NoAnswer("cut", cause="connection")
        page = {"numRows": len(EVENTS), "events": EVENTS[start : start + min(count, 2)]}
        return Answer(status=200, body=json.dumps(page).encode())

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def made(spool: Spool) -> tuple[Backfiller, Unsteady, list[Delivery]]:
    gracedb, taken = Unsteady(), list[Delivery]()
    return (
        Backfiller(
            gracedb,  # type: ignore[arg-type]  # nothing else is asked
            BackfillPlan(every_s=None, since=1.0, topics=("cbc_spiir",)),
            spool=spool,
            decide=lambda event: decide(event, always(RehearsalModel())),
            submit=taken.extend,
            health=Health(),
            metrics=Metrics(),
            clock=SystemClock(),
        ),
        gracedb,
        taken,
    )


def test_a_search_of_many_pages_goes_on_where_it_failed(
    spool: Spool, made: tuple[Backfiller, Unsteady, list[Delivery]]
) -> None:
    backfiller, gracedb, taken = made
    tries = 1
    while not backfiller._try(None):
        assert (tries := tries + 1) < 200
        assert spool.fact(SWEPT) is None
    assert tries > 1
    assert gracedb.asked == 30 + tries - 1
    assert sorted(d.event_id for d in taken) == sorted(f"G{number}" for number in range(1, 61))
    assert spool.fact(SWEPT) is not None


def test_a_search_asked_for_does_not_pass_for_the_one_that_is_due(
    spool: Spool, made: tuple[Backfiller, Unsteady, list[Delivery]]
) -> None:
    backfiller, *_ = made
    spool.note(sweeps._REQUESTED, 1e9)
    while not backfiller._try(1e9):
        pass
    assert spool.fact(sweeps._REQUESTED) is None
    assert spool.fact(SWEPT) is None  # since 1.0 nobody has looked


def test_answers_that_gracedb_lost_are_given_again(gracedb: StandInGraceDB, tmp_path: Path) -> None:
    announce(tmp_path / "gracedb.jsonl", EVENTS[:2])  # type: ignore[arg-type]  # JSON objects
    assert service(tmp_path, ListSource(payloads(2)), gracedb.url).run()["done"] == 2
    given = {number: gracedb.files(number)[0].content for number in ("G1", "G2")}
    del gracedb.entries["G1"]
    made = service(tmp_path, ListSource(), gracedb.url)
    client = GraceDBClient(gracedb.url, timeout_s=20.0, settle_s=0.3, anonymous=True)
    plan = BackfillPlan(every_s=None, since=None, topics=("cbc_spiir",))
    assert made.backfiller(client, plan).sweep(0.0) == 1
    made.run()
    client.close()
    for number, content in given.items():
        assert [entry.content for entry in gracedb.files(number)] == [content]
        assert gracedb.labels(number) == {LABEL}
