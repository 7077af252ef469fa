"""What a campaign's triggers must be, against their own truth."""

import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.simulation import (
    CampaignConfig,
    build_campaign,
    draw_candidates,
    draw_distances,
    merger_frame,
)

DAYS = 2.0
CONFIG = CampaignConfig(seed=11, days=DAYS, noise_rate_hz=0.2, injection_interval_s=60)
VALUES = ["gps_ns", "far", "cohsnr", "cmbchisq", "mchirp", "far_1d", "snglsnr_H1", "deff_V1", "dec"]


@pytest.fixture(scope="module")
def injected() -> pl.DataFrame:
    return draw_candidates(CONFIG, injected=True)


@pytest.fixture(scope="module")
def plain() -> pl.DataFrame:
    return draw_candidates(CONFIG)


@pytest.fixture(scope="module")
def best(injected: pl.DataFrame) -> pl.DataFrame:
    """Each injection's most significant trigger, with the injection's true values."""
    campaign = build_campaign(CONFIG)
    true = pl.concat(
        pl.DataFrame(
            {
                "bank": [str(bank)] * signals.numbers.size,
                "origin_id": signals.numbers,
                "true_mchirp": signals.binaries.mchirp_det,
                "true_distance": signals.binaries.distance_mpc,
                "true_eff_L1": signals.binaries.eff_distance_mpc()[:, 1],
                "true_snr_L1": np.abs(signals.optimal[:, 1]),
                "true_gps": signals.binaries.gps,
            }
        )
        for bank, signals in campaign.injections.items()
    )
    found = injected.filter(pl.col("origin") == "injection", pl.col("far") > 0)
    return (
        found.sort("far")
        .unique(["bank", "origin_id"], keep="first")
        .join(true, on=["bank", "origin_id"], how="right")
    )


def test_the_same_noise_stands_in_both_runs(injected: pl.DataFrame, plain: pl.DataFrame) -> None:
    keys = ["bank", "group", *VALUES]
    noise_in = injected.filter(pl.col("origin") != "injection").select(keys)
    noise_out = plain.select(keys)
    assert noise_in.join(noise_out, on=keys, how="anti", nulls_equal=True).is_empty()
    displaced = noise_out.join(noise_in, on=keys, how="anti", nulls_equal=True)
    assert 0 < displaced.height < 0.02 * noise_out.height


def test_mergers_stand_in_every_run(injected: pl.DataFrame, plain: pl.DataFrame) -> None:
    keys = ["bank", "group", "origin_id", "gps_ns"]
    merger = pl.col("origin") == "merger"
    assert plain.filter(merger).height > 0
    assert_frame_equal(plain.filter(merger).select(keys), injected.filter(merger).select(keys))


def test_rows_obey_spiirs_relations(injected: pl.DataFrame) -> None:
    snr, chisq = (
        injected.select(f"{name}_{ifo}" for ifo in ("H1", "L1", "V1")).to_numpy()
        for name in ("snglsnr", "chisq")
    )
    on = np.array([[ifo in ifos for ifo in ("H1", "L1", "V1")] for ifos in injected["ifos"]])
    assert ((snr > 0) == on).all()
    coherent = injected["cohsnr"].to_numpy()
    null = injected["nullsnr"].to_numpy()
    np.testing.assert_allclose(coherent**2 + null**2, (snr**2).sum(axis=1), rtol=1e-9)
    assert (null[on.sum(axis=1) == 2] == 0).all()
    np.testing.assert_allclose(
        injected["cmbchisq"].to_numpy(), chisq.sum(axis=1) / on.sum(axis=1), rtol=1e-9
    )
    largest = injected.select(8 * pl.max_horizontal("far_1w", "far_1d", "far_2h")).to_series()
    np.testing.assert_allclose(injected["far"].to_numpy(), largest.to_numpy(), rtol=1e-9)
    early = injected["gps_ns"] / 1e9 < CONFIG.gps_start + CONFIG.unassigned_s
    assert ((injected["far"] == 0) == early).all()


