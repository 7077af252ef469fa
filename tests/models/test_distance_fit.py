"""Richer and robuster distance fits: never worse than PyCBC's form, better where there is more."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from spiir_pastro.errors import FitError, TriggerError
from spiir_pastro.models.distance import PYCBC_LIVE_O3, DistanceModel, average_distance
from spiir_pastro.models.distance_fit import (
    ESTIMATORS,
    Estimator,
    fit_distance,
    hold_out_residuals,
)
from spiir_pastro.models.mass_contour import MassContourClassifier
from tolerances import ROUNDING

Floats = NDArray[np.float64]
Events = tuple[Floats, Floats, Floats, Floats]

TRUTH = DistanceModel(
    luminosity_per_effective=0.54,
    log_sigma_intercept=-0.24,
    sigma_snr_exponent=-0.42,
    faint_excess=0.32,
    average="inverse-square",
)


def _events(n: int, seed: int, scatter: float = 0.15) -> Events:
    """Events of three detectors, the third often off, as the true model makes them."""
    rng = np.random.default_rng(seed)
    snr = 8 * rng.random(n) ** (-1 / 3)
    by_detector = 4000 / snr[:, None] * rng.uniform(0.5, 2, (n, 3))
    by_detector[rng.random(n) < 0.3, 2] = np.nan
    mean, std = TRUTH.luminosity(snr, by_detector)
    return (
        snr,
        by_detector,
        mean * np.exp(scatter * rng.standard_normal(n)),
        std * np.exp(0.1 * rng.standard_normal(n)),
    )


def _campaign(path: Path) -> tuple[pl.DataFrame, Events]:
    table = pl.read_csv(path)
    names = ("snr_net", "bayestar_distance_mean", "bayestar_distance_std")
    snr, mean, std = (table[name].to_numpy() for name in names)
    by_detector = [table[f"deff_{ifo}"].cast(pl.Float64).to_numpy() for ifo in ("H1", "L1", "V1")]
    return table, (snr, np.stack(by_detector, axis=1), mean, std)


def _scatter(residuals: Floats) -> float:
    return float(np.sqrt(np.mean(residuals**2)))


def test_an_average_leaves_out_detectors_that_took_no_part() -> None:
    nan = np.nan
    by_detector = np.array([[300.0, 400.0, nan], [nan, 500.0, nan], [nan, nan, nan]])
    np.testing.assert_allclose(
        average_distance(by_detector, "inverse-square"),
        [(0.5 * (300**-2 + 400**-2)) ** -0.5, 500, nan],
        rtol=ROUNDING,
    )
    np.testing.assert_array_equal(average_distance(by_detector, "least"), [300, 500, nan])


def test_an_average_of_unknown_detectors_is_refused() -> None:
    with pytest.raises(TriggerError, match="averages over detectors"):
        TRUTH.luminosity([10.0], [500.0])
    snr, by_detector, mean, std = _events(20, seed=1)
    with pytest.raises(TriggerError, match="averages over detectors"):
        fit_distance(snr, by_detector[:, 0], mean, std, estimator="network")
    with pytest.raises(FitError, match="average is 'mean'"):
        DistanceModel(
            luminosity_per_effective=1,
            log_sigma_intercept=0,
            sigma_snr_exponent=0,
            average="mean",  # type: ignore[arg-type]
        )


def test_the_network_fit_finds_what_made_its_events_within_its_own_errors() -> None:
    model = fit_distance(*_events(20_000, seed=2), estimator="network")
    assert model.fit is not None
    for fitted, true, covariance in (
        (
            (np.log(model.luminosity_per_effective), model.faint_excess),
            (np.log(TRUTH.luminosity_per_effective), TRUTH.faint_excess),
            model.fit.distance_covariance,
        ),
        (
            (model.log_sigma_intercept, model.sigma_snr_exponent),
            (TRUTH.log_sigma_intercept, TRUTH.sigma_snr_exponent),
            model.fit.sigma_covariance,
        ),
    ):
        pull = (np.array(fitted) - true) / np.sqrt(np.diag(covariance))
        assert np.abs(pull).max() < 4  # four numbers: one chance in 4000


def test_the_reach_of_faint_triggers_is_not_extrapolated() -> None:
    events = _events(300, seed=8)
    model = fit_distance(*events, estimator="faint")
    snr = np.array([4.0, events[0].min(), 12.0, 1e6])
    reach, _ = model.luminosity(snr, np.full(4, 100.0))
    assert reach[0] == reach[1] > reach[2] > reach[3]
    assert reach[3] == pytest.approx(100 * model.luminosity_per_effective)


def test_stated_errors_are_the_spread_of_repeated_fits() -> None:
    fits = [fit_distance(*_events(300, seed=s), estimator="faint") for s in range(100, 160)]
    spread = np.std([model.faint_excess for model in fits])
    stated = [np.sqrt(model.fit.distance_covariance[1][1]) for model in fits if model.fit]
    assert spread / np.mean(stated) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("estimator", ["robust", "faint", "network"])
def test_outliers_hardly_move_a_robust_fit(estimator: str) -> None:
    events = _events(300, seed=3)
    spoiled = events[2].copy()
    spoiled[:9] *= 10  # a template of a third of the chirp mass, say
    drifts = {}
    for name in ("pycbc", estimator):
        clean, dirty = (
            fit_distance(*events[:2], mean, events[3], estimator=name)  # type: ignore[arg-type]
            for mean in (events[2], spoiled)
        )
        assert dirty.fit is not None
        outliers = dirty.fit.outliers
        ratios = [model.luminosity([12.0], [[500.0]])[0][0] for model in (clean, dirty)]
        drifts[name] = abs(ratios[1] / ratios[0] - 1)
    assert outliers >= 9
    assert drifts[estimator] < 0.03
    assert drifts["pycbc"] > 0.2


def test_best_takes_the_richest_form_only_where_it_pays() -> None:
    rich = fit_distance(*_events(300, seed=4), estimator="best")
    assert rich.average == "inverse-square"
    for seed in range(5, 10):
        rng = np.random.default_rng(seed)
        snr, nearest = rng.uniform(8, 30, 300), rng.uniform(50, 3000, 300)
        mean, std = PYCBC_LIVE_O3.luminosity(snr, nearest)
        plain = fit_distance(
            snr, nearest, mean * np.exp(0.1 * rng.standard_normal(300)), std, estimator="best"
        )
        assert plain.fit is not None
        assert plain.fit.estimator == "pycbc"


def test_a_held_out_event_does_not_take_part() -> None:
    events = _events(50, seed=6)
    before = hold_out_residuals(*events, estimator="network")
    moved = events[2].copy()
    moved[7] *= 3
    after = hold_out_residuals(*events[:2], moved, events[3], estimator="network")
    assert after[7] == pytest.approx(3 * (before[7] + 1) - 1)
    same_turn = np.arange(50) % 10 == 7
    same_turn[7] = False
    np.testing.assert_array_equal(after[same_turn], before[same_turn])


@pytest.mark.parametrize("estimator", ["pycbc", "network", "best"])
def test_held_out_events_are_estimated_by_a_fit_to_the_others(estimator: Estimator) -> None:
    events = _events(80, seed=7)
    found = hold_out_residuals(*events, estimator=estimator)
    for turn in range(10):
        held = np.arange(80) % 10 == turn
        others = fit_distance(*(column[~held] for column in events), estimator=estimator)
        estimate, _ = others.luminosity(events[0][held], events[1][held])
        np.testing.assert_allclose(found[held], events[2][held] / estimate - 1, rtol=ROUNDING)
    if estimator == "pycbc":
        np.testing.assert_array_equal(hold_out_residuals(*events), found)
    if estimator != "best":
        fitted = fit_distance(*events, estimator=estimator).fit
        assert fitted is not None
        assert fitted.hold_out_scatter == pytest.approx(_scatter(found), rel=ROUNDING)


def test_the_error_of_pycbcs_ratio_is_that_of_a_mean() -> None:
    snr, by_detector, mean, std = _events(50, seed=9)
    nearest = np.nanmin(by_detector, axis=1)
    fitted = fit_distance(snr, nearest, mean, std).fit
    assert fitted is not None
    relative = stats.sem(mean / nearest) / np.mean(mean / nearest)
    np.testing.assert_allclose(
        fitted.distance_covariance, [[relative**2, 0], [0, 0]], rtol=ROUNDING
    )


def test_pycbcs_sigma_is_a_line_by_least_squares() -> None:
    snr, by_detector, mean, std = _events(50, seed=10)
    std[:5] *= 3
    model = fit_distance(snr, by_detector, mean, std)
    estimate, _ = model.luminosity(snr, by_detector)
    slope, intercept = np.polyfit(np.log(snr), np.log(std / estimate), 1)
    assert model.sigma_snr_exponent == pytest.approx(slope)
    assert model.log_sigma_intercept == pytest.approx(intercept)


@pytest.mark.parametrize("estimator", ["robust", "faint"])
def test_robust_lines_solve_hubers_equations(estimator: Estimator) -> None:
    """Residuals, cut at 1.345 robust deviations, cancel and do not go with what is fitted."""
    snr, by_detector, mean, std = _events(60, seed=11)
    mean[:6] *= 4
    std[6:12] *= 4
    model = fit_distance(snr, by_detector, mean, std, estimator=estimator)
    faint = (10 / snr) ** 2
    log_ratio = np.log(mean / np.nanmin(by_detector, axis=1))
    by_distance = log_ratio - np.log(model.luminosity_per_effective) - model.faint_excess * faint
    _, sigma = model.luminosity(snr, by_detector)
    for residuals, given in ((by_distance, faint), (np.log(std / sigma), np.log(snr))):
        bound = 1.345 * np.median(np.abs(residuals)) / stats.norm.ppf(0.75)
        pulls = np.clip(residuals, -bound, bound)
        assert np.mean(pulls) == pytest.approx(0, abs=1e-5)
        if given is not faint or estimator == "faint":
            assert np.mean(pulls * given) == pytest.approx(0, abs=1e-5)
    assert (model.faint_excess == 0) == (estimator == "robust")


@pytest.mark.parametrize(
    ("residuals", "slope_variance"), [([1, -2, 1], 1.5), ([1, -1, -1, 1], 0.4)]
)
def test_the_error_of_a_line_counts_its_two_coefficients(
    residuals: list[float], slope_variance: float
) -> None:
    """White's estimate by hand: n/(n-2) sum (x e)^2 / (sum x^2)^2, for x in steps of 0.1."""
    n, e = len(residuals), 0.01
    log_snr = np.log(10) + 0.1 * (np.arange(n) - (n - 1) / 2)
    distance = np.full(n, 100.0)
    fitted = fit_distance(
        np.exp(log_snr), distance, distance, distance * np.exp(e * np.array(residuals))
    ).fit
    assert fitted is not None
    assert fitted.sigma_covariance[1][1] == pytest.approx(slope_variance * (e / 0.1) ** 2)


