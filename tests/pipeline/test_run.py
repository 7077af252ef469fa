"""All stages run one after the other, and again without harm."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.io.artifact import load_model
from spiir_pastro.pipeline.run import Workspace, run
from spiir_pastro.simulation import CampaignConfig

_CONFIG = CampaignConfig(seed=5, days=0.125, groups=1, injection_interval_s=30.0)


def _everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timings.jsonl"
    }


def test_a_simulated_campaign_runs_through_and_again_to_the_same(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    stages = [done.stage for done in run(workspace, simulation=_CONFIG)]
    first = _everything(tmp_path)
    assert stages == ["simulate", "extract", "process", "fit", "evaluate", "predict"]
    assert [done.stage for done in run(workspace, simulation=_CONFIG)] == stages
    assert _everything(tmp_path) == first
    assert (workspace.processed / "foreground" / "BBH.parquet").is_file()
    assert set(load_model(workspace.model).model.densities.signals) == set(ASTROPHYSICAL)
    metrics = json.loads((tmp_path / "reports" / "metrics.json").read_text())
    assert metrics["auc"] > 0.9
    assert (tmp_path / "reports" / "report.html").stat().st_size > 50_000
    predictions = pl.read_csv(workspace.predictions, infer_schema_length=None)
    assert predictions["p_astro"].max() > 0.9  # type: ignore[operator]
    with pytest.raises(ConfigError, match="a campaign of other parameters"):
        list(run(workspace, simulation=replace(_CONFIG, seed=6)))


def test_runs_of_ones_own_need_no_simulation(tmp_path: Path) -> None:
    simulated = Workspace(root=tmp_path / "simulated")
    list(run(simulated, simulation=_CONFIG))
    own = Workspace(root=tmp_path / "own", known_events=simulated.campaign / "known_mergers.csv")
    stages = [done.stage for done in run(own, runs_file=simulated.campaign / "RUNS.yaml")]
    assert stages == ["extract", "process", "fit", "evaluate", "predict"]
    assert _everything(own.processed) == _everything(simulated.processed)


def test_a_damaged_file_stops_the_run(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    stages = run(workspace, simulation=_CONFIG)
    next(stages)
    next(workspace.campaign.rglob("*_zerolag_*.xml.gz")).write_bytes(b"torn")
    with pytest.raises(TableError, match=r"1 files cannot be extracted, the first: .*zerolag"):
        next(stages)