@pytest.mark.real_data
def test_real_rows_obey_the_same_relations(real_data: Path) -> None:
    for path in sorted((real_data / "spiir").glob("coinc*/*.xml")):
        row = real_row(path.read_text())
        far = [float(row[name]) for name in ("far", "far_2h", "far_1d", "far_1w")]
        assert far[0] == pytest.approx(8 * max(far[1:]), rel=1e-3)
        snr = [float(row[f"snglsnr_{ifo}"]) for ifo in ("H1", "L1", "V1")]
        chisq = [float(row[f"chisq_{ifo}"]) for ifo in ("H1", "L1", "V1")]
        coherent = np.hypot(float(row["cohsnr"]), float(row["nullsnr"]))
        np.testing.assert_allclose(coherent, np.linalg.norm(snr), rtol=1e-6)
        np.testing.assert_allclose(
            float(row["cmbchisq"]), sum(chisq) / np.count_nonzero(snr), rtol=1e-6
        )


def real_row(text: str) -> dict[str, str]:
    table = re.search(r'<Table Name="postcoh:table">(.*?)</Table>', text, re.DOTALL)
    assert table is not None
    names = re.findall(r'Column Name="postcoh:(\w+)"', table[1])
    stream = re.search(r"<Stream[^>]*>(.*?)</Stream>", table[1], re.DOTALL)
    assert stream is not None
    return dict(zip(names, stream[1].strip().rstrip(",").split(","), strict=True))


NO_MERGERS = dict.fromkeys(ASTROPHYSICAL, 0.0)


def candidates(config: CampaignConfig) -> pl.DataFrame:
    """Return the triggers of all banks, clustered within a second as a count of them is."""
    drawn = draw_candidates(config)
    named = drawn.with_columns(
        event_id=pl.format("{}-{}-{}", "bank", "group", "event_id"), far_hz="far", snr="cohsnr"
    )
    return cluster(named)


@pytest.mark.parametrize("banks", [ASTROPHYSICAL, (Source.NSBH,)], ids=["all", "one"])
@pytest.mark.parametrize("duty", [{}, {"H1": 1.0, "L1": 1.0, "V1": 1.0}], ids=["O3a", "always on"])
def test_candidates_of_all_banks_come_at_the_rate_their_far_says(
    banks: tuple[Source, ...], duty: dict[str, float]
) -> None:
    """Whatever is searched, and however the detectors fail; each has 1 false alarm in 10^3."""
    config = CampaignConfig(
        seed=5,
        days=400,
        banks=banks,
        groups=2,
        far_max_hz=3e-4,
        mergers_per_day=NO_MERGERS,
        injection_interval_s=1e7,
        unassigned_s=0,
        **({"duty_cycle": duty} if duty else {}),  # type: ignore[arg-type]
    )
    far_hz = candidates(config)["far_hz"].to_numpy()
    on = np.array(list(config.duty_cycle.values()))
    livetime_s = config.seconds * (
        1 - (1 - on).prod() - sum(on[d] * np.delete(1 - on, d).prod() for d in range(on.size))
    )
    assert stats.kstest(far_hz / 3e-4, "uniform").pvalue > 1e-3
    for limit_hz in (3e-4, 1e-4, 1e-5, 1e-6):
        chance = stats.poisson.cdf((far_hz < limit_hz).sum(), limit_hz * livetime_s)
        assert 5e-4 < chance < 1 - 5e-4


FOUR = {"H1": 0.7, "L1": 0.7, "V1": 0.7, "K1": 0.7}


def test_kagra_takes_part_where_it_is_searched() -> None:
    config = replace(CONFIG, days=0.5, duty_cycle=FOUR, bns_range_mpc=dict.fromkeys(FOUR, 100.0))
    rows = draw_candidates(config, injected=True)
    assert {"snglsnr_K1", "deff_K1", "far_sngl_K1", "end_time_sngl_K1"} <= set(rows.columns)
    with_k1 = rows.filter(pl.col("ifos").str.contains("K1"))
    assert (with_k1["snglsnr_K1"] > 0).all()
    assert (rows.filter(~pl.col("ifos").str.contains("K1"))["snglsnr_K1"] == 0).all()
    assert with_k1.filter(pl.col("origin") == "injection").height > 20
    assert with_k1.filter(pl.col("ifos") == "H1L1V1K1").height > 20
    snr = rows.select("^snglsnr_.*$").to_numpy()
    np.testing.assert_allclose(
        rows["cohsnr"].to_numpy() ** 2 + rows["nullsnr"].to_numpy() ** 2,
        (snr**2).sum(axis=1),
        rtol=1e-9,
    )


