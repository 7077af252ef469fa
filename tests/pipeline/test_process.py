"""Runs become foreground and background: nothing lost, doubled or in the wrong place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from spiir_pastro.errors import ConfigError, FitError, TableError
from spiir_pastro.io.frames import FrameFormat, read_frame, read_units
from spiir_pastro.io.populations import convert_population
from spiir_pastro.io.runs import RunsFile, read_runs
from spiir_pastro.pipeline.process import process
from spiir_pastro.pipeline.processed import ProcessSettings
from spiir_pastro.pipeline.store import StagedFile
from spiir_pastro.pipeline.training import FitSettings, from_processed

_RUNS = """
runs:
  - {name: plain, bank: BBH, purpose: background, directories: [plain], gps_start: 100,
     gps_end: 200}
  - {name: light, bank: BNS, purpose: background, directories: [light], gps_start: 100,
     gps_end: 200}
  - {name: injected, bank: BBH, purpose: foreground, directories: [injected], gps_start: 100,
     gps_end: 200, injections: bbh.xml, twin: plain}
"""


class _Row(NamedTuple):
    """A staged trigger: what matters of the postcoh table here."""

    event_id: int
    end_time: float
    mchirp: float
    far: float
    cohsnr: float = 8.0


_NOISE = [
    _Row(0, 110.0, 20.0, 1e-5),
    _Row(1, 110.9, 20.0, 1e-4),  # hidden by 0
    _Row(2, 140.3, 30.0, 1e-8, 10.0),  # a known merger
    _Row(3, 160.0, 25.0, 1e-4),  # noise that happens to coincide with an injection
    _Row(4, 180.0, 25.0, 0.0),  # no FAR yet
    _Row(5, 300.0, 25.0, 1e-4),  # after the span
    _Row(6, 190.0, -1.0, 1e-4),  # no trigger
]
_LIGHT = [_Row(0, 111.9, 1.2, 1e-6), _Row(1, 150.0, 1.2, 1e-4)]
_SIGNALS = [
    _Row(7, 130.01, 21.0, 1e-7, 9.0),  # injection 0
    _Row(8, 130.02, 20.5, 1e-6, 9.0),  # again
    _Row(9, 130.01, 40.0, 1e-9, 9.0),  # another chirp mass
    _Row(10, 160.004, 25.0, 1e-9, 14.0),  # injection 1, on top of the noise
]
_INJECTIONS = [(0, 130, 20.0), (1, 160, 25.0), (2, 170, 25.0), (3, 250, 25.0)]


def _table(name: str, columns: dict[str, str], rows: Sequence[tuple[object, ...]]) -> str:
    declared = "".join(f'<Column Name="{name}:{c}" Type="{t}"/>\n' for c, t in columns.items())
    cells = [",".join(f'"{c}"' if isinstance(c, str) else str(c) for c in row) for row in rows]
    stream = ",\n".join(cells)
    return (
        f'<Table Name="{name}:table">\n{declared}<Stream Delimiter="," Name="{name}:table" '
        f'Type="Local">\n{stream}\n</Stream>\n</Table>\n'
    )


def _write_xml(path: Path, *tables: str) -> None:
    path.write_text(f"<?xml version='1.0'?>\n<LIGO_LW>\n{''.join(tables)}</LIGO_LW>\n")


def _write_segments(path: Path) -> None:
    """H1 is on for all of the span and more, L1 for its second half."""
    _write_xml(
        path,
        _table(
            "segment_definer",
            {"ifos": "lstring", "name": "lstring", "segment_def_id": "int_8s"},
            [("H1", "postcohprocessed", 0), ("L1", "postcohprocessed", 1)],
        ),
        _table(
            "segment",
            dict.fromkeys(
                ("segment_def_id", "start_time", "start_time_ns", "end_time", "end_time_ns"),
                "int_8s",
            ),
            [(0, 50, 0, 250, 0), (1, 150, 500_000_000, 200, 0)],
        ),
    )


def _write_injections(path: Path) -> None:
    kinds = {
        "simulation_id": "int_8s",
        "geocent_end_time": "int_4s",
        "geocent_end_time_ns": "int_4s",
        **dict.fromkeys(("mchirp", "mass1", "mass2", "distance"), "real_4"),
    }
    rows = [(i, gps, 0, mchirp, 1.2 * mchirp, mchirp, 400.0) for i, gps, mchirp in _INJECTIONS]
    _write_xml(path, _table("sim_inspiral", kinds, rows))


class _Campaign(NamedTuple):
    runs: RunsFile
    staged: dict[str, list[StagedFile]]
    known_events: Path


@pytest.fixture(name="campaign")
def _campaign(tmp_path: Path) -> _Campaign:
    staged = {}
    contents = {"plain": _NOISE, "light": _LIGHT, "injected": [*_NOISE, *_SIGNALS]}
    for run, rows in contents.items():
        (tmp_path / run).mkdir()
        (tmp_path / run / "000_zerolag_100.xml.gz").touch()
        _write_segments(tmp_path / run / "H1L1_SEGMENTS_100_100.xml")
        table = pl.DataFrame(rows, schema=_Row._fields, orient="row").with_columns(
            pl.col("end_time").floor().cast(pl.Int32),
            (pl.col("end_time") * 1e9 % 1e9).round().cast(pl.Int32).alias("end_time_ns"),
            pl.lit("H1L1").alias("ifos"),
        )
        table.write_parquet(tmp_path / f"{run}.parquet")
        staged[run] = [StagedFile(path=tmp_path / f"{run}.parquet", name=f"{run}/000_zerolag_100")]
    _write_injections(tmp_path / "bbh.xml")
    (tmp_path / "RUNS.yaml").write_text(_RUNS)
    (tmp_path / "mergers.csv").write_text("name,gps\nGW140,140.0\n")
    return _Campaign(read_runs(tmp_path / "RUNS.yaml"), staged, tmp_path / "mergers.csv")


def test_every_row_has_the_fate_it_should(campaign: _Campaign) -> None:
    done = process(campaign.runs, campaign.staged, known_events=campaign.known_events)
    assert done.background["event_id"].to_list() == [
        "plain/000_zerolag_100:0",
        "light/000_zerolag_100:0",
        "light/000_zerolag_100:1",
        "plain/000_zerolag_100:3",
        "plain/000_zerolag_100:4",
    ]
    assert done.known_mergers["event_id"].to_list() == ["plain/000_zerolag_100:2"]
    found = done.matches["injected"].found
    assert found.select("event_id", "injection_id", "injection_distance_mpc").rows() == [
        ("injected/000_zerolag_100:7", 0, 400.0),
        ("injected/000_zerolag_100:10", 1, 400.0),
    ]
    assert done.matches["injected"].missed["injection_id"].to_list() == [2]
    fates = {(run, fate): rows for run, _, _, fate, rows in done.fate_table().rows()}
    assert fates == {
        ("plain", "rejected"): 1,
        ("plain", "outside the run's span"): 1,
        ("plain", "near a known merger"): 1,
        ("plain", "hidden by a more significant one"): 1,
        ("plain", "kept as background"): 3,
        ("light", "kept as background"): 2,
        ("injected", "rejected"): 1,
        ("injected", "outside the run's span"): 1,
        ("injected", "coincides with no injection"): 5,
        ("injected", "stands in the twin run too"): 1,
        ("injected", "not the best of its injection"): 1,
        ("injected", "kept as foreground"): 2,
    }
    assert done.rejects.select("run", "file", "event_id").rows() == [
        ("plain", "plain/000_zerolag_100", "6"),
        ("injected", "injected/000_zerolag_100", "6"),
    ]


@pytest.mark.parametrize("rows_per_slice", [1, 3, 7])
def test_it_does_not_matter_where_the_campaign_is_cut(
    campaign: _Campaign, rows_per_slice: int
) -> None:
    whole = process(*campaign[:2], known_events=campaign.known_events)
    cut = process(*campaign[:2], known_events=campaign.known_events, rows_per_slice=rows_per_slice)
    for place, table in whole.tables().items():
        assert_frame_equal(cut.tables()[place], table)
    assert cut.fates == whole.fates


def test_livetime_counts_within_the_span_and_once(campaign: _Campaign) -> None:
    done = process(*campaign[:2], known_events=campaign.known_events)
    expected = [("H1", 50_500_000_000), ("H1L1", 49_500_000_000)]
    for key in [("plain", "BBH"), (None, "BNS"), (None, None)]:
        of_key = done.livetime.filter(
            pl.col("run").eq_missing(key[0]), pl.col("bank").eq_missing(key[1])
        )
        assert of_key.select("ifos", "livetime_ns").rows() == expected
    assert done.background_livetime_ns == 49_500_000_000


@pytest.mark.parametrize("file_format", list(FrameFormat))
def test_what_is_written_is_what_was_found(
    campaign: _Campaign, tmp_path: Path, file_format: FrameFormat
) -> None:
    done = process(*campaign[:2], known_events=campaign.known_events)
    out = tmp_path / "processed"
    for other in FrameFormat:
        done.write(out, file_format=other)
    done.write(out, file_format=file_format)
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert written == {
        "summary.json",
        *(
            f"{place}.{file_format}"
            for place in (
                "background/BBH",
                "background/BNS",
                "known_mergers/BBH",
                "known_mergers/BNS",
                "foreground/BBH",
                "missed/BBH",
                "rejects",
                "livetime",
            )
        ),
    }
    foreground = out / f"foreground/BBH.{file_format}"
    assert_frame_equal(read_frame(foreground), done.tables()["foreground/BBH"])
    units = read_units(foreground)
    assert (units["far_hz"], units["injection_distance_mpc"]) == ("Hz", "Mpc")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["injections"] == [
        {
            "run": "injected",
            "bank": "BBH",
            "found": 2,
            "missed": 1,
            "analysed": 2,
            "injected": None,
            "kept_fraction": 1.0,
        }
    ]


def test_a_background_without_segments_is_refused(campaign: _Campaign, tmp_path: Path) -> None:
    (tmp_path / "light" / "H1L1_SEGMENTS_100_100.xml").unlink()
    with pytest.raises(ConfigError, match=r"runs\[1\]\.segments: no file matches"):
        process(*campaign[:2], known_events=campaign.known_events)


def test_a_file_of_which_nothing_is_staged_is_named(campaign: _Campaign) -> None:
    campaign.staged["light"].clear()
    done = process(*campaign[:2], known_events=campaign.known_events)
    assert done.left_out == ["light/000_zerolag_100"]
    assert done.summary()["left_out"] == ["light/000_zerolag_100"]


def test_a_damaged_staged_file_is_named(campaign: _Campaign) -> None:
    campaign.staged["plain"][0].path.write_bytes(b"torn")
    with pytest.raises(TableError, match=r"plain\.parquet: .*extract it again"):
        process(*campaign[:2], known_events=campaign.known_events)


def test_the_windows_are_those_chosen(campaign: _Campaign) -> None:
    """Noise 0.9 s after a louder trigger, and a trigger 0.3 s after a known merger."""
    settings = ProcessSettings(cluster_window_ns=500_000_000, known_window_ns=200_000_000)
    done = process(*campaign[:2], known_events=campaign.known_events, settings=settings)
    kept = {name.rpartition(":")[2] for name in done.background.filter(run="plain")["event_id"]}
    assert {"1", "2"} <= kept
    assert done.known_mergers.is_empty()
    usual = process(*campaign[:2], known_events=campaign.known_events)
    few = {name.rpartition(":")[2] for name in usual.background.filter(run="plain")["event_id"]}
    assert {"1", "2"}.isdisjoint(few)
    assert usual.known_mergers.height == 1


def test_a_campaign_that_does_not_say_how_it_was_processed_is_refused(
    campaign: _Campaign, tmp_path: Path
) -> None:
    out = tmp_path / "processed"
    process(*campaign[:2], known_events=campaign.known_events).write(out)
    summary = json.loads((out / "summary.json").read_text())
    del summary["settings"]
    (out / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(FitError, match=r"does not say 'settings'; process again"):
        from_processed(out, settings=FitSettings())


def test_injections_say_whether_data_were_analysed_and_what_stood_near(
    campaign: _Campaign,
) -> None:
    settings = ProcessSettings(injection_mchirp_tolerance=0.01)
    done = process(
        campaign.runs, campaign.staged, known_events=campaign.known_events, settings=settings
    )
    found, missed = done.matches["injected"].found, done.matches["injected"].missed
    assert found.select("injection_id", "injection_analysed").rows() == [(1, True)]
    columns = ("injection_id", "analysed", "recovered_far_hz", "recovered_mchirp_det")
    assert missed.select(columns).rows() == [(0, False, 1e-9, 40.0), (2, True, None, None)]


def test_the_population_injected_is_written_down(campaign: _Campaign) -> None:
    run = campaign.runs.runs[2]
    path = run.directories[0].parent / "RUNS.yaml"
    law = "primary: {low: 5, high: 50}, secondary: {low: 5}, redshift: {high: 1}"
    text = _RUNS.rstrip().removesuffix("}") + f",\n     injected: {{{law}}}, kept_fraction: 0.5}}\n"
    path.write_text(text)
    done = process(read_runs(path), campaign.staged, known_events=campaign.known_events)
    (written,) = done.summary()["injections"]
    assert (written["kept_fraction"], written["bank"]) == (0.5, "BBH")
    assert convert_population(written["injected"]) == read_runs(path).runs[2].injected
