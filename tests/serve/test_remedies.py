"""Every remedy of the operations guide, carried out.

``REMEDIES`` names the test of each; those that no other file has stand here.
"""

import ast
import errno
import json
import os
import re
import shutil
import signal
import socket
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from rehearsal.sample_alerts import sample_alert
from rehearsal.sample_model import RehearsalModel
from rehearsal.stage import Stage
from rehearsal.stand_in import Faults, StandInGraceDB, announce
from serve.waiting import PATIENCE_S, running, wait_until
from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import ConfigError, TriggerError
from spiir_pastro.serve.alert_source import FileSource
from spiir_pastro.serve.clock import SystemClock
from spiir_pastro.serve.consumer import Message
from spiir_pastro.serve.gracedb_client import GraceDBClient
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.history import history_path, recall_first_start
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.settings import GraceDBSettings, KafkaSettings, Settings
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.sweeps import BackfillPlan
from spiir_pastro.serve.upload import GraceDBUploader

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "how-to" / "serve.md"
SHIFT = GUIDE.with_name("shift.md")

REMEDIES = {
    "`kafka`: `_AUTHENTICATION`, `SASL`": "credentials.test_the_right_credentials_pass",
    "`kafka`: `certificate verify failed`": "credentials.test_the_right_credentials_pass",
    "`kafka`: `_TRANSPORT`, `_ALL_BROKERS_DOWN`": (
        "alert_source.test_it_starts_while_the_broker_is_down_and_survives_its_death"
    ),
    "`topics`": "alert_source.test_a_topic_that_appears_is_read_from_its_beginning",
    "`gracedb`: answered 5xx, cannot be reached": (
        "service.test_what_gracedb_would_not_take_goes_later_also_after_a_restart"
    ),
    "`gracedb`: answered 401 or 403": "remedies.test_what_a_bad_token_held_up_goes_at_a_reload",
    "`gracedb`: answered 404": "remedies.test_an_event_that_appears_late_is_answered",
    "`spool`": "service.test_a_full_disk_is_over_when_it_is_over",
    "`backfill`": "remedies.test_a_search_of_gracedb_that_failed_is_made_again",
    "`history`": "remedies.test_the_first_start_is_written_down_once_the_folder_allows_it",
    "`dead-letters`": "remedies.test_dead_letters_taken_away_make_room",
    "`model`": "searches.test_each_model_is_replaced_for_itself_and_told_by_its_search",
    "`sensitivity`": "sensitivity_file.test_a_bad_file_leaves_the_last_good_one_and_health_says_so",
    "`counts`": "counts.test_counts_that_cannot_go_on_do_with_a_model_fitted_anew",
    "`standby`": "standby.test_a_broker_that_does_not_confirm_is_a_problem_while_the_seat_is_ours",
    "`status`": "parts.test_a_port_in_use_is_a_problem_that_ends_when_it_is_free",
    "`loop`": "remedies.test_a_process_that_hangs_is_silent_and_may_be_killed",
    "**A new model**": "startup.test_a_model_is_swapped_in_a_running_process",
    "**Back to the old model**": "model_slot.test_a_new_model_is_taken_up_and_a_bad_one_refused",
    "**Dead letters**": "remedies.test_dead_letters_are_replayed_with_a_spool_of_their_own",
    "**A search that nobody answers**": (
        "remedies.test_a_search_that_was_not_answered_is_found_once_a_model_is_named"
    ),
    "**Events that were missed**": "startup.test_what_no_alert_brought_is_found_on_gracedb",
    "**A second host**": "standby.test_two_hosts_answer_each_event_once_though_one_is_paused",
    "**A lost spool**": "remedies.test_a_lost_spool_costs_nothing_but_time",
    "**A damaged spool**": "spool.test_a_damaged_page_costs_only_what_it_held",
}
"""Of each row and bold paragraph of the guide's section, the test: ``file.name``."""

ON_SHIFT = {
    "**Within the last day**": "remedies.test_a_search_of_gracedb_that_failed_is_made_again",
    "**Longer ago**": "startup.test_what_no_alert_brought_is_found_on_gracedb",
    "**GraceDB was restored from a copy**": "sweeps.test_answers_that_gracedb_lost_are_given_again",
    "**The one on duty died, hangs or is cut off**": (
        "standby.test_two_hosts_answer_each_event_once_though_one_is_paused"
    ),
    "**Work on the one on duty**": (
        "standby.test_two_hosts_answer_each_event_once_though_one_is_paused"
    ),
    "**Nobody is on duty**": (
        "standby.test_a_broker_that_does_not_confirm_is_a_problem_while_the_seat_is_ours"
    ),
}
"""The same of the page for who is on shift."""


