"""``predict DIR`` takes the files of triggers below it, and the table begins with the signals."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import spiir_pastro as sp
from spiir_pastro.cli import app
from spiir_pastro.errors import NoTriggersError, TableError
from spiir_pastro.io.artifact import write_model

_NO_TRIGGERS = """<?xml version='1.0'?>
<!DOCTYPE LIGO_LW SYSTEM "ligolw.dtd">
<LIGO_LW><Table Name="segment:table"><Column Name="segment:start_time" Type="int_4s"/>
<Stream Delimiter="," Name="segment:table" Type="Local">
5
</Stream></Table></LIGO_LW>
"""


@pytest.fixture(name="model", scope="module")
def _model(uploads: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.json"
    write_model(sp.fit(triggers=uploads[0], known_events=uploads[1]), path)
    return path


@pytest.fixture(name="run")
def _run(uploads: tuple[Path, Path], tmp_path: Path) -> Path:
    """A folder of triggers in two files, and of segments."""
    table = pl.read_csv(uploads[0])
    (tmp_path / "run" / "001").mkdir(parents=True)
    table[:30].write_csv(tmp_path / "run" / "b.csv")
    table[30:40].write_csv(tmp_path / "run" / "001" / "a.csv")
    (tmp_path / "run" / "H1L1_SEGMENTS_0_9.xml").write_text(_NO_TRIGGERS)
    (tmp_path / "run" / "notes.txt").write_text("no triggers")
    return tmp_path / "run"


def _predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_a_folders_files_are_taken_by_name(run: Path, model: Path) -> None:
    whole = _predict(run, "--model", model, "--format", "csv")
    assert whole.exit_code == 0, whole.output
    one_by_one = _predict(run / "001" / "a.csv", run / "b.csv", "--model", model, "--format", "csv")
    assert whole.stdout == one_by_one.stdout
    assert whole.stderr.startswith("left out: ")
    assert "H1L1_SEGMENTS_0_9.xml: holds no triggers" in whole.stderr
    assert whole.stdout.count("\n") == 41


def test_the_table_begins_with_the_signals_and_says_what_they_were_judged_by(
    run: Path, model: Path
) -> None:
    lines = _predict(run, "--model", model).stdout.splitlines()
    heads = lines[0].split()
    assert {"far_hz", "snr", "mchirp_det", "p_astro_low"} <= {*heads}
    p_astro = [float(line.split()[heads.index("p_astro")]) for line in lines[1:]]
    assert len(p_astro) == 40
    assert p_astro == sorted(p_astro, reverse=True)


def test_a_damaged_file_is_no_file_without_triggers(run: Path, model: Path) -> None:
    (run / "torn_zerolag_0_9.xml").write_text(_NO_TRIGGERS[:180])
    failed = _predict(run, "--model", model).exception
    assert isinstance(failed, TableError)
    assert not isinstance(failed, NoTriggersError)
    assert "torn_zerolag_0_9.xml" in str(failed)


def test_a_folder_without_triggers_says_so(run: Path, model: Path, tmp_path: Path) -> None:
    for path in run.rglob("*.csv"):
        path.unlink()
    assert "holds no file of triggers" in str(_predict(run, "--model", model).exception)
    shutil.rmtree(run)
    run.mkdir()
    assert "holds no file of triggers, none ends in" in str(
        _predict(tmp_path / "run", "--model", model).exception
    )


def test_of_many_the_table_shows_the_most_probable(uploads: tuple[Path, Path], model: Path) -> None:
    result = _predict(uploads[0], "--model", model)
    assert result.stdout.count("\n") == 201
    assert result.stderr == "and 1340 more; --format csv gives all\n"


def test_a_person_at_a_terminal_is_shown_how_many_rows_are_done(
    run: Path, model: Path, tmp_path: Path
) -> None:
    triggers = tmp_path / "triggers.parquet"
    pl.read_csv(run / "b.csv").write_parquet(triggers)
    ours, theirs = os.openpty()
    command = [
        sys.executable,
        "-m",
        "spiir_pastro",
        "predict",
        str(triggers),
        "--model",
        str(model),
    ]
    options = ["--format", "csv", "--output", str(tmp_path / "said.csv")]
    done = subprocess.run([*command, *options], stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 2**16).decode()
    os.close(ours)
    assert done.returncode == 0, shown
    assert "30 rows" in shown
