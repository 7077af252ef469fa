"""Counts of other candidates, of new ones and of other ranges."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import app
from spiir_pastro.domain import Source
from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.counting import counting, update
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import TrainingSet, from_uploads
from tolerances import ROUNDING

SETTINGS = FitSettings()


@pytest.fixture(scope="module")
def halves(uploads: tuple[Path, Path]) -> tuple[TrainingSet, TrainingSet, pl.DataFrame]:
    """Uploads of which half is labelled; all of them counted, or that half; and the other half."""
    everything = from_uploads(uploads[0], known_events_path=uploads[1], settings=SETTINGS)
    middle = everything.labelled["gps_ns"].median()
    early = everything.labelled.filter(pl.col("gps_ns") <= middle)
    late = everything.labelled.filter(pl.col("gps_ns") > middle)
    half = replace(everything, labelled=early, counted=early)
    return half, replace(half, counted=everything.counted), late


@pytest.fixture(scope="module")
def artifact(halves: tuple[TrainingSet, TrainingSet, pl.DataFrame]) -> ModelArtifact:
    return fit(halves[0], read_distances(CAMPAIGN), settings=SETTINGS)


def test_an_update_is_a_refit_with_the_candidates_among_the_counted(
    halves: tuple[TrainingSet, TrainingSet, pl.DataFrame], artifact: ModelArtifact, tmp_path: Path
) -> None:
    table = tmp_path / "late.csv"
    halves[2].write_csv(table)
    updated, rows = update(artifact, table)
    refitted = fit(halves[1], read_distances(CAMPAIGN), settings=SETTINGS)
    assert rows["added"] == halves[2].height
    ours, theirs = updated.model.counts, refitted.model.counts
    np.testing.assert_allclose(ours.means, theirs.means, rtol=1e-9)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-9)
    with pytest.raises(FitError, match="nothing to add"):
        update(updated, table)


def test_counts_of_another_table_leave_the_densities(
    halves: tuple[TrainingSet, TrainingSet, pl.DataFrame], uploads: tuple[Path, Path]
) -> None:
    both = counting(halves[0], uploads[0], settings=SETTINGS)
    counted = fit(both, read_distances(CAMPAIGN), settings=SETTINGS)
    expected = fit(halves[1], read_distances(CAMPAIGN), settings=SETTINGS)
    np.testing.assert_allclose(
        counted.model.counts.means, expected.model.counts.means, rtol=ROUNDING
    )
    of_table = counted.provenance.counted
    assert of_table is not None
    assert of_table.inputs[0].name == uploads[0].name
    assert counted.provenance.rates.why_not


def test_a_larger_volume_scales_its_class_alone(artifact: ModelArtifact) -> None:
    scaled = artifact.rescaled({Source.BNS: 2.4}, noise=0.5)
    before, after = artifact.model.counts.means, scaled.model.counts.means
    np.testing.assert_allclose(after / before, [2.4, 1, 1, 0.5])
    assert scaled.provenance.rescaled == {"BNS": 2.4, "noise": 0.5}
    twice = scaled.rescaled({Source.BNS: 2.0})
    assert twice.provenance.rescaled["BNS"] == pytest.approx(4.8)
    for trigger, said in scaled.reference:
        assert scaled.assess(trigger) == said
    with pytest.raises(FitError, match="positive factors"):
        artifact.rescaled({Source.BBH: float("nan")})


def test_a_rescaled_model_is_not_updated(artifact: ModelArtifact, tmp_path: Path) -> None:
    with pytest.raises(FitError, match="update the model it was made from"):
        update(artifact.rescaled({Source.BBH: 2.0}), tmp_path / "none.csv")


def test_the_commands_say_what_is_expected(
    artifact: ModelArtifact,
    halves: tuple[TrainingSet, TrainingSet, pl.DataFrame],
    tmp_path: Path,
) -> None:
    model, table = tmp_path / "model.json", tmp_path / "late.csv"
    write_model(artifact, model)
    halves[2].write_csv(table)
    run = CliRunner().invoke(app, ["update", str(model), "--counted", str(table)])
    assert run.exit_code == 0, run.output
    assert f"{halves[2].height} candidates added" in run.output
    other = tmp_path / "other.json"
    run = CliRunner().invoke(app, ["rescale", str(model), "--range", "2", "--output", str(other)])
    assert run.exit_code == 0, run.output
    ratio = load_model(other).model.counts.mean / load_model(model).model.counts.mean
    np.testing.assert_allclose(ratio, 8.0)
    for wrong in ("BNS", "BNS=-1", "Terrestrial=2", "X=1"):
        run = CliRunner().invoke(
            app, ["rescale", str(model), "--volume", wrong, "--output", str(other)]
        )
        assert run.exit_code == 2
        assert "--volume" in run.output