def test_single_detectors_are_searched_if_asked_at_the_rate_their_far_says() -> None:
    """Over all time with one detector or more; each count has 1 false alarm in 10^3."""
    config = CampaignConfig(
        seed=6,
        days=200,
        groups=1,
        far_max_hz=3e-4,
        mergers_per_day={Source.BBH: 5.0},
        single_detector=0.5,
        injection_interval_s=1e7,
        unassigned_s=0,
    )
    found = candidates(config)
    alone = found["ifos"].is_in(["H1", "L1", "V1"])
    assert set(found.filter(alone & (pl.col("origin") == "merger"))["ifos"]) >= {"H1", "L1"}
    states = np.array(list(product([False, True], repeat=3)))
    duty = np.array(list(config.duty_cycle.values()))
    chance = np.where(states, duty, 1 - duty).prod(axis=1)
    noise = found.filter(pl.col("origin") == "noise")
    expected = 3e-4 * config.seconds * (1 - chance[0])
    assert 5e-4 < stats.poisson.cdf(noise.height, expected) < 1 - 5e-4
    share = noise["ifos"].is_in(["H1", "L1", "V1"]).to_numpy().mean()
    rates = np.where(states.sum(axis=1) == 1, 0.5, 0) * chance
    pairs = (
        chance @ (states[:, 0] & states[:, 1])
        + chance @ ((states[:, 0] ^ states[:, 1]) & states[:, 2]) * 0.21
    )
    assert share == pytest.approx(rates.sum() / (rates.sum() + pairs), abs=0.03)
    assert candidates(replace(config, single_detector=0.0))["ifos"].str.len_chars().min() == 4


def test_adjacent_groups_share_some_noise(plain: pl.DataFrame) -> None:
    noise = plain.filter(pl.col("origin") == "noise")
    twice = noise.filter(pl.struct("gps_ns", "coaphase_H1").is_duplicated())
    share = twice.height / 2 / noise.height
    assert 0.02 < share < CONFIG.shared_noise


def test_candidates_alone_are_the_campaigns_candidates() -> None:
    """They follow the same law: counts below the limit agree to 4 sigma."""
    full = CampaignConfig(seed=3, days=3, banks=(Source.BBH,), mergers_per_day={}, unassigned_s=0)
    many = draw_candidates(full).filter(pl.col("far") < 1e-3).height
    few = draw_candidates(replace(full, seed=4, far_max_hz=1e-3)).height
    assert few > 100
    assert abs(many - few) < 4 * np.sqrt(many + few)


def test_recovered_effective_distance_scatters_about_the_true(best: pl.DataFrame) -> None:
    """By Gaussian noise of unit variance over the SNR, to a fifth; where the template is right.

    Chosen by the true SNR: those above a measured one are rather those that noise made louder.
    """
    good = best.filter(
        pl.col("true_snr_L1") > 7,
        pl.col("snglsnr_L1") > 0,
        ((pl.col("mchirp") / pl.col("true_mchirp")).log()).abs() < 0.01,
    )
    assert good.height > 80
    ratio = (good["deff_L1"] / good["true_eff_L1"]).to_numpy()
    assert abs(np.median(ratio) - 1) < 0.03
    pull = (ratio - np.median(ratio)) * good["true_snr_L1"].to_numpy()
    assert 0.7 < stats.median_abs_deviation(pull, scale="normal") < 1.3


def test_efficiency_falls_with_distance(best: pl.DataFrame) -> None:
    for bank in ASTROPHYSICAL:
        rows = best.filter(pl.col("bank") == str(bank))
        scaled = rows["true_distance"] / rows["true_mchirp"] ** (5 / 6)
        found = (rows["far"] < 1e-4).fill_null(value=False).to_numpy().astype(float)
        near, far = np.array_split(found[np.argsort(scaled.to_numpy())], 2)
        assert near.mean() > far.mean() + 0.1


def test_chirp_mass_is_recovered_as_spiir_does(best: pl.DataFrame) -> None:
    found = best.filter(pl.col("far") < 1e-4)
    ratio = (found["mchirp"] / found["true_mchirp"]).to_numpy()
    heavy = found["true_mchirp"].to_numpy() > 30
    gross = ratio < 0.5
    assert not gross[~heavy].any()
    assert 0.15 < gross[heavy].mean() < 0.45
    bns = (found["bank"] == "BNS").to_numpy()
    # The response's Student's t of 2 with a scale of .003 has its 99 % point at .030.
    error = np.abs(np.log(ratio[bns]))
    assert np.quantile(error, 0.9) < 0.01
    assert stats.binomtest(int((error > 0.03).sum()), error.size, 0.01).pvalue > 1e-3


