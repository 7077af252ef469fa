"""The real BAYESTAR on a real candidate; a campaign that stops and goes on."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("ligo.skymap", reason="needs the extra [bayestar]")

import bayestar_campaign
from spiir_pastro.cli import app
from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.io.distance_tables import read_distances
from spiir_pastro.pipeline import localise

pytestmark = pytest.mark.filterwarnings("ignore")  # of LAL and ligo.skymap


@pytest.mark.slow
@pytest.mark.real_data
def test_gw170817_as_spiir_saw_it_is_at_its_published_distance(real_data: Path) -> None:
    (coinc,) = (real_data / "spiir" / "coinc_series").glob("*1187008882*.xml")
    mean, std = localise.localise_candidate(coinc, "TaylorF2")
    # 40 +8 -14 Mpc, arXiv:1710.05832; the spread is wide, for the inclination is unknown.
    assert abs(mean - 40) < std < 12


def test_a_campaign_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Injections and matched filter are real; BAYESTAR itself would take ten seconds an event.
    sky = SimpleNamespace(meta={"distmean": 100.0, "diststd": 30.0})
    monkeypatch.setattr("ligo.skymap.bayestar.localize", lambda _event, **_options: sky)
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    bayestar_campaign.main(["--events", "3", "--seed", "7", str(whole)])
    bayestar_campaign.main(["--events", "1", "--seed", "7", str(parts)])
    bayestar_campaign.main(["--events", "3", "--seed", "7", str(parts)])
    assert parts.read_text() == whole.read_text()
    with whole.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source_class"] for row in rows] == ["BNS", "NSBH", "BBH"]
    for row in rows:
        snrs = [float(row[f"snr_{ifo}"] or 0) for ifo in ("H1", "L1", "V1")]
        assert sum(snr**2 for snr in snrs) == pytest.approx(float(row["snr_net"]) ** 2)
        assert sorted(snrs)[1] >= 4
        assert float(row["snr_net"]) >= 8
        assert row["ifos"] == "".join(
            ifo for ifo, snr in zip(("H1", "L1", "V1"), snrs, strict=True) if snr
        )


def test_what_the_classes_leave_out_of_the_plane_is_drawn_too() -> None:
    rng = np.random.default_rng(4)
    drawn = [bayestar_campaign._draw_elsewhere(rng) for _ in range(400)]
    gap = [t for t in drawn if 3 < t["mass1"] < 5]
    heavy = [t for t in drawn if t["mass1"] > 80]
    light = [t for t in drawn if t["mass2"] < 1.1]
    assert min(len(gap), len(heavy), len(light)) > 20
    for template in drawn:
        assert 1 <= template["mass2"] <= template["mass1"] <= 150
        assert not (template["mass2"] > 6 and template["mass1"] < 80)
    assert {bayestar_campaign._class_of(t) for t in drawn} == set(ASTROPHYSICAL)


@pytest.mark.real_data
def test_distances_are_what_fit_reads_and_go_on_where_they_stopped(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sky = SimpleNamespace(meta={"distmean": 43.0, "diststd": 8.5})
    runs: list[object] = []

    def localize(event: object, **_options: object) -> SimpleNamespace:
        runs.append(event)
        return sky

    monkeypatch.setattr("ligo.skymap.bayestar.localize", localize)
    (whole,) = (real_data / "spiir" / "coinc_series").glob("*1187008882*.xml")
    (bare,) = (real_data / "spiir" / "coinc").glob("*1257995031*.xml")
    table = tmp_path / "distances.csv"
    run = CliRunner().invoke(
        app, ["distances", str(whole), str(bare), "--output", str(table)], standalone_mode=False
    )
    assert run.return_value == 3, run.output
    assert bare.name in run.output
    events = read_distances(table)
    assert events.distance_mean.tolist() == [43.0]
    assert 28 < events.snr[0] < 29.5  # of the two LIGO detectors, 15.1 and 24.5
    CliRunner().invoke(app, ["distances", str(whole), "--output", str(table)])
    assert len(runs) == 1
    assert table.read_text().count("\n") == 2
