"""Extraction: each file once, whatever interrupts, however the work is spread."""

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import app
from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.errors import ConfigError, IncompleteError, TableError
from spiir_pastro.io.ligolw import inflate, read_table
from spiir_pastro.io.runs import read_runs
from spiir_pastro.io.trigger_tables import POSTCOH_NEEDED
from spiir_pastro.pipeline import sightings
from spiir_pastro.pipeline.extraction import Outcome, extract
from spiir_pastro.pipeline.inventory import take_inventory
from spiir_pastro.pipeline.raw_files import RawKind, raw_files, raw_files_of_runs
from spiir_pastro.pipeline.staging import Status
from tree import tree

DOCS = Path(__file__).parents[2] / "docs"
COLUMNS = {
    "bankid": "int_4s",
    "cohsnr": "real_4",
    "end_time": "int_4s",
    "event_id": "ilwd:char",
    "far": "real_4",
    "ifos": "lstring",
}


def zerolag(path: Path, rows: int, *, seed: int = 0, bad: int = 0) -> Path:
    """Write a small zerolag file; the last ``bad`` rows have a cell that is no number."""
    noise = np.random.default_rng(seed)
    snr = [f"{value:.8g}" for value in noise.uniform(4, 12, rows)]
    snr[rows - bad :] = ["loud"] * bad
    lines = [
        f'\t\t\t{noise.integers(9)},{snr[i]},{1187000000 + i},"postcoh:event_id:{i}",'
        f'{noise.random() ** 9:.8g},"H1L1",'
        for i in range(rows)
    ]
    columns = "".join(f'\t\t<Column Name="postcoh:{n}" Type="{k}"/>\n' for n, k in COLUMNS.items())
    text = (
        "<?xml version='1.0' encoding='utf-8'?>\n<LIGO_LW>\n"
        f'\t<Table Name="postcoh:table">\n{columns}'
        '\t\t<Stream Delimiter="," Name="postcoh:table" Type="Local">\n'
        + "\n".join(lines)
        + "\n\t\t</Stream>\n\t</Table>\n</LIGO_LW>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 1, mtime=0))
    return path


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    for seed, run in ((0, "bbh"), (3, "bns")):
        for i in range(3):
            path = tmp_path / "runs" / run / f"{i:03}" / f"x_zerolag_{i}_10.xml.gz"
            zerolag(path, 50 + i, seed=seed + i)
    return tmp_path / "runs"


def test_each_file_becomes_one_parquet_with_the_reader_s_rows(
    campaign: Path, tmp_path: Path
) -> None:
    receipts = extract(raw_files([campaign]), tmp_path / "staging", workers=1)
    assert [receipt.name for receipt in receipts] == sorted(receipt.name for receipt in receipts)
    for receipt in receipts:
        raw = campaign.parent / f"{receipt.name}.xml.gz"
        staged = pl.read_parquet(tmp_path / "staging" / f"{receipt.name}.postcoh.parquet")
        assert staged.equals(read_table(raw, "postcoh"))
        assert (receipt.rows, receipt.rejects) == ({"postcoh": staged.height}, 0)
        assert receipt.size == raw.stat().st_size
    manifest = json.loads((tmp_path / "staging" / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["files"]] == [r.name for r in receipts]


def test_a_streamed_table_is_written_as_a_small_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = zerolag(tmp_path / "x_zerolag_1_10.xml.gz", 5000)
    monkeypatch.setattr("spiir_pastro.io.ligolw.inflate._CHUNK_BYTES", 5000)
    monkeypatch.setattr("spiir_pastro.io.ligolw.inflate._FIRST_BLOCK_BYTES", 50_000)
    monkeypatch.setattr("spiir_pastro.pipeline.staged_tables._ROWS_PER_GROUP", 1000)
    extract(raw_files([raw]), tmp_path / "staging", workers=1)
    staged = tmp_path / "staging" / "x_zerolag_1_10.postcoh.parquet"
    whole = tmp_path / "whole.parquet"
    options = {"compression": "lz4", "statistics": False, "row_group_size": 1000}
    read_table(raw, "postcoh").write_parquet(whole, **options)  # type: ignore[arg-type]
    assert staged.read_bytes() == whole.read_bytes()


def test_a_second_run_does_only_what_changed(campaign: Path, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []

    def names(**options: object) -> list[str]:
        outcomes.clear()
        extract(
            raw_files([campaign]),
            tmp_path / "staging",
            workers=1,
            on_outcome=outcomes.append,
            **options,  # type: ignore[arg-type]
        )
        return [outcome.receipt.name for outcome in outcomes if outcome.fresh]

    assert len(names()) == 6
    assert names() == []
    zerolag(campaign / "bns" / "001" / "x_zerolag_1_10.xml.gz", 7, seed=9)
    (tmp_path / "staging" / "runs" / "bbh" / "002" / "x_zerolag_2_10.postcoh.parquet").unlink()
    assert names() == ["runs/bbh/002/x_zerolag_2_10", "runs/bns/001/x_zerolag_1_10"]
    assert len(names(columns=["far", "deff_K1"])) == 6
    staged = pl.read_parquet(tmp_path / "staging/runs/bns/001/x_zerolag_1_10.postcoh.parquet")
    assert staged.schema == {"far": pl.Float32, "deff_K1": pl.Float64}
    assert staged.height == 7


def test_a_bad_file_is_reported_and_the_others_are_done(campaign: Path, tmp_path: Path) -> None:
    broken = campaign / "bbh" / "001" / "x_zerolag_1_10.xml.gz"
    broken.write_bytes(broken.read_bytes()[:-30])
    zerolag(campaign / "bns" / "000" / "x_zerolag_0_10.xml.gz", 30, bad=2)
    staging = tmp_path / "staging"
    receipts = {r.name: r for r in extract(raw_files([campaign]), staging, workers=1)}
    failed = receipts.pop("runs/bbh/001/x_zerolag_1_10")
    assert failed.status is Status.FAILED
    assert failed.error
    assert str(broken) in failed.error
    assert "cut short" in failed.error
    assert not (staging / f"{failed.name}.postcoh.parquet").exists()
    assert {receipt.status for receipt in receipts.values()} == {Status.DONE}
    rejecting = receipts["runs/bns/000/x_zerolag_0_10"]
    assert (rejecting.rows, rejecting.rejects) == ({"postcoh": 28}, 2)
    rejects = pl.read_parquet(staging / f"{rejecting.name}.rejects.parquet")
    assert rejects["row"].to_list() == [28, 29]
    with pytest.raises(TableError, match=r"cut short.*stopped, as strict asks"):
        extract(raw_files([campaign]), staging, workers=1, strict=True)


def test_mended_files_lose_their_old_outputs(tmp_path: Path) -> None:
    raw, staging = tmp_path / "x_zerolag_1_10.xml.gz", tmp_path / "staging"
    zerolag(raw, 30, bad=2)
    extract(raw_files([raw]), staging, workers=1)
    assert (staging / "x_zerolag_1_10.rejects.parquet").exists()
    zerolag(raw, 30)
    extract(raw_files([raw]), staging, workers=1)
    assert not (staging / "x_zerolag_1_10.rejects.parquet").exists()


def test_processes_and_a_cluster_give_the_same_bytes(campaign: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    for name, options in {"here": {"workers": 1}, "processes": {"workers": 2}}.items():
        extract(raw_files([campaign]), tmp_path / name, **options)  # type: ignore[arg-type]
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tcp://")
        extract(raw_files([campaign]), tmp_path / "cluster", scheduler=address)
    assert tree(tmp_path / "processes") == tree(tmp_path / "here")
    assert tree(tmp_path / "cluster") == tree(tmp_path / "here")


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    runs, staging = tmp_path / "runs", tmp_path / "staging"
    for i in range(40):
        zerolag(runs / f"x_zerolag_{i}_10.xml.gz", 2000, seed=i)
    command = [sys.executable, "-m", "spiir_pastro", "extract", str(runs), "--workers", "2"]

    def staged() -> int:
        return len(list(staging.glob("runs/*.parquet")))

    moments = np.random.default_rng(20170817)
    for _ in range(10):
        process = subprocess.Popen(
            [*command, "--staging", str(staging)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            done_before = len(list(staging.glob("runs/*.parquet")))
            while (
                process.poll() is None and len(list(staging.glob("runs/*.parquet"))) <= done_before
            ):
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.03))
            os.kill(process.pid, signal.SIGKILL)
    assert staged() >= 10
    subprocess.run([*command, "--staging", str(staging)], check=True, capture_output=True)
    extract(raw_files([runs]), tmp_path / "unbroken", workers=1)
    assert tree(staging) == tree(tmp_path / "unbroken")


def test_two_extractions_do_not_share_a_staging_directory(campaign: Path, tmp_path: Path) -> None:
    def again(_: Outcome) -> None:
        with pytest.raises(ConfigError, match="another process extracts to"):
            extract(raw_files([campaign]), tmp_path / "staging", workers=1)

    extract(raw_files([campaign]), tmp_path / "staging", workers=1, on_outcome=again)


def test_files_that_would_share_a_name_are_refused(campaign: Path) -> None:
    twice = [campaign / "bbh" / "000", campaign / "bns" / "000"]
    with pytest.raises(ConfigError, match=r"would both be called 000/x_zerolag_0_10"):
        raw_files(twice)


def test_a_runs_file_names_its_files_by_run(campaign: Path, tmp_path: Path) -> None:
    runs_file = campaign / "RUNS.yaml"
    runs_file.write_text(
        "runs:\n"
        "  - {name: one, bank: BBH, purpose: background, directories: [bbh],"
        " gps_start: 1187000000, gps_end: 1187100000}\n"
        "  - {name: two, bank: BNS, purpose: background, directories: [bns/000, bns/001],"
        " gps_start: 1187000000, gps_end: 1187100000}\n"
    )
    runs = read_runs(runs_file)
    with pytest.raises(IncompleteError, match="extract the runs file first"):
        take_inventory(runs, tmp_path / "staging")
    extract(raw_files_of_runs(runs), tmp_path / "staging", workers=1)
    staged = take_inventory(runs, tmp_path / "staging").staged
    names = {run: [f.name for f in s.files[RawKind.TRIGGERS]] for run, s in staged.items()}
    assert names["one"] == [f"one/00{i}/x_zerolag_{i}_10" for i in range(3)]
    assert names["two"] == [f"two/00{i}/x_zerolag_{i}_10" for i in range(2)]
    assert {s.files[RawKind.TRIGGERS][0].read("postcoh").height for s in staged.values()} == {50}


def test_the_command_says_what_it_did_and_nothing_on_a_piped_stderr(
    campaign: Path, tmp_path: Path
) -> None:
    arguments = ["extract", str(campaign), "--staging", str(tmp_path / "s"), "--workers", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert result.stdout == "6 files (6 new, 0 failed); rows: 306 postcoh\n"
    assert result.stderr == ""
    assert "6 files (0 new, 0 failed)" in CliRunner().invoke(app, arguments).stdout


def test_columns_that_spiir_does_not_have_are_refused_before_anything_is_read(
    campaign: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no postcoh table has a column 'cohsr'; name cohsnr"):
        extract(raw_files([campaign]), tmp_path / "s", columns=["far", "cohsr"], workers=1)
    assert not (tmp_path / "s").exists()


def test_columns_that_process_needs_are_kept_too(campaign: Path, tmp_path: Path) -> None:
    """The example of the documentation."""
    arguments = ["extract", str(campaign), "--staging", str(tmp_path / "s"), "--workers", "1"]
    chosen = "deff_H1,deff_L1,mass1,mass2"
    assert chosen in (DOCS / "how-to" / "extract.md").read_text()
    result = CliRunner().invoke(app, [*arguments, "--columns", chosen])
    assert result.exit_code == 0, result.output
    assert "kept too, because process needs them: event_id, end_time, " in result.stderr
    assert "process will take for unknown: bankid, cmbchisq, deff_K1, deff_V1, " in result.stderr
    staged = pl.read_parquet(tmp_path / "s" / "runs/bns/000/x_zerolag_0_10.postcoh.parquet")
    assert staged.columns == [*chosen.split(","), *POSTCOH_NEEDED]


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no file that ends in \.xml\.gz or \.xml"):
        raw_files([tmp_path])


def test_a_link_to_nothing_is_no_file_less(tmp_path: Path) -> None:
    (tmp_path / "a_zerolag_1_2.xml").symlink_to("nowhere")
    arguments = ["extract", str(tmp_path), "--staging", str(tmp_path / "staging"), "--workers", "1"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == ExitCode.INCOMPLETE
    assert re.fullmatch("failed: .*/a_zerolag_1_2.xml: .*No such file or directory.*\n", run.stderr)


@pytest.mark.parametrize("name", ["two\nlines.xml", os.fsdecode(b"no\xffutf8.xml")])
def test_a_name_that_cannot_be_printed_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="cannot be printed; rename the file"):
        raw_files([tmp_path])


def test_a_file_of_another_reader_is_extracted_again(
    campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = tmp_path / "staging"
    with monkeypatch.context() as older:
        older.setattr("spiir_pastro.pipeline.staged_tables.READER_VERSION", 0)
        extract(raw_files([campaign]), staging, workers=1)
    outcomes: list[Outcome] = []
    extract(raw_files([campaign]), staging, workers=1, on_outcome=outcomes.append)
    assert all(outcome.fresh for outcome in outcomes)


def test_a_receipt_is_of_the_bytes_that_were_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file replaced at the moment it is opened gives the receipt of what was read."""
    raw = zerolag(tmp_path / "x_zerolag_1_10.xml.gz", 30)
    other = zerolag(tmp_path / "other" / "x_zerolag_1_10.xml.gz", 40, seed=1).read_bytes()
    opened = inflate._opened

    def replaced(path: Path) -> BinaryIO:
        file = opened(path)
        path.unlink()
        path.write_bytes(other)
        return file

    before = hashlib.sha256(raw.read_bytes()).hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(inflate, "_opened", replaced)
        (receipt,) = extract(raw_files([raw]), tmp_path / "staging", workers=1)
    assert (receipt.sha256, receipt.rows) == (before, {"postcoh": 30})
    outcomes: list[Outcome] = []
    extract(raw_files([raw]), tmp_path / "staging", workers=1, on_outcome=outcomes.append)
    assert [(o.fresh, o.receipt.rows) for o in outcomes] == [(True, {"postcoh": 40})]


def test_a_file_that_was_not_touched_is_not_read_again(
    campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(0.06)  # a file just written may be written once more at the same ctime
    extract(raw_files([campaign]), tmp_path / "staging", workers=1)

    monkeypatch.setattr(sightings, "hashlib", None)
    outcomes: list[Outcome] = []
    extract(raw_files([campaign]), tmp_path / "staging", workers=1, on_outcome=outcomes.append)
    assert not any(outcome.fresh for outcome in outcomes)
