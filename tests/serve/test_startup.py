"""The service as a process: checked, started, signalled, killed."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from serve.chaos import rehearse_chaos

from rehearsal.sample_alerts import sample_alert, sample_alerts
from rehearsal.sample_model import RehearsalModel
from rehearsal.stage import Stage, Verdict, verdict
from rehearsal.stand_in import LogEntry, announce, read_journal
from serve.waiting import PATIENCE_S, wait_until
from spiir_pastro.errors import ConfigError
from spiir_pastro.serve import startup


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("stage"))
    stage.wait_until_up()  # what is published before the first start is not answered
    yield stage
    stage.close()


def log_of(stage: Stage) -> list[dict[str, object]]:
    lines = (stage.folder / "service.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _problems(stage: Stage) -> dict[str, str]:
    try:
        with urllib.request.urlopen(f"{stage.status_url}/healthz", timeout=PATIENCE_S) as answer:  # noqa: S310
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    assert body["status"] == ("problems" if body["problems"] else "ok")
    return dict(body["problems"])


def test_the_check_tries_everything_and_names_what_fails(stage: Stage, tmp_path: Path) -> None:
    stage.wait_until_up()
    lines = list(startup.check(stage.model, stage.config, load=RehearsalModel.load))
    assert [line.split()[0] for line in lines] == ["settings", "model", "alerts", "GraceDB"]

    text = stage.config.read_text()
    wrong = tmp_path / "listen.toml"
    wrong.write_text(text.replace('"cbc_spiir",', '"cbc_nothing",').replace("'cbc_spiir',", "'x',"))
    with pytest.raises(ConfigError, match="does not offer gracedb-playground"):
        list(startup.check(stage.model, wrong, load=RehearsalModel.load))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        wrong.write_text(text.replace(f":{stage.gracedb_port}/", f":{port}/").replace("5.0", "0.2"))
        with pytest.raises(ConfigError, match="no answer in"):
            list(startup.check(stage.model, wrong, load=RehearsalModel.load))


def test_alerts_are_answered_and_the_pages_tell(stage: Stage) -> None:
    stage.publish(list(sample_alerts(5)))
    assert stage.wait_for({f"G{n}" for n in range(1, 6)}, PATIENCE_S).is_clean
    # The first sweep may have come before GraceDB listened.
    wait_until(lambda: _problems(stage) == {})
    with urllib.request.urlopen(f"{stage.status_url}/metrics", timeout=PATIENCE_S) as answer:  # noqa: S310
        text = answer.read().decode()
    assert 'spiir_pastro_uploads_total{outcome="sent"}' in text
    with urllib.request.urlopen(stage.status_url, timeout=PATIENCE_S) as answer:  # noqa: S310
        assert "G5" in answer.read().decode()


def test_a_model_is_swapped_in_a_running_process(stage: Stage) -> None:
    stage.wait_until_up()
    RehearsalModel(slope=0.75).save(stage.model)
    assert stage.service.pid is not None
    os.kill(stage.service.pid, signal.SIGHUP)
    wait_until(lambda: any(entry["event"] == "model.swapped" for entry in log_of(stage)))
    assert stage.service.is_alive()


@contextmanager
def _cut_off(stage: Stage) -> Iterator[None]:
    """GraceDB takes connections and says nothing, and the broker is gone with alerts unanswered."""
    stage.gracedb.kill()
    stage.gracedb.join()
    with socket.create_server(("127.0.0.1", stage.gracedb_port)):
        stage.publish([sample_alert(n) for n in range(100, 110)])
        time.sleep(1.0)
        stage.broker.kill()
        time.sleep(1.0)
        try:
            yield
        finally:
            stage.broker.start()
    stage.start_gracedb()


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_sigterm_ends_it_and_loses_nothing(stage: Stage, state: str) -> None:
    stage.wait_until_up()
    with _cut_off(stage) if state == "busy" else nullcontext():
        stage.service.terminate()
        stage.service.join(PATIENCE_S)  # benchmarks/serve/latency.py measures how long it takes
        assert stage.service.exitcode == 0
        # A worker whose request times out at that very moment may say so after it.
        assert "service.stopped" in [entry["event"] for entry in log_of(stage)[-5:]]
    stage.start_service()
    expected = {entry.event_id for entry in read_journal(stage.journal)}
    if state == "busy":
        expected |= {f"G{n}" for n in range(100, 110)}
    assert stage.wait_for(expected, PATIENCE_S).is_clean


def test_a_dry_run_keeps_to_its_own_folder(stage: Stage, tmp_path: Path) -> None:
    config = tmp_path / "listen.toml"
    text = stage.config.read_text().replace(f"{stage.folder}/spool", f"{tmp_path}/spool")
    config.write_text(text.replace(f"port = {stage.http_port}", "port = 0"))
    uploads = tmp_path / "spool" / "dry-run" / "uploads"
    dry = stage.start(startup.listen, stage.model, config, load=RehearsalModel.load, dry_run=True)
    wait_until((tmp_path / "spool" / "dry-run.history.json").exists)
    stage.publish([sample_alert(200)])
    wait_until((uploads / "G200.spiir.p_astro.json").exists)
    dry.terminate()
    dry.join(PATIENCE_S)
    assert dry.exitcode == 0
    assert stage.wait_for({"G200"}, PATIENCE_S).lost == 0


def test_replay_writes_files_or_says_what_was_left(tmp_path: Path) -> None:
    RehearsalModel().save(tmp_path / "model.json")
    alert = tmp_path / "alert.json"
    alert.write_text(json.dumps(sample_alert(3)))
    counts = startup.replay(
        [alert], tmp_path / "model.json", load=RehearsalModel.load, out=tmp_path / "out"
    )
    assert counts == {"pending": 0, "done": 1, "dead_letters": 0}
    written = json.loads((tmp_path / "out" / "uploads" / "G3.spiir.p_astro.json").read_text())
    assert list(written) == ["BNS", "NSBH", "BBH", "Terrestrial"]


@pytest.mark.parametrize("is_running", [True, False])
def test_what_no_alert_brought_is_found_on_gracedb(stage: Stage, *, is_running: bool) -> None:
    number = 301 if is_running else 302
    stage.wait_until_up()
    announce(stage.journal, [sample_alert(number)["data"]])  # type: ignore[list-item]
    if not is_running:
        stage.service.terminate()
        stage.service.join(PATIENCE_S)
    since = time.time() - 3600.0
    counts = startup.backfill(since, stage.model, stage.config, load=RehearsalModel.load)
    assert (counts is None) == is_running
    assert stage.wait_for({f"G{number}"}, PATIENCE_S).lost == 0
    if not is_running:
        stage.start_service()


def test_chaos_loses_and_doubles_nothing(tmp_path: Path) -> None:
    judged, stage = rehearse_chaos(tmp_path, events=100, kills=6, seed=3, patience_s=240.0)
    assert judged.is_clean, judged
    assert stage.by_us >= 8


def test_the_judge_of_chaos_sees_what_is_wrong() -> None:
    def entry(event_id: str, *, filename: str = "f", label: str = "PASTRO_READY") -> LogEntry:
        return LogEntry(event_id=event_id, filename=filename, label=label)

    journal = [entry("G1"), entry("G2"), entry("G2"), entry("G3", label=""), entry("G9")]
    assert verdict(journal, {"G1", "G2", "G3", "G4"}) == Verdict(
        events=4, lost=1, doubled=1, unlabelled=2, strange=1
    )
