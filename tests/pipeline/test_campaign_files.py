"""A campaign's files: as SPIIR writes them, the same from the same seed, true to their truth."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import igwn_ligolw.ligolw
import igwn_ligolw.utils
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from spiir_pastro.cli.simulate import command
from spiir_pastro.domain import Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.folders import sole_writer
from spiir_pastro.io.ligolw import read_table
from spiir_pastro.io.ligolw_layouts import LEGACY_POSTCOH, POSTCOH
from spiir_pastro.io.runs import Purpose, read_runs
from spiir_pastro.pipeline.campaign_files import simulate
from spiir_pastro.simulation import CampaignConfig, build_campaign

CONFIG = CampaignConfig(
    seed=2,
    days=0.25,
    banks=(Source.BBH, Source.BNS),
    groups=2,
    noise_rate_hz=0.05,
    injection_interval_s=50,
    mergers_per_day=dict.fromkeys((Source.BBH, Source.BNS), 80.0),
    file_seconds=14_400,
    unassigned_s=600,
    chunk_rows=300,
)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("campaign")
    steps = list(simulate(root, CONFIG))
    assert steps[-1].files_done == steps[-1].files
    return root


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


class PlainTable(igwn_ligolw.ligolw.Table):  # type: ignore[misc]
    """Takes the types a file declares: today's schema has integers for ``ilwd:char`` ids."""

    TableByName: ClassVar[dict[str, type]] = {}


class PlainTables(igwn_ligolw.ligolw.LIGOLWContentHandler):  # type: ignore[misc]
    def startTable(self, parent: object, attrs: object) -> PlainTable:  # noqa: ARG002, N802
        return PlainTable(attrs)


def table(path: Path, name: str) -> pl.DataFrame:
    """Read a table with the reference reader; ids as integers."""
    document = igwn_ligolw.utils.load_filename(str(path), contenthandler=PlainTables)
    (found,) = igwn_ligolw.ligolw.Table.getTablesByName(document, name)
    columns = {
        column.Name: (column.Type, [getattr(row, column.Name) for row in found])
        for column in found.getElementsByTagName("Column")
    }
    return pl.DataFrame(
        {
            name: [int(v.split(":")[-1]) for v in values] if kind == "ilwd:char" else values
            for name, (kind, values) in columns.items()
        },
        strict=False,
    )


def test_the_same_seed_gives_the_same_bytes_from_any_number_of_processes(
    campaign: Path, tmp_path: Path
) -> None:
    list(simulate(tmp_path / "again", CONFIG, processes=2))
    assert digests(tmp_path / "again") == digests(campaign)


def test_the_runs_file_is_accepted(campaign: Path) -> None:
    runs = {run.name: run for run in read_runs(campaign / "RUNS.yaml").runs}
    assert list(runs) == ["bns_bg", "bns_inj", "bbh_bg", "bbh_inj"]
    for run in runs.values():
        assert len(run.trigger_files()) == len(run.segment_files()) == 4
    assert runs["bbh_inj"].purpose is Purpose.FOREGROUND
    assert runs["bbh_inj"].twin == "bbh_bg"


def test_every_row_has_its_truth(campaign: Path) -> None:
    files = sorted(campaign.glob("*_*/**/*_zerolag_*.xml.gz"))
    assert len(files) == 16
    for path in files:
        rows = table(path, "postcoh")
        relative = path.relative_to(campaign)
        truth = pl.read_parquet(
            campaign / "truth" / relative.parent / relative.name.replace(".xml.gz", ".parquet")
        )
        assert rows["event_id"].to_list() == truth["event_id"].to_list() == [*range(rows.height)]
        gps_ns = rows["end_time"].cast(pl.Int64) * 10**9 + rows["end_time_ns"]
        assert_frame_equal(gps_ns.to_frame("t"), truth["gps_ns"].to_frame("t"))
        assert set(truth["origin"]) <= {"noise", "merger", "injection"}
        assert ("injection" in set(truth["origin"])) == ("_inj" in path.parts[-3])


def test_files_hold_what_was_simulated(campaign: Path) -> None:
    path = min(campaign.glob("bbh_inj/HLV_001/*_zerolag_*"))
    rows = table(path, "postcoh")
    assert rows.columns == list(POSTCOH)
    simulated = build_campaign(CONFIG)
    place = next(i for i, g in enumerate(simulated.chain) if (g.bank, g.number) == (Source.BBH, 1))
    made = pl.concat(
        frame for frame, _ in simulated.blocks(place, (CONFIG.gps_start, 14_400), injected=True)
    )
    for name in ("cohsnr", "far", "mchirp", "snglsnr_V1"):
        np.testing.assert_array_equal(
            rows[name].cast(pl.Float32).to_numpy(), made[name].cast(pl.Float32).to_numpy()
        )
    np.testing.assert_array_equal(rows["deff_L1"].to_numpy(), made["deff_L1"].to_numpy())


def test_segments_are_when_there_are_triggers(campaign: Path) -> None:
    simulated = build_campaign(CONFIG)
    for path in sorted(campaign.glob("bbh_bg/HLV_000/*_SEGMENTS_*")):
        definers = table(path, "segment_definer")
        assert definers["ifos"].to_list() == ["H1", "L1", "V1"]
        segments = table(path, "segment")
        start = int(path.name.split("_")[2])
        assert (segments["start_time"] >= start).all()
        for number, ifo in enumerate(("H1", "L1", "V1")):
            mine = segments.filter(pl.col("segment_def_id") == number)
            spans = np.clip(simulated.segments[ifo], start, start + 14_400).clip(max=CONFIG.gps_end)
            total = (mine["end_time"] - mine["start_time"]).sum()
            assert total == np.diff(spans, axis=1).sum()


