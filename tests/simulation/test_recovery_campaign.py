"""The matched-filter campaign, with a bank of a few templates; and the table it left."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recovery_campaign
from recovery_campaign import COLUMNS, IFOS, Event, Filters
from template_bank import Bank, chirp_coordinates, metric, placed
from waveforms import CURVES, Grid, campaign_grid

TABLE = Path(__file__).parents[2] / "src/spiir_pastro/io/data/recovered_injections.csv"


def small_bank() -> Bank:
    """Binaries spread over the plane, and a cluster about 30 + 20 solar masses."""
    rng = np.random.default_rng(3)
    first = np.concatenate([np.geomspace(1.2, 150, 60), 30 + rng.normal(0, 0.5, 60)])
    second = np.concatenate([np.geomspace(1.1, 45, 60), 20 + rng.normal(0, 0.5, 60)])
    return Bank(first, second, np.zeros(120), np.zeros(120))


@pytest.fixture(scope="module")
def filters() -> Filters:
    return Filters(small_bank())


def event(filters: Filters, truth: tuple[float, float, float, float], snr: float) -> Event:
    """A signal without noise, equally loud in two detectors."""
    white = filters.weights * filters.grid.strain(*truth)
    sigma = np.linalg.norm(white, axis=1)
    on = np.array([True, True, False])
    data = (snr * white / sigma[:, None] * on[:, None]).astype(np.complex64)
    return Event(truth=truth, data=data, on=on, optimal=snr * on * 1.0, sigma=sigma)


def test_the_uneven_grid_gives_the_match_of_an_even_one() -> None:
    """Of two neutron-star binaries far enough apart to lose a quarter of the SNR."""
    even = Grid(20 + (np.arange(64 * 1004) + 0.5) / 64, np.full(64 * 1004, 1 / 64))
    values = []
    for grid in (campaign_grid(), even):
        weight = grid.weight(CURVES["O3", "L1"])
        one, other = (weight * grid.strain(m, 1.4, 0.0, 0.0) for m in (1.4, 1.401))
        times = np.arange(-6, 7) / 2048
        turns = np.exp(2j * np.pi * np.outer(times, grid.frequency))
        overlap = np.abs(turns @ (one * other.conj())).max()
        values.append(overlap / np.linalg.norm(one) / np.linalg.norm(other))
    assert values[0] == pytest.approx(values[1], abs=1e-3)
    assert 0.7 < values[0] < 0.8


def test_the_metric_predicts_the_loss_of_match() -> None:
    grid = campaign_grid()
    weight = grid.weight(CURVES["O3", "L1"])
    tensor, _ = metric(grid, weight, 1.2, 0.24, 0.0, 0.0)
    masses = [placed(np.array(1.2 * np.exp(step)), np.array(0.24)) for step in (0.0, 3e-5)]
    one, other = (weight * grid.strain(float(a), float(b), 0.0, 0.0) for a, b in masses)
    times = np.linspace(-0.01, 0.01, 201)
    overlap = np.abs(np.exp(2j * np.pi * np.outer(times, grid.frequency)) @ (one * other.conj()))
    match = overlap.max() / np.linalg.norm(one) / np.linalg.norm(other)
    assert 1 - match == pytest.approx(tensor[0, 0] * 9e-10 / 2, rel=0.05)


def test_a_template_of_the_bank_is_recovered_as_itself(filters: Filters) -> None:
    number = 25
    found = recovery_campaign.recover(filters, event(filters, filters.bank.template(number), 20.0))
    assert found.number == number
    np.testing.assert_allclose(found.snr, [20, 20, 0], rtol=1e-3)


def test_the_neighbourhood_holds_what_the_whole_bank_would_recover(
    filters: Filters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recovery_campaign, "_NEAR_HEAVY", 40)
    truth = (30.2, 20.3, 0.05, 0.0)
    monkeypatch.setattr(recovery_campaign, "draw_event", lambda f, _: event(f, truth, 15.0))
    recovery_campaign.check_whole_bank(filters, 1, 2)
    assert "0 of 2 recover a louder template; SNR gain 0.0000" in capsys.readouterr().out


def test_chi_square_is_one_for_a_signal_in_gaussian_noise(filters: Filters) -> None:
    """To four standard errors of forty draws."""
    rng = np.random.default_rng(5)
    values = []
    for _ in range(40):
        quiet = event(filters, filters.bank.template(20), 12.0)
        noise = rng.standard_normal((2, *quiet.data.shape))
        data = (quiet.data + (noise[0] + 1j * noise[1]) * quiet.on[:, None]).astype(np.complex64)
        noisy = Event(
            truth=quiet.truth, data=data, on=quiet.on, optimal=quiet.optimal, sigma=quiet.sigma
        )
        values.append(filters.chisq(noisy, recovery_campaign.recover(filters, noisy)))
    assert abs(np.mean(values) - 1) < 4 * np.std(values) / np.sqrt(40)


def test_a_stopped_campaign_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    bank = small_bank()
    for name in ("whole", "stopped"):
        rows = [bank.mass1, bank.mass2, bank.spin1z, bank.spin2z]
        np.save(tmp_path / f"{name}.bank.npy", np.stack(rows))
    recovery_campaign.main([str(tmp_path / "whole.csv"), "--events", "4", "--seed", "3"])
    whole = (tmp_path / "whole.csv").read_text()
    (tmp_path / "stopped.csv").write_text("".join(whole.splitlines(keepends=True)[:4]) + "2,H1")
    recovery_campaign.main([str(tmp_path / "stopped.csv"), "--events", "4", "--seed", "3"])
    assert (tmp_path / "stopped.csv").read_text() == whole


def test_chirp_coordinates_tell_templates_of_equal_chirp_mass_apart() -> None:
    near, far = (
        chirp_coordinates(*placed(np.array([1.2]), np.array([eta])), np.zeros(1), np.zeros(1))
        for eta in (0.25, 0.2)
    )
    assert near[0, 0] == pytest.approx(far[0, 0], rel=1e-9)  # the leading order is chirp mass
    assert abs(near[0, 1] - far[0, 1]) > 1


def test_the_table_holds_what_its_head_promises() -> None:
    head, header = TABLE.read_text(encoding="utf-8").splitlines()[:2]
    table = pl.read_csv(TABLE, comment_prefix="#")
    assert head.startswith("# tools/recovery_campaign.py --events ")
    assert tuple(header.split(",")) == COLUMNS
    assert table.height >= 2000
    assert table["event"].to_list() == list(range(table.height))
    snr = table.select(f"rec_snr_{ifo}" for ifo in IFOS).fill_null(0.0).to_numpy()
    np.testing.assert_allclose(np.linalg.norm(snr, axis=1), table["rec_snr"], rtol=1e-3)
    assert (np.sort(snr, axis=1)[:, 1] >= 4 - 1e-3).all()
    assert (table["rec_snr"] >= 8 - 1e-3).all()
    mass1 = table["mass1"].to_numpy()
    assert mass1.min() < 1.1
    assert mass1.max() > 140
