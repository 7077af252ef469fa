"""The loop: at least once from the source, exactly once to GraceDB, through whatever happens."""

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import structlog

from rehearsal.sample_alerts import other_alerts, sample_alert, sample_alerts
from rehearsal.sample_model import RehearsalModel, always
from rehearsal.stand_in import Faults, StandInGraceDB
from serve.waiting import run_until, running, wait_until
from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import TriggerError
from spiir_pastro.io.alerts import parse_alert
from spiir_pastro.serve.alert_source import FileSource
from spiir_pastro.serve.consumer import Message
from spiir_pastro.serve.decide import Upload, decide
from spiir_pastro.serve.gracedb_client import GraceDBClient
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.settings import GraceDBSettings, KafkaSettings, Settings
from spiir_pastro.serve.spool import Spool, browse
from spiir_pastro.serve.spool_file import SpoolDamaged
from spiir_pastro.serve.upload import FileUploader, GraceDBUploader


class ListSource:
    """Batches given one after another; notes what is done."""

    def __init__(self, *batches: list[bytes], is_old: bool = False) -> None:
        self.batches = list(batches)
        self.is_old = is_old
        self.finished: list[bytes] = []

    def poll(self, timeout_s: float) -> list[Message] | None:
        del timeout_s
        if not self.batches:
            return None
        return [
            Message(topic="t", payload=payload, is_old=self.is_old)
            for payload in self.batches.pop(0)
        ]

    def done(self, messages: Sequence[Message]) -> None:
        self.finished += [message.payload for message in messages]

    def close(self) -> None:
        """Nothing is held."""


def payloads(count: int) -> list[bytes]:
    return [json.dumps(alert).encode() for alert in sample_alerts(count)]


def settings(folder: Path, url: str, timeout_s: float, settle_s: float) -> Settings:
    return Settings(
        schema=1,
        spool=str(folder / "spool"),
        kafka=KafkaSettings(consumer_group="g", topics=["t"]),
        gracedb=GraceDBSettings(
            url=url,
            timeout_s=timeout_s,
            settle_s=settle_s,
            retry_base_s=0.02,
            workers=2,
            anonymous=True,
        ),
    )


def service(
    folder: Path,
    source: ListSource | FileSource,
    url: str,
    *,
    timeout_s: float = 20.0,
    settle_s: float = 0.3,
) -> Service:
    if not (folder / "model.json").exists():
        RehearsalModel().save(folder / "model.json")
    return Service(
        settings(folder, url, timeout_s, settle_s),
        spool=Spool(folder / "spool"),
        model=Models(
            folder / "model.json", RehearsalModel.load, metrics=Metrics(), health=Health()
        ),
        source=source,
        make_uploader=lambda: GraceDBUploader(
            GraceDBClient(url, timeout_s=timeout_s, settle_s=settle_s, anonymous=True)
        ),
    )


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"spiir_pastro_{name}", labels) or 0.0


def files(gracedb: StandInGraceDB) -> dict[str, int]:
    return {event: len(gracedb.files(event)) for event in gracedb.entries}


