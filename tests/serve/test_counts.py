"""The service's own counts: as ``update`` makes them, no event twice, whatever happens."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rehearsal.sample_model import RehearsalModel
from serve.test_service import IdleSource
from serve.waiting import running, wait_until
from spiir_pastro.domain import Source, SourceProbabilities, Trigger
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.io.alerts import ALL_SKY
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.trigger_tables import to_trigger_list
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.counting import update
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads
from spiir_pastro.serve.adjusting import Adjusted
from spiir_pastro.serve.decide import Upload
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.running_counts import CountedFile, counted_path
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.settings import CountsSettings, KafkaSettings, Settings
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.upload import FileUploader

SURE = SourceProbabilities(bns=1.0, nsbh=0.0, bbh=0.0, terrestrial=0.0)


@pytest.fixture(scope="module")
def halves(uploads: tuple[Path, Path]) -> tuple[ModelArtifact, pl.DataFrame]:
    """A model of the first half of the uploads, and the second half."""
    everything = from_uploads(uploads[0], known_events_path=uploads[1], settings=FitSettings())
    is_early = pl.col("gps_ns") <= everything.labelled["gps_ns"].median()
    early = everything.labelled.filter(is_early)
    model = fit(replace(everything, labelled=early, counted=early), read_distances(CAMPAIGN))
    return model, everything.labelled.filter(~is_early).head(40)


@pytest.fixture
def late(halves: tuple[ModelArtifact, pl.DataFrame]) -> list[Trigger]:
    return to_trigger_list(halves[1])


@pytest.fixture
def folder(halves: tuple[ModelArtifact, pl.DataFrame], tmp_path: Path) -> Path:
    write_model(halves[0], tmp_path / "model.json")
    return tmp_path


def models(folder: Path) -> Models:
    health = Health()
    adjusted = Adjusted(counted=CountedFile(counted_path(folder / "spool")), health=health)
    return Models(
        folder / "model.json", load_model, adjusted=adjusted, metrics=Metrics(), health=health
    )


def counts(found: Models) -> np.ndarray:
    found.refresh()
    means: np.ndarray = found.own.assessor.model.counts.means  # type: ignore[attr-defined]
    return means


def test_the_counts_are_those_of_update(
    halves: tuple[ModelArtifact, pl.DataFrame], late: list[Trigger], folder: Path
) -> None:
    served = models(folder)
    before = served.own
    served.count(late)
    halves[1].write_csv(folder / "late.csv")
    expected, rows = update(halves[0], folder / "late.csv")
    assert rows["added"] > 10
    np.testing.assert_allclose(counts(served), expected.model.counts.means, rtol=1e-9)
    assert served.own.name != before.name
    assert served.own.digest[:12] in served.own.name
    assert served.health.problems() == {}
    # A restart goes on with the same counts, and the command can read the file.
    np.testing.assert_array_equal(counts(models(folder)), counts(served))
    assert load_model(counted_path(folder / "spool")).model.counts.mean.size == 3


def test_no_candidate_counts_twice(late: list[Trigger], folder: Path) -> None:
    served = models(folder)
    served.count(late[:20])
    once = counts(served)
    # Again, after a restart, as an update with other numbers, and as another upload of the merger.
    served.count(late[:20])
    np.testing.assert_array_equal(counts(served), once)
    again = models(folder)
    changed = [
        replace(t, far_hz=t.far_hz / 100, mchirp_det=1.3 * t.mchirp_det)  # type: ignore[operator]
        for t in late[:20]
    ]
    beside = [
        replace(t, event_id=f"{t.event_id}0", gps_ns=t.gps_ns + SECOND_NS // 2) for t in late[:20]
    ]
    again.count([*late[:20], *changed, *beside])
    np.testing.assert_array_equal(counts(again), once)
    again.count(late[:21])
    assert counts(again).sum() == pytest.approx(once.sum() + 1, abs=0.1)


def test_all_at_once_or_day_by_day_is_the_same(late: list[Trigger], folder: Path) -> None:
    served = models(folder)
    for day in range(0, 40, 10):
        served.count(late[: day + 10])
        counts(served)
    (folder / "other").mkdir()
    (folder / "other" / "model.json").write_bytes((folder / "model.json").read_bytes())
    at_once = models(folder / "other")
    at_once.count(late)
    np.testing.assert_allclose(counts(served), counts(at_once), rtol=1e-6)


def test_what_the_model_was_trained_on_is_not_counted_again(
    halves: tuple[ModelArtifact, pl.DataFrame], folder: Path, uploads: tuple[Path, Path]
) -> None:
    everything = from_uploads(uploads[0], known_events_path=uploads[1], settings=FitSettings())
    served = models(folder)
    before = counts(served)
    early = everything.labelled.filter(pl.col("gps_ns") < halves[1]["gps_ns"].min())
    served.count(to_trigger_list(early))
    np.testing.assert_array_equal(counts(served), before)
    assert not counted_path(folder / "spool").exists()


def test_a_new_model_begins_anew_and_a_damaged_file_costs_nothing_but_time(
    halves: tuple[ModelArtifact, pl.DataFrame], late: list[Trigger], folder: Path
) -> None:
    served = models(folder)
    served.count(late)
    counted = counts(served)
    write_model(replace(halves[0], version="another"), folder / "model.json")
    restarted = models(folder)
    np.testing.assert_array_equal(counts(restarted), halves[0].model.counts.means)
    restarted.count(late)
    np.testing.assert_allclose(counts(restarted), counted, rtol=1e-9)
    path = counted_path(folder / "spool")
    path.write_bytes(path.read_bytes()[:-100])
    mended = models(folder)
    np.testing.assert_array_equal(counts(mended), halves[0].model.counts.means)
    mended.count(late)
    np.testing.assert_allclose(counts(mended), counted, rtol=1e-9)


def test_a_model_without_counts_is_told_by_health(tmp_path: Path, late: list[Trigger]) -> None:
    RehearsalModel().save(tmp_path / "model.json")
    health = Health()
    adjusted = Adjusted(counted=CountedFile(tmp_path / "counted.json"), health=health)
    served = Models(
        tmp_path / "model.json",
        RehearsalModel.load,
        adjusted=adjusted,
        metrics=Metrics(),
        health=health,
    )
    served.count(late)
    assert "only a model that fit wrote" in health.problems()["counts"]
    assert isinstance(served.own.assessor, RehearsalModel)


def test_the_spool_gives_candidates_of_the_own_search_as_last_answered(
    spool: Spool, late: list[Trigger]
) -> None:
    def upload(trigger: Trigger, search: str = ALL_SKY) -> Upload:
        return Upload(trigger=trigger, probabilities=SURE, model="m", search=search)

    first, second, injected = late[:3]
    spool.accept([upload(first), upload(second), upload(injected, "vtinjection")], read_at=10.0)
    later = replace(first, far_hz=1e-20)
    changed = replace(
        upload(later),
        probabilities=SourceProbabilities(bns=0.5, nsbh=0.5, bbh=0.0, terrestrial=0.0),
    )
    spool.accept([changed], read_at=20.0, updates=True)
    spool.accept([upload(late[3])], read_at=30.0)
    assert spool.candidates(ALL_SKY, read_before=25.0) == [later, second]
    assert json.loads(spool._marks.execute("SELECT candidate FROM events").fetchone()[0])
    assert spool.candidates(ALL_SKY, read_before=time.time())[-1] == late[3]


def test_a_service_counts_once_a_day_and_after_a_restart(
    late: list[Trigger], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.service.HOUSEKEEPING_S", 0.02)
    monkeypatch.setattr("spiir_pastro.serve.service.SETTLED_S", -60.0)

    def life() -> Service:
        made = Service(
            Settings(
                schema=1,
                spool=str(folder / "spool"),
                kafka=KafkaSettings(consumer_group="g", topics=["t"]),
                counts=CountsSettings(update_hours=24.0),
            ),
            spool=Spool(folder / "spool"),
            model=models(folder),
            source=IdleSource(),
            make_uploader=lambda: FileUploader(folder / "out"),
        )
        new = [Upload(trigger=t, probabilities=SURE, model="m") for t in late[:20]]
        made.spool.accept(new, read_at=time.time())
        return made

    first = life()
    before = first.model.own.name
    with running(first):
        wait_until(lambda: first.model.own.name != before)
        wait_until(lambda: first.spool.fact("counted_at") is not None)
        after = first.model.own.name
    second = life()
    with running(second):
        time.sleep(0.5)
        assert second.model.own.name == after
        assert second.health.problems() == {}


def test_counts_that_cannot_go_on_do_with_a_model_fitted_anew(
    halves: tuple[ModelArtifact, pl.DataFrame], late: list[Trigger], folder: Path
) -> None:
    write_model(halves[0].rescaled({Source.BNS: 2.0}), folder / "model.json")
    served = models(folder)
    before = served.own.name
    served.count(late)
    assert "were rescaled" in served.health.problems()["counts"]
    assert served.own.name == before
    write_model(halves[0], folder / "model.json")
    wait_until(lambda: served.refresh(forced=True) or served.own.name != before)
    served.count(late)
    assert served.health.problems() == {}
    assert counts(served).sum() > halves[0].model.counts.means.sum() + 10
