"""Scores are of candidates the judging model had not seen, or the evaluation says so."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spiir_pastro.cli import app
from spiir_pastro.domain import MassBoundaries
from spiir_pastro.errors import ArtifactError, ConfigError
from spiir_pastro.evaluation.result import SCORED
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.provenance import NoiseStatistics, plain_provenance, read_provenance
from spiir_pastro.io.training_digest import TrainingDigest
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.assessment import evaluate_triggers
from spiir_pastro.pipeline.folds import Panel, cut_times, fold_of, seen_in_training
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import TrainingSet, from_uploads, within_gps
from spiir_pastro.selection.time_span import During

SECOND_NS = 10**9


@pytest.fixture(name="training", scope="module")
def _training(uploads: tuple[Path, Path]) -> TrainingSet:
    return from_uploads(uploads[0], known_events_path=uploads[1], settings=FitSettings())


@pytest.fixture(name="artifact", scope="module")
def _artifact(training: TrainingSet) -> ModelArtifact:
    return fit(training, read_distances(CAMPAIGN))


@given(st.integers(20, 400), st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_folds_hold_about_equally_many(n: int, folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(1e9, 1.02e9, n) * 1e9).astype(np.int64)
    cuts = cut_times(times, folds)
    assert len(cuts) == folds - 1
    which = fold_of(times, cuts)
    assert (np.diff(which) >= 0).all()
    assert np.bincount(which, minlength=folds).sum() == n
    assert all(cut % (10_000 * SECOND_NS) == 0 for cut in cuts)  # a twentieth of a fold is more


def test_a_few_candidates_more_are_cut_at_the_same_times() -> None:
    times = np.arange(5000) * 3600 * SECOND_NS + 1_238_166_018 * SECOND_NS
    same = sum(cut_times(times, 5) == cut_times(np.delete(times, [k, 9 * k]), 5) for k in range(50))
    assert same >= 45


def test_a_table_of_an_instant_has_no_folds_to_speak_of() -> None:
    assert len(cut_times(np.full(9, SECOND_NS), 5)) == 1


def test_each_trigger_is_judged_by_its_fold(artifact: ModelArtifact, training: TrainingSet) -> None:
    """In whatever order the triggers stand."""
    table = training.labelled.sample(fraction=1, shuffle=True, seed=2)
    cuts = cut_times(table["gps_ns"].to_numpy(), 3)
    counts = artifact.model.counts
    models = [artifact.model, replace(artifact.model, counts=counts), artifact.model]
    panel = Panel(models=models, cuts_gps_ns=cuts)
    alone = Panel(models=(artifact.model,))
    assert panel.predictions(table).equals(alone.predictions(table))
    np.testing.assert_array_equal(panel.factors(table), alone.factors(table))


def test_a_model_says_how_it_was_fitted(training: TrainingSet) -> None:
    settings = FitSettings(prior="uniform", boundaries=MassBoundaries(gap_max=5.0))
    artifact = fit(training, read_distances(CAMPAIGN), settings=settings)
    read = read_provenance(plain_provenance(artifact.provenance)).settings
    assert (read.boundaries, read.prior) == (settings.boundaries, "uniform")


def test_scores_on_the_training_table_are_held_out(
    artifact: ModelArtifact, uploads: tuple[Path, Path]
) -> None:
    evaluation = evaluate_triggers(artifact, uploads[0], known_events_path=uploads[1])
    flattering = evaluate_triggers(artifact, uploads[0], known_events_path=uploads[1], folds=0)
    assert (evaluation.held_out, flattering.held_out) == (True, False)
    assert evaluation.metrics()["held_out"] is True
    assert evaluation.holdout.folds == 5
    assert evaluation.scores.log_loss > flattering.scores.log_loss
    own = [table.candidates["p_astro"] for table in (evaluation, flattering)]
    assert own[0].equals(own[1])  # what the model says of an event is one number
    assert set(SCORED.values()) <= {*evaluation.candidates.columns}
    assert not set(SCORED.values()) & {*flattering.candidates.columns}


def test_a_model_of_other_times_is_scored_itself(
    artifact: ModelArtifact, uploads: tuple[Path, Path]
) -> None:
    elsewhere = replace(artifact, trained_on=TrainingDigest())
    evaluation = evaluate_triggers(elsewhere, uploads[0], known_events_path=uploads[1])
    assert (evaluation.held_out, evaluation.holdout.folds) == (True, 0)


def test_a_part_of_the_time_is_judged_as_in_the_whole(
    artifact: ModelArtifact, uploads: tuple[Path, Path]
) -> None:
    whole = evaluate_triggers(artifact, uploads[0], known_events_path=uploads[1], folds=0)
    times = whole.candidates["gps_ns"].to_numpy() / SECOND_NS
    first, second = np.rint(np.quantile(times, [0.3, 0.6])).astype(int).tolist()
    during = During(since_s=first, until_s=second)
    part = evaluate_triggers(
        artifact, uploads[0], known_events_path=uploads[1], folds=0, during=during
    )
    inside = pl.col("gps_ns").is_between(first * SECOND_NS, second * SECOND_NS, closed="left")
    # Vectors of another length round differently in the last digit.
    assert_frame_equal(part.candidates, whole.candidates.filter(inside), rel_tol=1e-12, abs_tol=0)
    assert 0 < part.known_mergers.height < whole.known_mergers.height
    assert part.known_mergers["gps"].is_between(first, second).all()


def test_parts_and_supersets_of_a_training_table_are_recognised(
    artifact: ModelArtifact, training: TrainingSet
) -> None:
    table = training.labelled.sample(fraction=1, shuffle=True, seed=4)
    later = table.with_columns(pl.col("gps_ns") + 10**15)
    assert seen_in_training(artifact, table[:100]) == 100
    assert seen_in_training(artifact, later) == 0
    assert seen_in_training(artifact, pl.concat([later, table])) == table.height


def test_refits_do_not_hide_a_model_of_wrong_labels(
    training: TrainingSet, uploads: tuple[Path, Path]
) -> None:
    labels = training.labelled.select("is_signal", "source_class")
    dealt = labels.sample(fraction=1, shuffle=True, seed=1)
    wrong = replace(training, labelled=training.labelled.with_columns(dealt))
    evaluation = evaluate_triggers(
        fit(wrong, read_distances(CAMPAIGN)), uploads[0], known_events_path=uploads[1]
    )
    assert not evaluation.held_out
    assert "fitted on other labels" in evaluation.holdout.sentence


def test_the_terminal_says_so_first(
    artifact: ModelArtifact, uploads: tuple[Path, Path], tmp_path: Path
) -> None:
    model = tmp_path / "model.json"
    write_model(artifact, model)
    arguments = ["evaluate", "--model", model, "--triggers", uploads[0], "--known-events",
                 uploads[1], "--report", tmp_path / "report"]  # fmt: skip
    said = CliRunner().invoke(app, [*map(str, arguments), "--folds", "0"])
    assert said.exit_code == 0, said.output
    assert said.output.startswith("NOT HELD OUT")
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["held_out"] is False


def test_a_model_that_cannot_be_refitted_is_scored_with_a_banner(
    artifact: ModelArtifact, uploads: tuple[Path, Path]
) -> None:
    statistics = NoiseStatistics(name="bank", sha256="0", events=1, livetime_s=1.0, slides=1)
    with_noise = msgspec.structs.replace(artifact.provenance, noise_statistics=(statistics,))
    evaluation = evaluate_triggers(
        replace(artifact, provenance=with_noise), uploads[0], known_events_path=uploads[1]
    )
    assert "it took statistics files of noise" in evaluation.holdout.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.pop("candidates"), "missing required field `candidates`"),
        (lambda p: p.pop("settings"), "missing required field `settings`"),
        (lambda p: p["settings"].pop("prior"), "its settings are of another version"),
        (lambda p: p["settings"].update(unheard_of=1), "its settings are of another version"),
        (lambda p: p.update(unheard_of=1), "unknown field `unheard_of`"),
        (lambda p: p["rates"].update(classes={"BNS": {}}), "missing required field `detections"),
        (lambda p: p.update(gps_span_ns=[1]), "gps_span_ns"),
    ],
)
def test_provenance_is_read_whole_or_refused_in_a_line(
    change: Callable[[dict[str, Any]], object], said: str, artifact: ModelArtifact, tmp_path: Path
) -> None:
    path = tmp_path / "model.json"
    write_model(artifact, path)
    document = json.loads(path.read_text())
    change(document["provenance"])
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=f"damaged model: provenance: .*{said}.*fit the model"):
        load_model(path)


def test_a_fit_on_a_part_of_the_time_has_seen_no_other(training: TrainingSet) -> None:
    middle = float(np.median(training.counted["gps_ns"].to_numpy())) / 1e9
    early = within_gps(training, During(until_s=middle))
    late = within_gps(training, During(since_s=middle))
    assert early.counted.height + late.counted.height == training.counted.height
    times = [part.counted["gps_ns"].to_numpy() / 1e9 for part in (early, late)]
    assert times[0].max() < middle <= times[1].min()
    assert within_gps(training, During()) is training
    artifact = fit(early, read_distances(CAMPAIGN))
    assert artifact.provenance.until_gps == middle
    assert seen_in_training(artifact, late.labelled) == 0
    with pytest.raises(ConfigError, match=r"no candidate lies between GPS 1\.0 and 2\.0; those"):
        within_gps(training, During(since_s=1.0, until_s=2.0))
    with pytest.raises(ConfigError, match=r"no time lies from GPS 2\.0 on and before 1\.0"):
        During(since_s=2.0, until_s=1.0)


def test_fit_says_how_many_rows_it_dropped_and_why(
    uploads: tuple[Path, Path], tmp_path: Path
) -> None:
    """Doubles of ten triggers, one without a FAR, one above the threshold, one that is none."""
    table = pl.read_csv(uploads[0])
    double = table[:10].with_columns(pl.lit("twice").alias("graceid"), far=pl.col("far") * 1.5)
    odd = table[:2].with_columns(far=pl.Series([0.0, 1.0]), graceid=pl.lit("odd"))
    no_time = table[:1].with_columns(end_time=pl.lit(None, pl.Int64))
    rows = pl.concat([table, double.filter(pl.col("far") < 3e-4), odd, no_time])
    rows.write_csv(tmp_path / "uploads.csv")
    arguments = ["fit", "--triggers", tmp_path / "uploads.csv", "--known-events", uploads[1],
                 "--model", tmp_path / "model.json"]  # fmt: skip
    said = CliRunner().invoke(app, list(map(str, arguments))).output
    doubles = double.filter(pl.col("far") < 3e-4).height
    assert f"dropped {doubles + 3} of {rows.height} rows:" in said
    for line in ("1 that are no triggers", "1 without a FAR", "1 with a FAR above 0.0003 Hz",
                 f"{doubles} within a second of a more significant one"):  # fmt: skip
        assert f"  {line}\n" in said
