"""Predictions in blocks, on any number of workers."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import app
from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.errors import TableError
from spiir_pastro.io.artifact import ModelArtifact, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.predictions import predict_table
from spiir_pastro.io.trigger_files import trigger_blocks
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.prediction import predict_files, predict_rows
from spiir_pastro.pipeline.training import from_uploads


@pytest.fixture(scope="module")
def artifact(uploads: tuple[Path, Path]) -> ModelArtifact:
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=FitSettings())
    return fit(training, read_distances(CAMPAIGN))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, uploads: tuple[Path, Path]) -> Path:
    """More rows than a block has, with a bad one among them and one without FAR."""
    rows = pl.read_csv(uploads[0])
    many = pl.concat([rows] * (90_000 // rows.height + 1)).head(90_000)
    ids = pl.int_range(many.height, eager=True).cast(pl.String)
    many = many.with_columns(graceid=ids, far=pl.when(pl.int_range(pl.len()) != 7).then("far"))
    many = many.with_columns(
        snr=pl.when(pl.int_range(pl.len()) == 40_000).then(-1.0).otherwise("snr")
    )
    path = tmp_path_factory.mktemp("table") / "many.parquet"
    many.write_parquet(path)
    many.write_csv(path.with_suffix(".csv"))
    return path


def test_blocks_hold_the_table_in_its_order(table: Path) -> None:
    for path in (table, table.with_suffix(".csv")):
        blocks = list(trigger_blocks(path))
        assert len(blocks) > 1
        ids = [name for block in blocks for name in block.triggers["event_id"]]
        assert ids == [str(k) for k in range(90_000) if k != 40_000]


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_says_what_one_table_does(
    artifact: ModelArtifact, table: Path, workers: int
) -> None:
    said = pl.concat([p for _, p in predict_files(artifact.model, [table], workers=workers)])
    assert said.equals(predict_table(artifact.model, pl.read_parquet(table)))
    assert said["event_id"].to_list() == [str(k) for k in range(90_000)]
    assert said["note"][7] == "no FAR assigned"
    assert "snr" in said["note"][40_000]
    triggers = pl.concat(block.triggers for block in trigger_blocks(table))
    rows = predict_rows(artifact.model, triggers, workers=workers)
    assert rows.equals(said.drop("event_id")[np.delete(np.arange(90_000), 40_000)])
    assert predict_rows(artifact.model, triggers.clear()).columns == rows.columns


def test_without_intervals_the_probabilities_are_the_same(
    artifact: ModelArtifact, table: Path
) -> None:
    ((_, quick), *_) = predict_files(artifact.model, [table], intervals=False)
    ((_, full), *_) = predict_files(artifact.model, [table])
    assert quick["p_astro"].equals(full["p_astro"])
    assert quick["p_astro_low"].null_count() == quick.height


def test_csv_has_a_row_for_each_row_and_a_table_begins_with_signals(
    artifact: ModelArtifact, table: Path, tmp_path: Path
) -> None:
    model, few = tmp_path / "model.json", tmp_path / "few.csv"
    write_model(artifact, model)
    pl.read_parquet(table).head(30).write_csv(few)
    run = CliRunner().invoke(app, ["predict", str(few), "--model", str(model), "--format", "csv"])
    assert run.exit_code == 0, run.output
    lines = run.output.splitlines()
    assert lines[0].startswith("event_id,p_astro,BNS,NSBH,BBH,Terrestrial,p_astro_low,p_astro_high")
    assert [line.split(",")[0] for line in lines[1:]] == [str(k) for k in range(30)]
    run = CliRunner().invoke(app, ["predict", str(few), "--model", str(model)])
    rows = [line.split() for line in run.output.splitlines()[1:]]
    shown = [float(row[1]) for row in rows if len(row) > 1 and row[1] != "-"]
    assert len(shown) > 20
    assert shown == sorted(shown, reverse=True)
    arguments = ["predict", str(few), "--model", str(model), "--properties", "--format"]
    run = CliRunner().invoke(app, [*arguments, "csv"])
    assert "has_ns,has_mass_gap,has_remnant,source_mchirp_low" in run.output.splitlines()[0]
    refused = CliRunner().invoke(app, [*arguments, "json"])
    assert refused.exit_code == ExitCode.USAGE
    assert "--properties adds columns" in refused.output


def test_a_folder_stands_for_its_files_of_triggers(
    artifact: ModelArtifact, uploads: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "below").mkdir()
    for name in ("b.csv", "below/a.csv"):
        (tmp_path / name).write_bytes(uploads[0].read_bytes())
    (tmp_path / "notes.txt").touch()
    blocks = list(predict_files(artifact.model, [tmp_path]))
    assert len(blocks) == 2
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="holds no file of triggers"):
        list(predict_files(artifact.model, [empty]))


def test_an_empty_table_gives_its_columns(
    artifact: ModelArtifact, table: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.csv"
    pl.read_parquet(table).head(0).write_csv(nothing)
    ((_, said),) = predict_files(artifact.model, [nothing])
    assert said.height == 0
    assert np.isin(["event_id", "p_astro", "note"], said.columns).all()