def test_best_chooses_from_thirty_events_on() -> None:
    for n, chosen in ((30, "network"), (29, "pycbc")):
        fitted = fit_distance(*_events(n, seed=12, scatter=0.02), estimator="best").fit
        assert fitted is not None
        assert fitted.estimator == chosen


def test_best_is_robust_where_outliers_are_all_that_differs() -> None:
    rng = np.random.default_rng(13)
    snr, nearest = rng.uniform(8, 30, 300), rng.uniform(50, 3000, 300)
    mean, std = PYCBC_LIVE_O3.luminosity(snr, nearest)
    mean = mean * np.exp(0.1 * rng.standard_normal(300))
    mean[rng.permutation(300)[:30]] /= 10
    fitted = fit_distance(snr, nearest, mean, std, estimator="best").fit
    assert fitted is not None
    assert fitted.estimator == "robust"


def test_best_stays_with_pycbcs_where_another_leads_by_chance() -> None:
    """One outlier of a half in sixty: the robust form is better, by less than that tells."""
    rng = np.random.default_rng(16)
    snr, nearest = rng.uniform(8, 30, 60), rng.uniform(50, 3000, 60)
    mean, std = PYCBC_LIVE_O3.luminosity(snr, nearest)
    mean = mean * np.exp(0.1 * rng.standard_normal(60))
    mean[20] /= 2
    events = snr, nearest, mean, std
    scatter = {n: _scatter(hold_out_residuals(*events, estimator=n)) for n in ESTIMATORS[:2]}
    assert scatter["robust"] < scatter["pycbc"]
    fitted = fit_distance(*events, estimator="best").fit
    assert fitted is not None
    assert fitted.estimator == "pycbc"