def test_injections_are_a_sim_inspiral_table(campaign: Path) -> None:
    for bank in ("bbh", "bns"):
        rows = table(campaign / "injections" / f"{bank}.xml.gz", "sim_inspiral")
        truth = pl.read_parquet(campaign / "truth" / f"injections_{bank}.parquet")
        assert rows["simulation_id"].to_list() == truth["injection_id"].to_list()
        redshifted = truth["mass1"] * (1 + truth["redshift"])
        np.testing.assert_allclose(rows["mass1"].to_numpy(), redshifted.to_numpy(), rtol=1e-6)
        assert (rows["eff_dist_h"] > rows["distance"] * 0.999).all()


def test_known_mergers_are_at_the_times_of_merger_triggers(campaign: Path) -> None:
    known = pl.read_csv(campaign / "known_mergers.csv")
    truth = pl.concat(pl.read_parquet(path) for path in campaign.glob("truth/*_bg/**/*.parquet"))
    triggers = truth.filter(pl.col("origin") == "merger").join(
        known, left_on="origin_id", right_on="merger_id"
    )
    assert triggers.height > 0
    assert (triggers["gps_ns"] / 1e9 - triggers["gps"]).abs().max() < 0.1  # type: ignore[operator]
    assert (triggers["source"] == triggers["class_by_median_mass"]).all()


def test_older_column_names(tmp_path: Path) -> None:
    arguments = ["--days", "0.01", "--banks", "bbh", "--groups", "1", "--legacy"]
    result = CliRunner().invoke(
        command, [str(tmp_path / "old"), *arguments, "--processes", "1"], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "triggers written" in result.stderr
    (path,) = (tmp_path / "old").glob("bbh_bg/**/*_zerolag_*")
    assert table(path, "postcoh").columns == list(LEGACY_POSTCOH)
    rows = read_table(path, "postcoh")
    assert set(rows.columns) == set(POSTCOH)
    assert rows.height > 10


def test_what_was_interrupted_goes_on_to_the_same(campaign: Path, tmp_path: Path) -> None:
    steps = simulate(tmp_path, CONFIG)
    rows = next(steps).rows
    del steps
    done = next(tmp_path.glob("*_bg/*/*_SEGMENTS_*"))
    written = done.stat().st_mtime_ns
    (done.parent / ".a_zerolag_file.xml.gz.123.part").write_bytes(b"half")
    first, *_ = simulate(tmp_path, CONFIG)
    assert first.rows == rows
    assert done.stat().st_mtime_ns == written
    assert digests(tmp_path) == digests(campaign)


def test_what_was_killed_before_its_first_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / ".campaign.json.host.1.part").write_bytes(b"half")
    (tmp_path / "injections").mkdir()
    next(simulate(tmp_path, CONFIG))
    assert not (tmp_path / ".campaign.json.host.1.part").exists()


def test_a_directory_in_use_is_refused(campaign: Path, tmp_path: Path) -> None:
    refused = pytest.raises(ConfigError, match="holds something already; name a new or empty dir")
    with refused:
        next(simulate(campaign, CONFIG))
    next(simulate(tmp_path, CONFIG))
    with refused:
        next(simulate(tmp_path, replace(CONFIG, seed=3)))
    with refused:
        next(simulate(tmp_path, CONFIG, legacy=True))


def test_two_simulations_do_not_share_a_directory(tmp_path: Path) -> None:
    with sole_writer(tmp_path), pytest.raises(ConfigError, match="another process writes to"):
        next(simulate(tmp_path, CONFIG))


def test_an_unknown_bank_is_refused() -> None:
    result = CliRunner().invoke(command, ["x", "--banks", "BBH,XYZ"])
    assert result.exit_code == 2
    assert "name some of BNS, NSBH, BBH" in result.stderr


def test_another_network_is_written_under_its_name(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        command,
        f"{tmp_path / 'o4'} --observing-run O4 --kagra --single-detector 0.5 --days 0.2 "
        "--groups 1 --banks BBH --injection-interval 60 --noise-rate 0.05",
    )
    assert result.exit_code == 0, result.output
    folder = tmp_path / "o4" / "bbh_inj" / "HLV_000"
    (zerolag,) = folder.glob("*_zerolag_*.xml.gz")
    table = read_table(zerolag, "postcoh", columns=["ifos", "snglsnr_K1", "deff_K1"])
    with_k1 = table.filter(pl.col("ifos").str.contains("K1"))
    assert with_k1.height > 0
    assert (with_k1["snglsnr_K1"] > 0).all()
    assert [path.name[:8] for path in folder.glob("*SEGMENTS*")] == ["H1L1V1K1"]
    with pytest.raises(ConfigError, match="older files name no detectors but H1, L1, V1"):
        next(simulate(tmp_path / "old", _with_kagra(), legacy=True))


def _with_kagra() -> CampaignConfig:
    four = dict.fromkeys(("H1", "L1", "V1", "K1"), 0.7)
    return replace(CONFIG, duty_cycle=four, bns_range_mpc=dict.fromkeys(four, 100.0))
