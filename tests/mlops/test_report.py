"""The report command: what a merge request's reader and its gate see."""

import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import app
from spiir_pastro.errors import ConfigError, DocumentError
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.evaluations import read_evaluation, write_evaluated
from spiir_pastro.pipeline.revisions import evaluation_of_revision

if TYPE_CHECKING:
    from spiir_pastro.io.artifact import ModelArtifact


def _write(folder: Path, *, sharpened: float) -> Path:
    """Write an evaluation whose log odds are those of a calibrated model times a number."""
    rng = np.random.default_rng(5)
    log_odds = rng.normal(-1, 2, 800)
    is_signal = rng.random(800) < 1 / (1 + np.exp(-log_odds))
    p = 1 / (1 + np.exp(-sharpened * log_odds))
    times = np.arange(800) * 10**9
    candidates = pl.DataFrame(
        {
            "event_id": [f"G{k}" for k in range(800)], "gps_ns": times, "bank": "BBH",
            "ifos": "H1L1", "far_hz": 1e-5, "is_signal": is_signal,
            "source_class": pl.Series([None] * 800, dtype=pl.String), "p_astro": p, "BNS": 0.0,
            "NSBH": 0.0, "BBH": p, "Terrestrial": 1 - p,
        }
    )  # fmt: skip
    mergers = pl.DataFrame(
        {
            "name": ["GW1", "GW2"], "gps": [5.0, 7.0], "source_class": ["BBH", "BNS"],
            "event_id": ["G5", None], "p_astro": [p[0], None], "BNS": [0.0, None],
            "NSBH": [0.0, None], "BBH": [p[0], None], "Terrestrial": [1 - p[0], None],
        }
    )  # fmt: skip
    evaluation = Evaluation(
        candidates=candidates, known_mergers=mergers, far_threshold_hz=3e-4, data="uploads.csv"
    )
    artifact = SimpleNamespace(
        provenance=SimpleNamespace(settings=FitSettings(noise_trials=sharpened))
    )
    write_evaluated(evaluation, cast("ModelArtifact", artifact), folder, name="m.json", shown={})
    return folder


