"""The report command: what a merge request's reader and its gate see."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import app
from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.pipeline.comparison import evaluation_of_revision


def _write(folder: Path, *, sharpened: float) -> Path:
    """Write an evaluation whose log odds are those of a calibrated model times a number."""
    rng = np.random.default_rng(5)
    log_odds = rng.normal(-1, 2, 800)
    is_signal = rng.random(800) < 1 / (1 + np.exp(-log_odds))
    p = 1 / (1 + np.exp(-sharpened * log_odds))
    folder.mkdir()
    (folder / "metrics.json").write_text('{"candidates": 800, "auc": null}')
    pl.DataFrame(
        {"event_id": range(800), "p_astro": p, "is_signal": is_signal, "bank": "BBH"}
    ).write_csv(folder / "candidates.csv")
    pl.DataFrame(
        {
            "name": ["GW1", "GW2"], "source_class": ["BBH", "BNS"], "p_astro": [p[0], None],
            "BNS": [0.0, None], "NSBH": [0.0, None], "BBH": [p[0], None],
            "Terrestrial": [1 - p[0], None],
        }
    ).write_csv(folder / "known_mergers.csv")  # fmt: skip
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
    assert "**Worse beyond noise: log_loss, expected_calibration_error.**" in text
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
        assert "is worse beyond its noise" in (tmp_path / "r.md").read_text()


def test_parameters_come_from_a_file_and_options_go_before(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    params = tmp_path / "params.yaml"
    params.write_text("report: {confidence: 2.0}\n")
    rest = ["report", "--report", str(good), "--against-dir", str(good)]
    command = ["--params", str(params), *rest, "--markdown", str(tmp_path / "r.md")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, ConfigError)
    assert CliRunner().invoke(app, [*command, "--confidence", "0.9"]).exit_code == 0
    params.write_text("report: {confidenec: 0.9}\n")
    result = CliRunner().invoke(app, command)
    assert "report.confidenec is no option of report" in str(result.exception)
    params.write_text("fit: {}\n")
    assert "no section 'report'" in str(CliRunner().invoke(app, command).exception)


def test_what_is_compared_must_be_named(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    result = CliRunner().invoke(app, ["report", "--report", str(good)])
    assert (result.exit_code, "give either --against REV or" in result.output) == (2, True)


def test_a_folder_that_is_no_evaluation_is_named(tmp_path: Path) -> None:
    good = _write(tmp_path / "good", sharpened=1.0)
    (good / "candidates.csv").write_text("a,b\n1,2\n")
    result = CliRunner().invoke(app, ["report", "--report", str(good), "--against-dir", str(good)])
    assert isinstance(result.exception, TableError)
    assert "candidates.csv: no table of an evaluation" in str(result.exception)


def test_a_revision_without_evaluation_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ConfigError, match=r"no reports at revision 'v1'.*--against-dir"),
        evaluation_of_revision(Path("reports"), "v1"),
    ):
        pass
