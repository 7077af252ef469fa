"""Every command from Python gives what the command gives."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import spiir_pastro as sp
from spiir_pastro.cli import app
from spiir_pastro.errors import ConfigError, TableError, TriggerError
from spiir_pastro.pipeline.campaign_files import simulate
from spiir_pastro.simulation import CampaignConfig
from tolerances import ROUNDING


@pytest.fixture(name="artifact", scope="module")
def _artifact(uploads: tuple[Path, Path]) -> sp.ModelArtifact:
    return sp.fit(triggers=uploads[0], known_events=str(uploads[1]))


def test_a_campaign_from_files_to_an_evaluation(tmp_path: Path) -> None:
    config = CampaignConfig(days=4.0, groups=1, far_max_hz=3e-4, injection_interval_s=600.0, seed=5)
    for _ in simulate(tmp_path / "campaign", config):
        pass
    runs = tmp_path / "campaign" / "RUNS.yaml"
    extracted = sp.extract(str(runs), tmp_path / "staging", workers=1)
    assert repr(extracted).startswith(f"<Extraction of {len(extracted.receipts)} files: ")
    known = tmp_path / "campaign" / "known_mergers.csv"
    done = sp.process(
        runs, tmp_path / "staging", processed=tmp_path / "processed", known_events=known
    )
    assert f"{done.background.height:,} candidates of background" in repr(done)
    artifact = sp.fit(processed=tmp_path / "processed", model=tmp_path / "model.json")
    assert np.array_equal(
        sp.load_model(tmp_path / "model.json").model.counts.mean, artifact.model.counts.mean
    )
    evaluation = sp.evaluate(
        artifact, processed=tmp_path / "processed", known_events=known, folds=0
    )
    assert "held out no" in repr(evaluation)
    assert "NOT HELD OUT" in evaluation._repr_html_()


def test_the_command_and_the_function_agree(
    artifact: sp.ModelArtifact, uploads: tuple[Path, Path], tmp_path: Path
) -> None:
    model = tmp_path / "model.json"
    arguments = ["--triggers", uploads[0], "--known-events", uploads[1]]
    result = CliRunner().invoke(app, ["fit", *map(str, arguments), "--model", str(model)])
    assert result.exit_code == 0, result.output
    from_command = sp.evaluate(model, triggers=uploads[0], known_events=uploads[1], folds=0)
    report = tmp_path / "report"
    here = sp.evaluate(
        artifact, triggers=uploads[0], known_events=uploads[1], folds=0, report=report
    )
    assert here.metrics() == from_command.metrics()
    assert json.loads((report / "metrics.json").read_text()) == here.metrics()


def test_explanations_of_a_table_a_file_and_candidates(
    artifact: sp.ModelArtifact, uploads: tuple[Path, Path]
) -> None:
    table = pl.read_csv(uploads[0])
    one = sp.explain(artifact, table, event="G1510")
    of_file = sp.explain(artifact.model, uploads[0])
    row = table["graceid"].to_list().index("G1510")
    np.testing.assert_allclose(
        one.predictions.probabilities[0], of_file.predictions.probabilities[row], rtol=ROUNDING
    )
    with pytest.raises(TriggerError, match="no trigger is called nobody"):
        sp.explain(artifact, table, event="nobody")


def test_what_is_wrong_is_said(tmp_path: Path, uploads: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="give either triggers or processed"):
        sp.fit()
    with pytest.raises(ConfigError, match="give either triggers or processed"):
        sp.fit(triggers=uploads[0], processed=tmp_path)
    (tmp_path / "torn.xml").write_text("torn")
    with pytest.raises(TableError, match=r"1 files cannot be extracted, the first: .*torn\.xml"):
        sp.extract(tmp_path / "torn.xml", tmp_path / "staging", workers=1)