def test_a_merger_makes_several_triggers(injected: pl.DataFrame) -> None:
    signals = injected.filter(pl.col("origin") == "injection")
    counts = signals.group_by("bank", "origin_id").len()["len"].to_numpy()
    assert (counts > 1).mean() > 0.1
    assert counts.max() >= 4


def test_triggers_arrive_when_their_injection_does(injected: pl.DataFrame) -> None:
    campaign = build_campaign(CONFIG)
    for bank, signals in campaign.injections.items():
        rows = injected.filter(pl.col("origin") == "injection", pl.col("bank") == str(bank))
        late = rows["gps_ns"].to_numpy() / 1e9 - signals.binaries.gps[rows["origin_id"].to_numpy()]
        assert np.abs(late).max() < 0.025


def test_a_year_of_candidates_is_cheap_enough_to_calibrate_with() -> None:
    config = CampaignConfig(
        seed=9, days=15, far_max_hz=3e-4, mergers_per_day=dict.fromkeys(ASTROPHYSICAL, 20.0)
    )
    table = candidates(config)
    noise = table.filter(pl.col("origin") == "noise").height
    mergers = table.filter(pl.col("origin") == "merger")
    livetime_s = config.seconds * 0.839  # two of duty cycles .71, .76 and .76, as expected
    assert 1e-3 < stats.poisson.cdf(noise, 3e-4 * livetime_s) < 1 - 1e-3
    assert mergers.select("source", "origin_id").unique().height > 100
    assert set(mergers["source"]) == {"BNS", "NSBH", "BBH"}


def test_mergers_that_make_loud_candidates_are_listed_and_most_listed_make_one() -> None:
    config = CampaignConfig(
        seed=9, days=15, far_max_hz=3e-4, mergers_per_day=dict.fromkeys(ASTROPHYSICAL, 20.0)
    )
    found = draw_candidates(config).filter(pl.col("origin") == "merger", pl.col("far") > 0)
    listed = set(merger_frame(build_campaign(config))["merger_id"])
    # At the border the trigger's own noise decides, two standard deviations of it at most.
    unlisted = found.filter(pl.col("far") < 1e-7, ~pl.col("origin_id").is_in(listed))
    assert (unlisted["cohsnr"] < 8 + 2 * math.sqrt(0.1)).all()
    assert set(found.filter(pl.col("far") < 1e-8)["origin_id"]) <= listed
    assert len(listed & set(found["origin_id"])) > 0.5 * len(listed)


def test_a_campaign_of_one_class_lists_its_mergers() -> None:
    listed = merger_frame(build_campaign(replace(CONFIG, mergers_per_day={Source.BBH: 20.0})))
    assert set(listed["class_by_median_mass"]) == {"BBH"}


def test_drawn_distances_look_like_bayestars() -> None:
    table = draw_distances(build_campaign(CONFIG))
    ratio = (
        table["bayestar_distance_mean"] / table.select(pl.min_horizontal("^deff_.*$")).to_series()
    )
    assert 0.7 < np.median(ratio.to_numpy()) < 0.9
    assert (table["snr_V1"].is_null() == ~table["ifos"].str.contains("V1")).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"days": 0.0}, r"days is 0\.0; it must lie in"),
        ({"banks": ()}, "banks are none; name some of BNS, NSBH, BBH"),
        ({"far_max_hz": 50.0}, r"far_max_hz is 50\.0"),
        ({"duty_cycle": {"H1": 2.0, "L1": 1, "V1": 1}}, r"duty_cycle\[H1\] is 2\.0"),
        ({"duty_cycle": {"H1": 0.7, "L1": 0.7}}, "duty_cycle is of H1, L1, bns_range_mpc of H1"),
        ({"duty_cycle": FOUR}, "give both of H1, L1, V1, and of K1 or not"),
        ({"observing_run": "O9"}, "observing_run is 'O9'; name one of O3, O4"),
    ],
)
def test_impossible_campaigns_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CampaignConfig(**wrong)  # type: ignore[arg-type]