def test_every_remedy_of_the_guide_has_a_test() -> None:
    section = GUIDE.read_text().split("## When something is wrong")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| ", section, flags=re.MULTILINE)[1:]
    paragraphs = re.findall(r"^(\*\*.+?\*\*)", section, flags=re.MULTILINE)
    assert [*rows, *paragraphs] == list(REMEDIES)
    on_shift = re.findall(r"^(\*\*.+?\*\*)", SHIFT.read_text(), flags=re.MULTILINE)
    assert on_shift == list(ON_SHIFT)
    for test in (*REMEDIES.values(), *ON_SHIFT.values()):
        file, _, name = test.partition(".")
        tree = ast.parse((HERE / f"test_{file}.py").read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


class Quiet:
    """A source that gives what it was given, then nothing."""

    def __init__(self, *payloads: dict[str, object]) -> None:
        self.payloads = [json.dumps(payload).encode() for payload in payloads]

    def poll(self, timeout_s: float) -> list[Message] | None:
        time.sleep(timeout_s / 10)
        given = [Message(topic="t", payload=p, is_old=False) for p in self.payloads]
        self.payloads.clear()
        return given

    def done(self, messages: object) -> None:
        del messages

    def close(self) -> None:
        """Nothing is held."""


class Night:
    """A service on shift, with what goes wrong on one."""

    def __init__(self, folder: Path, gracedb: StandInGraceDB) -> None:
        self.folder, self.gracedb = folder, gracedb
        RehearsalModel().save(folder / "model.json")
        self.settings = Settings(
            schema=1,
            spool=str(folder / "spool"),
            kafka=KafkaSettings(consumer_group="g", topics=["cbc_spiir"]),
            gracedb=GraceDBSettings(
                url=gracedb.url, timeout_s=20, settle_s=0.2, retry_base_s=0.05, anonymous=True
            ),
        )
        self.searches: dict[str, Path] = {}

    def announce(self, *events: dict[str, object]) -> None:
        """Have events on GraceDB."""
        announce(self.folder / "gracedb.jsonl", events)

    def client(self) -> GraceDBClient:
        return GraceDBClient(self.gracedb.url, timeout_s=20, settle_s=0.2, anonymous=True)

    def service(self, *alerts: dict[str, object], files: list[Path] | None = None) -> Service:
        return Service(
            self.settings,
            spool=Spool(Path(self.settings.spool)),
            model=Models(
                self.folder / "model.json",
                RehearsalModel.load,
                searches=self.searches,
                metrics=Metrics(),
                health=Health(),
            ),
            source=FileSource(files) if files is not None else Quiet(*alerts),
            make_uploader=lambda: GraceDBUploader(self.client()),
        )

    def search_gracedb(self, service: Service) -> None:
        plan = BackfillPlan(every_s=3600.0, since=0.0, topics=("cbc_spiir",))
        service.search_gracedb(self.client(), plan)


@pytest.fixture
def night(tmp_path: Path, gracedb: StandInGraceDB) -> Night:
    return Night(tmp_path, gracedb)


def test_what_a_bad_token_held_up_goes_at_a_reload(night: Night) -> None:
    night.gracedb.faults = Faults(unauthorized=1.0)
    served = night.service(sample_alert(1), sample_alert(2))
    with running(served):
        wait_until(lambda: "answered 401" in served.health.problems().get("gracedb", ""))
        night.gracedb.faults = Faults()
        served.reload()
        wait_until(lambda: served.spool.counts() == {"pending": 0, "done": 2})
        assert "gracedb" not in served.health.problems()
    assert answered(night) == {"G1": 1, "G2": 1}


def test_an_event_that_appears_late_is_answered(night: Night) -> None:
    night.gracedb.faults = Faults(missing=1.0)
    served = night.service(sample_alert(1))
    with running(served):
        wait_until(lambda: "answered 404" in served.health.problems().get("gracedb", ""))
        night.gracedb.faults = Faults()
        wait_until(lambda: served.spool.counts()["done"] == 1)
        wait_until(lambda: served.health.problems() == {})
    assert answered(night) == {"G1": 1}


def test_a_search_of_gracedb_that_failed_is_made_again(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.sweeps.AGAIN_S", 0.1)
    monkeypatch.setattr("spiir_pastro.serve.sweeps.LOOK_S", 0.05)
    night.announce(event(1))
    night.gracedb.faults = Faults(unavailable=1.0)
    served = night.service()
    with running(served):
        night.search_gracedb(served)
        wait_until(lambda: "backfill" in served.health.problems())
        night.gracedb.faults = Faults()
        wait_until(lambda: served.spool.counts()["done"] == 1)
        wait_until(lambda: served.health.problems() == {})
    assert answered(night) == {"G1": 1}


def test_the_first_start_is_written_down_once_the_folder_allows_it(tmp_path: Path) -> None:
    folder = tmp_path / "closed" / "spool"
    blocking = history_path(folder)
    blocking.mkdir(parents=True)  # root may write anywhere, but not over a folder
    health, clock = Health(), SystemClock()
    with closing(Spool(folder)) as spool:
        first = recall_first_start(spool, clock=clock, health=health)
        assert "cannot be written" in health.problems()["history"]
        blocking.rmdir()
        assert health.problems() == {}
    shutil.rmtree(folder)
    with closing(Spool(folder)) as spool:
        spool.note("first_start", first - 100.0)  # damaged: the file outside is believed
        assert recall_first_start(spool, clock=clock, health=health) == first
        assert spool.fact("first_start") == first


def test_a_first_start_that_can_be_kept_nowhere_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start took a later moment for it, and what had come between was never answered."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "spool"
    with closing(Spool(folder)) as spool:
        with monkeypatch.context() as full:
            full.setattr(spool, "note", fail)
            full.setattr(spool.file.disk, "write", fail)
            with pytest.raises(ConfigError, match="make room"):
                recall_first_start(spool, clock=SystemClock(), health=Health())
        assert not history_path(folder).exists()
        recall_first_start(spool, clock=SystemClock(), health=Health())
        assert history_path(folder).exists()


def test_dead_letters_taken_away_make_room(night: Night) -> None:
    served = night.service()
    served.letters.limit = 1
    served.letters.keep(b"rubbish")
    with running(served):
        assert "is full" in served.health.problems()["dead-letters"]
        for path in served.letters.folder.iterdir():
            path.unlink()
        served.metrics.exposition()  # what Prometheus asks for every few seconds
        assert served.health.problems() == {}
        assert served.letters.keep(b"other rubbish") is not None


def test_dead_letters_are_replayed_with_a_spool_of_their_own(night: Night) -> None:
    class Helpless(RehearsalModel):
        def assess(self, trigger: Trigger, /) -> SourceProbabilities:
            raise TriggerError(f"trigger {trigger.event_id}: no idea")

    served = night.service(sample_alert(1), sample_alert(2))
    slot = served.model._slots["allsky"]
    slot.model = replace(slot.model, assessor=Helpless())
    with running(served):
        wait_until(lambda: len(served.letters) == 2)
    kept = sorted(served.letters.folder.iterdir())
    night.settings = msgspec.structs.replace(night.settings, spool=f"{night.folder}/replay")
    for _ in range(2):  # a second time finds them there
        assert night.service(files=kept).run()["done"] == 2
    assert answered(night) == {"G1": 1, "G2": 1}


def test_a_search_that_was_not_answered_is_found_once_a_model_is_named(night: Night) -> None:
    alert = sample_alert(1) | {"data": event(1) | {"search": "MDC"}}
    night.announce(event(1) | {"search": "MDC"})
    served = night.service(alert)
    with running(served):
        wait_until(lambda: skipped(served, "other_search") == 1)
    assert answered(night) == {}
    night.searches = {"mdc": night.folder / "model.json"}
    again = night.service()
    with running(again):
        night.search_gracedb(again)
        wait_until(lambda: again.spool.counts()["done"] == 1)
    assert answered(night) == {"G1": 1}


def test_a_lost_spool_costs_nothing_but_time(night: Night) -> None:
    night.announce(event(1), event(2))
    served = night.service(sample_alert(1))
    with running(served):
        wait_until(lambda: served.spool.counts()["done"] == 1)
    shutil.rmtree(served.spool.folder)
    again = night.service()
    with running(again):
        night.search_gracedb(again)
        wait_until(lambda: again.spool.counts()["done"] >= 1)
        wait_until(lambda: not again.spool.pending())
    assert answered(night) == {"G1": 1, "G2": 1}


def test_a_process_that_hangs_is_silent_and_may_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As systemd does it: no word for longer than the watchdog allows, so SIGKILL and a start."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        stage = Stage(tmp_path)
        try:
            systemd.settimeout(PATIENCE_S)
            assert b"WATCHDOG=1" in systemd.recv(999)
            stage.wait_until_up()
            os.kill(stage.service.pid or 0, signal.SIGSTOP)
            systemd.settimeout(2.0)
            with suppress(TimeoutError):
                while systemd.recv(999):  # what was said before
                    pass
            stage.service.kill()
            stage.service.join()
            stage.publish([sample_alert(1)])
            stage.start_service()
            systemd.settimeout(PATIENCE_S)
            assert b"READY=1" in systemd.recv(999)
            assert stage.wait_for({"G1"}, PATIENCE_S).is_clean
        finally:
            stage.close()


def event(number: int) -> dict[str, object]:
    """What GraceDB's list of events says of one."""
    data = sample_alert(number)["data"]
    assert isinstance(data, dict)
    return data


def answered(night: Night) -> dict[str, int]:
    files = {name: len(night.gracedb.files(name)) for name in night.gracedb.entries}
    return {name: count for name, count in sorted(files.items()) if count}


def skipped(served: Service, reason: str) -> float:
    labels = {"reason": reason}
    return served.metrics.registry.get_sample_value("spiir_pastro_skipped_total", labels) or 0.0
