"""``spiir.properties.json``: beside the probabilities, once, whatever happens between the two."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rehearsal.sample_alerts import sample_alert
from rehearsal.sample_model import RehearsalModel, always
from rehearsal.stand_in import Faults, LogEntry, StandInGraceDB, announce
from serve.test_service import ListSource, payloads, service, trigger_of, updated
from serve.waiting import run_until
from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.serve.decide import LABEL, Upload, decide
from spiir_pastro.serve.gracedb_client import GraceDBClient
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.spool import Spool, browse
from spiir_pastro.serve.sweeps import Backfiller, BackfillPlan
from spiir_pastro.serve.upload import PROPERTIES, EventFile, GraceDBUploader, Unanswered

BOTH = ["spiir.p_astro.json", "spiir.properties.json"]


def served(
    folder: Path,
    source: ListSource,
    gracedb: StandInGraceDB,
    *,
    timeout_s: float = 20.0,
    settle_s: float = 0.3,
    **others: object,
) -> Service:
    made = service(folder, source, gracedb.url, timeout_s=timeout_s, settle_s=settle_s)
    with_properties = msgspec.structs.replace(made.settings.gracedb, properties=True)
    made.settings = msgspec.structs.replace(made.settings, gracedb=with_properties, **others)
    return made


def names(gracedb: StandInGraceDB, event_id: str) -> list[str]:
    return [entry.filename for entry in gracedb.files(event_id)]


def test_properties_stand_beside_the_probabilities_with_their_model(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    made = served(tmp_path, ListSource(payloads(3), payloads(3)), gracedb)
    name = made.model.own.name
    assert made.run() == {"pending": 0, "done": 3, "dead_letters": 0}
    for number in (1, 2, 3):
        assert names(gracedb, f"G{number}") == BOTH
        entry = gracedb.files(f"G{number}")[1]
        assert entry.comment == f"SPIIR source properties if it is a signal, model {name}"
        assert (entry.tags, entry.label) == (["p_astro"], "")
        p = RehearsalModel().assess(trigger_of(number))
        expected = (p.bns + p.nsbh) / p.p_astro
        assert json.loads(entry.content)["HasNS"] == pytest.approx(expected)
    record = next(browse(tmp_path / "spool"))
    assert record.properties == gracedb.files(record.event_id)[1].content.encode()


def test_without_the_setting_there_are_none(gracedb: StandInGraceDB, tmp_path: Path) -> None:
    service(tmp_path, ListSource(payloads(1)), gracedb.url).run()
    assert names(gracedb, "G1") == BOTH[:1]


def test_faults_of_every_kind_lose_and_double_neither_file(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    each = 0.06
    gracedb.faults = Faults(
        error=each, half=each, cut_before=each, cut_after=each, login=each, stall_after=0.02,
        stall_s=0.5,
    )  # fmt: skip
    made = served(tmp_path, ListSource(payloads(25)), gracedb, timeout_s=0.3, settle_s=3.0)
    assert made.run()["done"] == 25
    assert all(names(gracedb, f"G{n}") == BOTH for n in range(1, 26))
    assert all(gracedb.labels(f"G{n}") == {"PASTRO_READY"} for n in range(1, 26))


@pytest.mark.parametrize("seam", ["before the first", "between", "after the second"])
def test_killed_at_any_seam_the_next_life_does_the_rest_once(
    gracedb: StandInGraceDB, tmp_path: Path, seam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = GraceDBUploader.deliver
    sent: list[str] = []

    def dying(self: GraceDBUploader, file: EventFile, **options: Any) -> object:  # noqa: ANN401
        if seam == "before the first" or (seam == "between" and sent):
            raise Unanswered("killed", cause="killed", wait_s=60.0)
        sent.append(file.kind.name)
        outcome = deliver(self, file, **options)
        if len(sent) == len(BOTH):  # the mark of it is lost
            raise Unanswered("killed", cause="killed", wait_s=60.0)
        return outcome

    monkeypatch.setattr(GraceDBUploader, "deliver", dying)
    first = served(tmp_path, ListSource(payloads(1)), gracedb)
    run_until(first, lambda: "gracedb" in first.health.problems())
    written = {"before the first": 0, "between": 1, "after the second": 2}[seam]
    assert names(gracedb, "G1") == BOTH[:written]
    assert [record.state for record in browse(tmp_path / "spool")] == ["pending"]
    monkeypatch.undo()
    assert served(tmp_path, ListSource(), gracedb).run()["done"] == 1
    assert names(gracedb, "G1") == BOTH


def test_another_writers_properties_are_compared_and_left(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    theirs = LogEntry(event_id="G1", filename=PROPERTIES.name, content='{"HasNS": 0.5}')
    gracedb.tell(theirs)
    assert served(tmp_path, ListSource(payloads(1), is_old=True), gracedb).run()["done"] == 1
    assert names(gracedb, "G1") == [BOTH[1], BOTH[0]]
    assert gracedb.files("G1")[0].content == theirs.content


def test_a_later_answer_renews_what_it_changes(gracedb: StandInGraceDB, tmp_path: Path) -> None:
    first = json.dumps(sample_alert(1)).encode()
    served(tmp_path, ListSource([first]), gracedb, updates=True).run()
    served(tmp_path, ListSource([updated(1, 1e-20)] * 2), gracedb, updates=True).run()
    assert names(gracedb, "G1") == [*BOTH, BOTH[0]]  # of which kind it is, its FAR does not say
    heavier = json.loads(updated(1, 1e-20))
    heavier["object"]["extra_attributes"]["CoincInspiral"]["mchirp"] = 3.0
    served(tmp_path, ListSource([json.dumps(heavier).encode()] * 2), gracedb, updates=True).run()
    assert names(gracedb, "G1") == [*BOTH, BOTH[0], *BOTH]


@pytest.mark.parametrize("theirs", [None, '{"BNS": 1.0}'], ids=["ours alone", "another's beside"])
@pytest.mark.parametrize("later", ["another spool", "first"])
def test_neither_a_lost_spool_nor_a_forgetful_gracedb_costs_properties(
    gracedb: StandInGraceDB, tmp_path: Path, later: str, theirs: str | None
) -> None:
    """Storm's seed 3053175: those beside another writer's probabilities were not given again."""
    events: list[Any] = [sample_alert(number)["data"] for number in (1, 2, 3)]
    announce(tmp_path / "gracedb.jsonl", events)
    (tmp_path / "first").mkdir()
    if theirs is not None:
        gracedb.tell(LogEntry(event_id="G1", filename=BOTH[0], content=theirs, label=LABEL))
    served(tmp_path / "first", ListSource(payloads(2), is_old=True), gracedb).run()
    # Of the first event the life ended between the two files, or GraceDB lost the second.
    gracedb.entries["G1"] = [e for e in gracedb.entries["G1"] if e.filename != BOTH[1]]
    (tmp_path / later).mkdir(exist_ok=True)
    made = served(tmp_path / later, ListSource(), gracedb)
    client = GraceDBClient(gracedb.url, timeout_s=20.0, settle_s=0.3, anonymous=True)
    plan = BackfillPlan(every_s=None, since=None, topics=("cbc_spiir",), properties=True)
    backfiller: Backfiller = made.backfiller(client, plan)
    assert backfiller.sweep(0.0) == 2
    made.run()
    assert all(names(gracedb, f"G{n}") == BOTH for n in (1, 2, 3))
    assert theirs in (None, gracedb.files("G1")[0].content)
    client.close()


def test_what_a_model_cannot_describe_keeps_nobody_waiting() -> None:
    class Mute(RehearsalModel):
        def describe(
            self, trigger: Trigger, probabilities: SourceProbabilities, /
        ) -> Mapping[str, object]:
            raise ZeroDivisionError(trigger.event_id, probabilities)

    decision = decide(sample_alert(1), always(Mute()), properties=True)
    assert isinstance(decision, Upload)
    assert decision.properties is None


def test_spoiled_properties_are_not_sent(spool: Spool) -> None:
    decision = decide(sample_alert(1), always(RehearsalModel()), properties=True)
    assert isinstance(decision, Upload)
    spool.accept([decision], read_at=1.0)
    spool._marks.execute("UPDATE events SET properties = CAST('{}' AS BLOB)")
    assert spool._drop_spoiled() == ["G1"]
