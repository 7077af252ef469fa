"""All stages run one after the other, and again without harm."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.io.answers import PROBABILITY_COLUMNS
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.predictions import predict_read
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.explanation import explain
from spiir_pastro.pipeline.workflow import Workspace, run
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
    # Three hours hold two candidates of noise: how well signals are ranked is asked of the eight
    # days of test_gate.
    assert metrics["signals"] > 50
    assert (tmp_path / "reports" / "report.html").stat().st_size > 50_000
    predictions = pl.read_csv(workspace.predictions, infer_schema_length=None)
    assert predictions["p_astro"].max() > 0.9  # type: ignore[operator]
    with pytest.raises(ConfigError, match="a campaign of other parameters"):
        list(run(workspace, simulation=replace(_CONFIG, seed=6)))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A model judged on a second campaign."""
    workspace = Workspace(root=tmp_path_factory.mktemp("demo"))
    second = replace(_CONFIG, seed=6, gps_start=_CONFIG.gps_end, far_max_hz=1e-3)
    steps: list[tuple[str, int, int | None]] = []
    stages = list(
        run(
            workspace, simulation=_CONFIG, second=second,
            on_step=lambda stage, done, of: steps.append((stage, done, of)),
        )
    )  # fmt: skip
    assert [stage.stage for stage in stages] == [
        "simulate", "extract", "process", "fit", "simulate", "extract", "process", "evaluate",
        "predict",
    ]  # fmt: skip
    assert ("simulate", 6, 6) in steps
    assert {stage for stage, _, _ in steps} == {stage.stage for stage in stages}
    return workspace


def test_a_second_campaign_holds_what_the_model_has_not_seen(demo: Workspace) -> None:
    metrics = json.loads((demo.reports / "metrics.json").read_text())
    assert metrics["held_out"] is True
    page = (demo.reports / "report.html").read_text()
    for what, seed in (("Tested on", 6), ("Trained on", 5)):
        assert f"<dt>{what}</dt><dd>simulated campaign (seed {seed}); " in page
    assert "NOT HELD OUT" not in page
    candidates = pl.read_csv(demo.reports / "candidates.csv", infer_schema_length=None)
    assert candidates["gps_ns"].min() > _CONFIG.gps_end * 10**9  # type: ignore[operator]


def test_one_number_an_event(demo: Workspace) -> None:
    candidates = pl.read_csv(demo.reports / "candidates.csv", infer_schema_length=None)
    page = (demo.reports / "report.html").read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert data is not None
    rows = json.loads(data[1])["rows"]
    shown = pl.DataFrame({name: rows[name] for name in ("event_id", "set", *PROBABILITY_COLUMNS)})
    beside = candidates.join(shown.filter(set=0), on="event_id", suffix="_in_page")
    assert beside.height == candidates.height
    for name in PROBABILITY_COLUMNS:
        assert beside[name].to_list() == beside[f"{name}_in_page"].to_list()
    model = load_model(demo.model).model
    again = predict_read(model, read_triggers(demo.reports / "candidates.csv"))
    for name in PROBABILITY_COLUMNS:
        np.testing.assert_allclose(again[name], candidates[name], rtol=0, atol=1e-12)
    for event in candidates.filter(pl.col("event_id").str.contains("inj"))[:20].to_dicts():
        name, _, row_id = event["event_id"].rpartition(":")
        read = read_triggers(demo.held_out.campaign / f"{name}.xml.gz")
        said = predict_read(model, read).filter(event_id=row_id)
        one = read.triggers.filter(event_id=row_id)
        explained = explain(model, to_candidates(one)).predictions
        for k, column in enumerate(PROBABILITY_COLUMNS):
            assert said.item(0, column) == pytest.approx(event[column], abs=1e-12)
            value = explained.p_astro[0] if k == 0 else explained.probabilities[0, k - 1]
            assert value == pytest.approx(event[column], abs=1e-12)


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
