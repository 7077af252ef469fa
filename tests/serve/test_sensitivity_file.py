"""The present sensitivity: the arithmetic of ``rescale``; a bad file leaves the last good."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spiir_pastro.domain import Source, SourceProbabilities, Trigger
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.io.predictions import predict_read
from spiir_pastro.io.trigger_tables import TriggerRead, from_trigger_list
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.source_model import network_reach
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads
from spiir_pastro.serve import sensitivity_file
from spiir_pastro.serve.adjusting import Adjusted
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.sensitivity_file import LARGEST_BYTES, SensitivityFile

GOOD = {
    "schema": 1,
    "range": {"BNS": 1.5, "BBH": 2.0},
    "noise": 0.5,
    "detectors": {"H1V1": {"volume": 0.25}, "L1,H1": {"range": 2.0}},
}


def trigger(ifos: tuple[str, ...] = ("H1", "L1", "V1")) -> Trigger:
    return Trigger(
        event_id="G1",
        gps_ns=10**18,
        ifos=ifos,
        far_hz=1e-7,
        snr=9.0,
        mchirp_det=1.2,
        mtotal_det=2.8,
    )


@pytest.fixture(scope="module")
def artifact(uploads: tuple[Path, Path]) -> ModelArtifact:
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=FitSettings())
    return fit(training, read_distances(CAMPAIGN))


@pytest.fixture
def folder(artifact: ModelArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sensitivity_file, "LOOK_S", 0.0)
    write_model(artifact, tmp_path / "model.json")
    return tmp_path


def models(folder: Path) -> Models:
    health = Health()
    file = SensitivityFile(folder / "sensitivity.json", kept=folder / "kept" / "sensitivity.json")
    adjusted = Adjusted(sensitivity=file, health=health)
    return Models(
        folder / "model.json", load_model, adjusted=adjusted, metrics=Metrics(), health=health
    )


def put(folder: Path, content: str | bytes) -> None:
    """Put a file in place by renaming, as a careful job does."""
    draft = folder / "draft"
    draft.write_bytes(content if isinstance(content, bytes) else content.encode())
    draft.replace(folder / "sensitivity.json")


def said(served: Models, ifos: tuple[str, ...] = ("H1", "L1", "V1")) -> SourceProbabilities:
    return served.own.assessor.assess(trigger(ifos))


def test_probabilities_are_those_of_rescale_by_the_detectors_that_took_part(
    artifact: ModelArtifact, folder: Path
) -> None:
    put(folder, json.dumps(GOOD))
    served = models(folder)
    general = artifact.rescaled({Source.BNS: 1.5**3, Source.BBH: 8.0}, noise=0.5)
    everyone = dict.fromkeys((Source.BNS, Source.NSBH, Source.BBH), 1.0)
    assert said(served) == general.assess(trigger())
    one = artifact.rescaled(dict.fromkeys(everyone, 0.25))
    assert said(served, ("H1", "V1")) == one.assess(trigger(("H1", "V1")))
    two = artifact.rescaled(dict.fromkeys(everyone, 8.0))
    assert said(served, ("H1", "L1")) == two.assess(trigger(("H1", "L1")))
    assert served.own.expected["BBH"].mean / general.model.counts.mean[2] == pytest.approx(
        artifact_rate(artifact)
    )
    assert served.own.describe(trigger(), said(served)) is not None


def artifact_rate(artifact: ModelArtifact) -> float:
    first_ns, last_ns = artifact.provenance.gps_span_ns
    return 86_400e9 / float(last_ns - first_ns)


def test_the_name_says_by_which_file(folder: Path) -> None:
    put(folder, json.dumps(GOOD))
    served = models(folder)
    first = served.own.name
    assert "@" in first
    put(folder, json.dumps({"schema": 1, "range": 1.1}))
    served.refresh()
    assert served.own.name not in (first, first.partition("@")[0])
    assert served.own.name.startswith(first.partition("@")[0] + "@")
    put(folder, json.dumps(GOOD))
    served.refresh()
    assert served.own.name == first


def pipe(folder: Path) -> None:
    (folder / "sensitivity.json").unlink()
    os.mkfifo(folder / "sensitivity.json")


def directory(folder: Path) -> None:
    (folder / "sensitivity.json").unlink()
    (folder / "sensitivity.json").mkdir()


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda folder: (folder / "sensitivity.json").unlink(), "No such file"),
        (pipe, "no regular file"),
        (directory, "directory"),
        *(
            (lambda folder, content=content: put(folder, content), complaint)
            for content, complaint in [
                ("", "truncated"),
                ('{"schema": 1, "range": 1.2', "truncated"),
                (b"\xff\xfe{}", "malformed"),
                ("[" * 10_000, "got `array`"),
                ('{"schema": 2, "range": 1.2}', "enum"),
                ('{"range": 1.2}', "schema"),
                ('{"schema": 1, "range": NaN}', "malformed"),
                ('{"schema": 1, "range": 1e400}', "range"),
                ('{"schema": 1, "range": -1}', ">= 0.001"),
                ('{"schema": 1, "range": 0}', ">= 0.001"),
                ('{"schema": 1, "volume": {"BNS": 1e9}}', "<= 1000"),
                ('{"schema": 1, "volume": {"Terrestrial": 2}}', "neither range nor volume"),
                ('{"schema": 1, "volume": 1, "range": 1}', "keep one"),
                ('{"schema": 1, "rang": 1.2}', "unknown field"),
                ('{"schema": 1, "detectors": {"X9": {"range": 1}}}', "X9"),
                ('{"schema": 1, "detectors": {"H1L1": {}, "L1H1": {}}}', "twice"),
                (b'{"schema": 1}' + b" " * LARGEST_BYTES, "larger than"),
            ]
        ),
    ],
)
def test_a_bad_file_leaves_the_last_good_one_and_health_says_so(
    folder: Path, harm: Callable[[Path], None], complaint: str
) -> None:
    put(folder, json.dumps(GOOD))
    served = models(folder)
    before, name = said(served), served.own.name
    harm(folder)
    served.refresh()
    assert (said(served), served.own.name) == (before, name)
    problem = served.health.problems()["sensitivity"]
    assert "the last good one stays" in problem
    assert complaint in problem
    # So it does after a restart; and a good file heals it.
    again = models(folder)
    assert said(again) == before
    assert "the last good one stays" in again.health.problems()["sensitivity"]
    if (folder / "sensitivity.json").is_dir():
        (folder / "sensitivity.json").rmdir()
    put(folder, json.dumps({"schema": 1, "range": 1.0}))
    again.refresh()
    assert again.own.name != name
    assert again.health.problems() == {}


def test_without_any_good_file_the_training_holds(artifact: ModelArtifact, folder: Path) -> None:
    served = models(folder)
    assert "that of the training stays" in served.health.problems()["sensitivity"]
    assert said(served) == artifact.assess(trigger())
    assert "@" not in served.own.name


def test_a_file_that_says_nothing_changes_nothing(artifact: ModelArtifact, folder: Path) -> None:
    put(folder, '{"schema": 1}')
    p, q = said(models(folder)), artifact.assess(trigger())
    np.testing.assert_allclose([*p.as_mapping().values()], [*q.as_mapping().values()], rtol=1e-12)


def test_the_properties_told_are_those_of_predict(artifact: ModelArtifact) -> None:
    events = [replace(trigger(), mchirp_det=m, mtotal_det=2.4 * m) for m in (1.2, 2.6, 9.0, 30.0)]
    table = from_trigger_list(events)
    read = TriggerRead(triggers=table, rejects=pl.DataFrame())
    rows = predict_read(artifact.model, read, reach=network_reach(read_horizons())).to_dicts()
    for event, row in zip(events, rows, strict=True):
        told = artifact.describe(event, artifact.assess(event))
        for name in ("HasNS", "HasMassGap", "HasRemnant"):
            column = {"HasNS": "has_ns", "HasMassGap": "has_mass_gap"}.get(name, "has_remnant")
            assert told[name] == pytest.approx(row[column], abs=1e-6)
        assert told["source_mchirp"]["p50"] == pytest.approx(row["source_mchirp"], abs=1e-6)
        assert sum(told["source_mchirp_bins"]["probabilities"]) == pytest.approx(1.0, abs=1e-5)