def test_every_event_is_answered_once_though_topics_repeat_it(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    batch = payloads(5)
    source = ListSource(batch + batch[:2], batch, other_alerts())
    served = service(tmp_path, source, gracedb.url)
    assert served.run() == {"pending": 0, "done": 5, "dead_letters": 3}
    assert files(gracedb) == dict.fromkeys([f"G{n}" for n in range(1, 6)], 1)
    assert all(gracedb.labels(event) == {"PASTRO_READY"} for event in gracedb.entries)
    assert source.finished == [*batch, *batch[:2], *batch, *other_alerts()]
    assert value(served.metrics, "duplicates_total") == 7
    assert value(served.metrics, "skipped_total", reason="early_warning") == 1
    assert len(list((tmp_path / "spool" / "dead-letters").iterdir())) == 3
    content = json.loads(gracedb.files("G1")[0].content)
    trigger_p = RehearsalModel().assess(trigger_of(1))
    assert SourceProbabilities.from_mapping(content) == trigger_p


def trigger_of(number: int) -> Trigger:
    return parse_alert(sample_alert(number)).trigger()


def test_a_restart_remembers_what_is_done(gracedb: StandInGraceDB, tmp_path: Path) -> None:
    service(tmp_path, ListSource(payloads(3)), gracedb.url).run()
    assert service(tmp_path, ListSource(payloads(4)), gracedb.url).run()["done"] == 4
    assert set(files(gracedb).values()) == {1}


def test_what_gracedb_would_not_take_goes_later_also_after_a_restart(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    gracedb.faults = Faults(unavailable=1.0)
    first = service(tmp_path, ListSource(payloads(3)), gracedb.url)
    held_up = run_until(first, lambda: "gracedb" in first.health.problems())
    assert held_up == {"pending": 3, "done": 0, "dead_letters": 0}
    assert "not taken: GraceDB answered 503" in first.health.problems()["gracedb"]
    gracedb.faults = Faults()
    assert service(tmp_path, ListSource(), gracedb.url).run()["done"] == 3
    assert files(gracedb) == {"G1": 1, "G2": 1, "G3": 1}


def test_an_alert_older_than_the_service_is_looked_up_first(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    service(tmp_path, ListSource(payloads(2)), gracedb.url).run()
    old = ListSource(payloads(3), is_old=True)
    other = tmp_path / "after the first spool was lost"
    other.mkdir()
    assert service(other, old, gracedb.url).run()["done"] == 3
    assert files(gracedb) == {"G1": 1, "G2": 1, "G3": 1}


def test_faults_of_every_kind_lose_and_double_nothing(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    each = 0.06
    gracedb.faults = Faults(
        error=each,
        busy=0.01,
        unavailable=0.01,
        half=each,
        cut_before=each,
        cut_after=each,
        stall_before=0.02,
        stall_after=0.02,
        stall_s=0.5,
    )
    served = service(tmp_path, ListSource(payloads(40)), gracedb.url, timeout_s=0.3, settle_s=3.0)
    assert served.run()["done"] == 40
    assert files(gracedb) == dict.fromkeys([f"G{n}" for n in range(1, 41)], 1)
    assert all(gracedb.labels(event) == {"PASTRO_READY"} for event in gracedb.entries)


def test_a_model_that_crashes_costs_a_dead_letter_and_no_more(
    gracedb: StandInGraceDB, tmp_path: Path, logs: list[structlog.typing.EventDict]
) -> None:
    class Fragile(RehearsalModel):
        def assess(self, trigger: Trigger, /) -> SourceProbabilities:
            if trigger.event_id == "G2":
                raise ZeroDivisionError("a bug")
            return super().assess(trigger)

    served = service(tmp_path, ListSource(payloads(3)), gracedb.url)
    slot = served.model._slots["allsky"]
    slot.model = replace(slot.model, assessor=Fragile())
    assert served.run()["done"] == 2
    assert value(served.metrics, "dead_letters_total", reason="crashed") == 1
    assert any(entry["event"] == "alert.crashed" for entry in logs)


def test_nothing_is_committed_before_it_is_on_disk(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.service.SPOOL_RETRY_S", 0.02)
    source = ListSource(payloads(2), [b"rubbish"])
    served = service(tmp_path, source, gracedb.url)
    accept, keep, failures = served.spool.accept, served.letters.keep, iter("abcd")

    def failing(write: Callable[..., object]) -> Callable[..., object]:
        def attempt(*args: object, **kwargs: object) -> object:
            if next(failures, None):
                assert payloads(2)[0] not in source.finished or write == keep
                assert b"rubbish" not in source.finished
                raise sqlite3.OperationalError("disk full") if write == accept else OSError("full")
            return write(*args, **kwargs)

        return attempt

    monkeypatch.setattr(served.spool, "accept", failing(accept))
    monkeypatch.setattr(served.letters, "keep", failing(keep))
    assert served.run()["done"] == 2
    assert next(failures, None) is None
    assert source.finished == [*payloads(2), b"rubbish"]


def test_told_to_stop_while_the_disk_is_full_it_commits_nothing(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ListSource(payloads(2))
    served = service(tmp_path, source, gracedb.url)

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(served.spool, "accept", full)
    run_until(served, lambda: "spool" in served.health.problems())
    assert source.finished == []
    assert files(gracedb) == {}


def test_told_to_stop_while_a_dead_letter_cannot_be_kept_it_commits_nothing(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ListSource([b"rubbish"])
    served = service(tmp_path, source, gracedb.url)

    def full(payload: bytes) -> None:
        raise OSError(28, f"No space left on device, {len(payload)}")

    monkeypatch.setattr(served.letters, "keep", full)
    run_until(served, lambda: "spool" in served.health.problems())
    assert source.finished == []


def test_a_full_disk_is_over_when_it_is_over(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.service.HOUSEKEEPING_S", 0.05)
    served = service(tmp_path, IdleSource(), gracedb.url)
    note, is_full = served.spool.note, threading.Event()

    def maybe(name: str, value: float) -> None:
        if is_full.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        note(name, value)

    monkeypatch.setattr(served.spool, "note", maybe)
    with running(served):
        is_full.set()
        wait_until(lambda: "full" in served.health.problems().get("spool", ""))
        is_full.clear()
        wait_until(lambda: not served.health.problems())


def test_a_damaged_or_deleted_spool_ends_this_life(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.service.HOUSEKEEPING_S", 0.05)
    served = service(tmp_path, IdleSource(), gracedb.url)
    shutil.rmtree(tmp_path / "spool")
    with pytest.raises(SpoolDamaged, match="taken away"):
        served.run()
    again = service(tmp_path, IdleSource(), gracedb.url)

    def damaged(name: str, value: float) -> None:
        raise sqlite3.DatabaseError(f"database disk image is malformed, {name} {value}")

    monkeypatch.setattr(again.spool, "note", damaged)
    with pytest.raises(SpoolDamaged, match="malformed"):
        again.run()


def test_damage_that_a_read_comes_upon_is_salvaged_by_the_next_start(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = service(tmp_path, IdleSource(), gracedb.url)

    def damaged() -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(served.spool, "pending", damaged)
    with pytest.raises(SpoolDamaged, match="malformed"):
        served.run()
    with closing(Spool(tmp_path / "spool")) as again:
        assert again.salvaged is not None


class IdleSource(ListSource):
    def poll(self, timeout_s: float) -> list[Message] | None:
        time.sleep(timeout_s / 4)
        return []


def test_the_model_is_taken_up_on_request(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.service.HOUSEKEEPING_S", 60.0)
    served = service(tmp_path, IdleSource(), gracedb.url)
    with running(served):
        before = served.model.own
        RehearsalModel(slope=0.7).save(tmp_path / "model.json")
        served.reload()
        wait_until(lambda: served.model.own != before)


def test_the_gauges_and_the_page_say_how_things_are(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    gracedb.faults = Faults(unavailable=1.0)
    served = service(tmp_path, ListSource(payloads(3)), gracedb.url)
    served.settings = msgspec.structs.replace(
        served.settings,
        drift=msgspec.structs.replace(served.settings.drift, per_day={"alerts": 1e6}),
    )
    with running(served):
        wait_until(lambda: "gracedb" in served.health.problems())
        served.reload()
        wait_until(lambda: value(served.metrics, "problem", part="gracedb") == 1)
        assert value(served.metrics, "spool_events", state="pending") == 3
        assert value(served.metrics, "healthy") == 0
        assert value(served.metrics, "drift_observed", what="alerts") == 3
        assert value(served.metrics, "drift_expected", what="alerts") > 0
        status = served.status()
    assert {record.event_id for record in status.records} == {"G1", "G2", "G3"}
    assert status.figures["waiting in the spool"] == "3"


def test_recorded_alerts_replay_through_the_same_code(tmp_path: Path) -> None:
    paths = []
    for number, payload in enumerate([*payloads(3), b"rubbish"]):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_bytes(payload)
    RehearsalModel().save(tmp_path / "model.json")
    served = Service(
        settings(tmp_path, "http://127.0.0.1:1/", 1.0, 1.0),
        spool=Spool(tmp_path / "spool"),
        model=Models(
            tmp_path / "model.json", RehearsalModel.load, metrics=Metrics(), health=Health()
        ),
        source=FileSource(paths),
        make_uploader=lambda: FileUploader(tmp_path / "out"),
    )
    assert served.run() == {"pending": 0, "done": 3, "dead_letters": 1}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"G{n}.spiir.p_astro.json" for n in (1, 2, 3)
    ]


def updated(number: int, far_hz: float, kind: str = "update") -> bytes:
    alert = json.loads(json.dumps(sample_alert(number)))
    alert["data"]["extra_attributes"]["CoincInspiral"]["combined_far"] = far_hz
    alert |= {"alert_type": kind, "object": alert["data"]}
    return json.dumps(alert).encode()


def test_a_later_alert_with_another_far_is_a_new_version_once_if_the_settings_say_so(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    first = json.dumps(sample_alert(1)).encode()
    later = [updated(1, 1e-15), updated(1, 1e-20), updated(1, 1e-15), first]
    batches = [first, *later, *later, updated(2, 1e-15)]
    served = service(tmp_path, ListSource(batches), gracedb.url)
    served.settings = msgspec.structs.replace(served.settings, updates=True)
    assert served.run()["done"] == 2
    (last, *_), versions = gracedb.files("G1")[::-1], len(gracedb.files("G1"))
    # Of answers that come at once the last one counts; each is sent once at most.
    assert 1 <= versions <= 3
    assert len({entry.content for entry in gracedb.files("G1")}) == versions
    expected = RehearsalModel().assess(parse_alert(updated(1, 1e-20)).trigger())
    assert json.loads(last.content) == expected.as_mapping()
    assert len(gracedb.files("G2")) == 1


def test_without_that_setting_an_update_changes_nothing(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    alerts = [json.dumps(sample_alert(1)).encode(), updated(1, 1e-20), updated(1, 1e-20, "new")]
    served = service(tmp_path, ListSource(alerts), gracedb.url)
    assert served.run()["done"] == 1
    assert files(gracedb) == {"G1": 1}
    assert value(served.metrics, "skipped_total", reason="other_type") == 1


def test_comment_log_line_spool_row_and_page_name_the_model(
    gracedb: StandInGraceDB, tmp_path: Path, logs: list[structlog.typing.EventDict]
) -> None:
    served = service(tmp_path, ListSource(payloads(1)), gracedb.url)
    name = served.model.own.name
    served.run()
    assert gracedb.files("G1")[0].comment == f"SPIIR source probabilities, model {name}"
    assert [e["model"] for e in logs if e["event"] == "upload.done"] == [name]
    assert [record.model for record in browse(tmp_path / "spool")] == [name]


class WaitingSource(ListSource):
    """Gives what it has, and then nothing for ever."""

    def poll(self, timeout_s: float) -> list[Message] | None:
        time.sleep(timeout_s / 4)
        return super().poll(timeout_s) if self.batches else []


class Particular(RehearsalModel):
    """A model that cannot make anything of G2."""

    def assess(self, trigger: Trigger, /) -> SourceProbabilities:
        if trigger.event_id == "G2":
            raise TriggerError("trigger G2: not mine")
        return super().assess(trigger)


def test_what_a_model_could_not_answer_is_answered_by_the_next(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    served = service(tmp_path, WaitingSource([*payloads(2), b"rubbish"]), gracedb.url)
    slot = served.model._slots["allsky"]
    slot.model = replace(slot.model, assessor=Particular())
    with running(served):
        wait_until(lambda: len(served.letters) == 2)
        assert served.spool.find("G2") is None
        RehearsalModel(slope=0.7).save(tmp_path / "model.json")
        served.reload()
        wait_until(lambda: served.spool.counts()["done"] == 2)
        assert [entry.comment for entry in gracedb.files("G2")] == [
            f"SPIIR source probabilities, model {served.model.own.name}"
        ]
        assert len(served.letters) == 1


def test_what_was_not_answered_is_tried_again_at_the_next_start(
    gracedb: StandInGraceDB, tmp_path: Path
) -> None:
    served = service(tmp_path, ListSource(payloads(2)), gracedb.url)
    slot = served.model._slots["allsky"]
    slot.model = replace(slot.model, assessor=Particular())
    assert served.run() == {"pending": 0, "done": 1, "dead_letters": 1}
    again = service(tmp_path, ListSource([]), gracedb.url)
    assert again.run() == {"pending": 0, "done": 2, "dead_letters": 0}
    assert files(gracedb) == {"G1": 1, "G2": 1}


def test_gauges_speak_the_truth_though_the_loop_hangs(
    gracedb: StandInGraceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = service(tmp_path, ListSource([]), gracedb.url)
    assert value(served.metrics, "healthy") == 1
    served.health.report("kafka", "down")
    assert value(served.metrics, "healthy") == 0
    assert value(served.metrics, "problem", part="kafka") == 1
    served.health.clear("kafka")
    monkeypatch.setattr("spiir_pastro.serve.health.STALLED_AFTER_S", -1.0)
    assert value(served.metrics, "problem", part="loop") == 1
    monkeypatch.undo()

    decision = decide(sample_alert(1), always(RehearsalModel()))
    assert isinstance(decision, Upload)
    served.spool.accept([decision], read_at=time.time() - 100)
    assert value(served.metrics, "spool_events", state="pending") == 1
    assert value(served.metrics, "spool_oldest_seconds") >= 100
    served.spool.close()
    said = served.metrics.exposition().decode()
    assert "spiir_pastro_healthy 0.0" in said
    assert 'spiir_pastro_problem{part="spool"} 1.0' in said
    assert "spiir_pastro_spool_events{" not in said