def test_a_worse_model_is_told_and_stopped(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    bad = _write(tmp_path / "bad", sharpened=3.0)
    page = tmp_path / "out" / "report.md"
    arguments = ["report", "--report", str(bad), "--against-dir", str(good), "--gate"]
    result = CliRunner().invoke(app, [*arguments, "--markdown", str(page)])
    assert result.exit_code == 3
    assert "worse beyond noise: log_loss" in result.stderr
    text = page.read_text()
    assert "**Worse beyond noise: log_loss, brier, expected_calibration_error.**" in text
    assert "| `noise_trials` | 1.0 | 3.0 |" in text
    assert "| GW1 | BBH |" in text
    for name in ("calibration", "roc"):
        assert f"]({name}.png)" in text
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_better_or_equal_model_passes(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    bad = _write(tmp_path / "bad", sharpened=3.0)
    for earlier in (good, bad):
        arguments = ["report", "--report", str(good), "--against-dir", str(earlier), "--gate"]
        result = CliRunner().invoke(app, [*arguments, "--markdown", str(tmp_path / "r.md")])
        assert result.exit_code == 0, result.output
        said = "are the same" if earlier is good else "Better beyond noise: log_loss"
        assert said in (tmp_path / "r.md").read_text()


def test_parameters_come_from_a_file_and_options_go_before(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    params = tmp_path / "params.yaml"
    params.write_text("report: {false_alarm_rate: 2.0}\n")
    rest = ["report", "--report", str(good), "--against-dir", str(good)]
    command = ["--params", str(params), *rest, "--markdown", str(tmp_path / "r.md")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, ConfigError)
    assert CliRunner().invoke(app, [*command, "--false-alarm-rate", "0.9"]).exit_code == 0
    params.write_text("report: {negligable: 0.9}\n")
    result = CliRunner().invoke(app, command)
    assert "report.negligable is no option of report" in str(result.exception)
    params.write_text("fit: {}\n")
    assert "no section 'report'" in str(CliRunner().invoke(app, command).exception)


def test_a_gate_needs_something_to_compare_with(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    result = CliRunner().invoke(app, ["report", "--report", str(good), "--gate"])
    assert (result.exit_code, "give either --against REV or" in result.output) == (2, True)


def test_without_an_earlier_model_the_report_says_how_this_one_does(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    page = tmp_path / "out" / "report.md"
    result = CliRunner().invoke(app, ["report", "--report", str(good), "--markdown", str(page)])
    assert result.exit_code == 0, result.output
    assert re.search(r"\| log_loss \| 0\.\d+ \|", page.read_text())
    for name in ("calibration", "roc"):
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    read = read_evaluation(_write(tmp_path / "good", sharpened=1.0))
    assert read.candidates["gps_ns"].to_list() == [k * 10**9 for k in range(800)]
    assert read.candidates["is_signal"].dtype == pl.Boolean
    assert read.known_mergers["p_astro"].null_count() == 1
    assert read.spans == ((0, 799 * 10**9),)
    assert read.settings["noise_trials"] == "1.0"
    assert read.metrics["held_out"] == 0


def test_metrics_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """Though the hashes fit, as another version may have written them."""
    folder = _write(tmp_path / "good", sharpened=1.0)
    content = b'{"auc": "high"}'
    (folder / "metrics.json").write_bytes(content)
    document = msgspec.json.decode((folder / "evaluation.json").read_bytes())
    document["files"]["metrics.json"] = hashlib.sha256(content).hexdigest()
    document["checksum"] = ""
    document["checksum"] = hashlib.sha256(msgspec.json.encode(document)).hexdigest()
    (folder / "evaluation.json").write_bytes(msgspec.json.encode(document))
    with pytest.raises(DocumentError, match=r"metrics\.json: no metrics: .*run spiir-pastro eval"):
        read_evaluation(folder)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("candidates.csv", b"a,b\n1,2\n", "candidates.csv is damaged or of another result"),
        ("metrics.json", b"{}", "metrics.json is damaged or of"),
        ("known_mergers.csv", None, "known_mergers.csv: No such file"),
        ("evaluation.json", None, "evaluation.json is not there; run spiir-pastro evaluate again"),
        ("evaluation.json", b'{"schema_version": 9}', "evaluation.json: has schema version 9"),
    ],
)
def test_a_folder_that_is_no_evaluation_is_named(
    tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    if content is None:
        (good / file).unlink()
    else:
        (good / file).write_bytes(content)
    result = CliRunner().invoke(app, ["report", "--report", str(good), "--against-dir", str(good)])
    assert isinstance(result.exception, DocumentError)
    assert re.search(said, str(result.exception))


def test_a_folder_of_two_evaluations_is_refused(tmp_path: Path) -> None:
    """As a killed program leaves it: tables of the later, the rest of the earlier."""
    folder = _write(tmp_path / "one", sharpened=1.0)
    other = _write(tmp_path / "other", sharpened=2.0)
    (folder / "candidates.csv").write_bytes((other / "candidates.csv").read_bytes())
    with pytest.raises(DocumentError, match=r"candidates\.csv is damaged or of another result"):
        read_evaluation(folder)
    _write(folder, sharpened=1.0)
    assert read_evaluation(folder).candidates.height == 800


def test_two_folders_are_compared_in_the_terminal(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    bad = _write(tmp_path / "bad", sharpened=3.0)
    result = CliRunner().invoke(app, ["compare", str(good), str(bad)])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Worse beyond noise: log_loss")
    assert re.search(r"noise_trials +1\.0 +3\.0", result.output)
    result = CliRunner().invoke(app, ["compare", str(good), str(good), "--json"])
    said = json.loads(result.output)
    assert said["changes"][0]["verdict"] == "same"
    assert (said["settings"], said["settings_had_no_effect"]) == ({}, False)


def test_a_revision_without_evaluation_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ConfigError, match=r"no reports at revision 'v1'.*--against-dir"),
        evaluation_of_revision(Path("reports"), "v1"),
    ):
        pass