@pytest.mark.parametrize("row", [[np.nan, np.nan, np.nan], [300.0, 0.0, np.nan]])
def test_an_event_without_a_distance_or_with_an_impossible_one_is_refused(
    row: list[float],
) -> None:
    snr, by_detector, mean, std = _events(20, seed=14)
    by_detector[5] = row
    with pytest.raises(FitError, match=r"eff_distance holds .* in row 5"):
        fit_distance(snr, by_detector, mean, std)


def test_a_model_of_the_average_classifies_by_detector() -> None:
    classifier = MassContourClassifier(distance=TRUTH)
    shares = classifier.probabilities([5.0, 5.0], [10.0, 9.0], [[500.0, np.nan], [np.nan, np.nan]])
    assert shares[0].sum() == pytest.approx(1)
    assert np.isnan(shares[1]).all()


@pytest.mark.real_data
def test_hold_out_scatter_is_never_worse_than_pycbcs_and_better_on_the_campaign(
    real_data: Path,
) -> None:
    table, campaign = _campaign(real_data / "bayestar" / "bayestar_injections.csv")
    o3b = pl.read_csv(real_data / "spiir" / "bayestar_distances_o3b.csv")
    few = tuple(o3b[c].to_numpy() for c in ("cohsnr", "min_dist", "bay_dist", "bay_std"))
    classes = [
        tuple(column[(table["source_class"] == name).to_numpy()] for column in campaign)
        for name in ("BNS", "NSBH", "BBH")
    ]
    for events in (campaign, few, *classes):
        ours, theirs = (
            _scatter(hold_out_residuals(*events, estimator=name)) for name in ("best", "pycbc")
        )
        assert ours <= theirs
    least = {name: _scatter(hold_out_residuals(*campaign, estimator=name)) for name in ESTIMATORS}
    assert least["network"] < 0.16
    assert least["pycbc"] > 0.24
