"""On a campaign whose truth is known, foreground is injections and background is noise."""

from pathlib import Path

import msgspec
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from spiir_pastro.cli import app
from spiir_pastro.domain import Source
from spiir_pastro.io.runs import Purpose, Run, read_runs
from spiir_pastro.io.table_storage import read_frame
from spiir_pastro.pipeline.campaign_files import simulate
from spiir_pastro.pipeline.extraction import extract
from spiir_pastro.pipeline.fates import Fate
from spiir_pastro.pipeline.inventory import take_inventory
from spiir_pastro.pipeline.processed import Processed, open_processed
from spiir_pastro.pipeline.processing import process
from spiir_pastro.pipeline.raw_files import raw_files_of_runs
from spiir_pastro.simulation import CampaignConfig

_CONTAMINATION = 0.001


@pytest.fixture(name="campaign", scope="module")
def _campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours of two banks, with and without injections, and many real mergers."""
    folder = tmp_path_factory.mktemp("campaign") / "simulated"
    config = CampaignConfig(
        seed=11,
        days=0.125,
        banks=(Source.BNS, Source.BBH),
        groups=2,
        injection_interval_s=20.0,
        mergers_per_day=dict.fromkeys((Source.BNS, Source.BBH), 200.0),
        unassigned_s=600,
    )
    for _ in simulate(folder, config):
        pass
    return folder


@pytest.fixture(name="processed", scope="module")
def _processed(campaign: Path) -> Processed:
    runs = read_runs(campaign / "RUNS.yaml")
    extract(raw_files_of_runs(runs), campaign / "staging", workers=1)
    inventory = take_inventory(runs, campaign / "staging")
    return process(inventory, known_events=campaign / "known_mergers.csv", rows_per_slice=5_000)


def _truth(campaign: Path, run: Run) -> pl.DataFrame:
    """Every row's origin, under the event_id of the processed tables."""
    folder = campaign / "truth"
    files = sorted((folder / run.directories[0].name).rglob("*.parquet"))
    return pl.concat(
        pl.read_parquet(file).select(
            pl.format(
                "{}:{}", pl.lit(str(file.relative_to(folder).with_suffix(""))), "event_id"
            ).alias("event_id"),
            "origin",
            "origin_id",
        )
        for file in files
    )


def test_no_noise_in_the_foreground(campaign: Path, processed: Processed) -> None:
    for run in processed.runs.runs:
        if run.purpose is Purpose.FOREGROUND:
            found = processed.matches[run.name].found
            truth = found.join(_truth(campaign, run), on="event_id", validate="1:1")
            right = truth.filter(
                pl.col("origin") == "injection", pl.col("origin_id") == pl.col("injection_id")
            )
            assert found.height > 50
            assert truth.height == found.height
            assert found.height - right.height <= _CONTAMINATION * found.height


def test_no_signal_in_the_background(campaign: Path, processed: Processed) -> None:
    runs = [run for run in processed.runs.runs if run.purpose is Purpose.BACKGROUND]
    truth = pl.concat(_truth(campaign, run) for run in runs)
    origins = processed.background.join(truth, on="event_id", validate="1:1")["origin"]
    assert (truth["origin"] == "merger").sum() > 20
    assert len(origins) == processed.background.height
    assert (origins != "noise").sum() <= _CONTAMINATION * len(origins)


def test_without_its_twin_the_foreground_would_hold_noise(processed: Processed) -> None:
    assert all(processed.fates[run, Fate.IN_TWIN] > 0 for run in processed.matches)


def test_every_row_has_one_fate(campaign: Path, processed: Processed) -> None:
    for run in processed.runs.runs:
        rows = sum(n for (name, _), n in processed.fates.items() if name == run.name)
        assert rows == _truth(campaign, run).height


def test_the_command_writes_what_the_library_finds(campaign: Path, processed: Processed) -> None:
    out = campaign / "processed"
    paths = {
        "--staging": campaign / "staging",
        "--processed": out,
        "--known-events": campaign / "known_mergers.csv",
    }
    options = [str(word) for option in paths.items() for word in option]
    answer = CliRunner().invoke(
        app, ["process", str(campaign / "RUNS.yaml"), *options, "--format", "h5"]
    )
    assert answer.exit_code == 0, answer.output
    assert "kept as foreground" in answer.stdout
    summary = open_processed(out).summary
    assert summary == msgspec.structs.replace(
        processed.summary(summary.tables), checksum=summary.checksum
    )
    for place, table in processed.tables().items():
        assert_frame_equal(read_frame(out / f"{place}.h5"), table)
    assert not list(out.glob(".process-*"))
