"""Real events choose among distance models, those fitted elsewhere too."""

from pathlib import Path

import numpy as np
import pytest

from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.models.distance import PYCBC_LIVE_O3, DistanceModel
from spiir_pastro.models.distance_choice import FITTED, choose_distance
from spiir_pastro.models.distance_fit import ESTIMATORS, fit_distance, hold_out_residuals


def drawn(model: DistanceModel, n: int, scatter: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(1)
    snr, nearest = rng.uniform(9, 20, n), rng.uniform(200, 2000, n)
    mean, std = model.luminosity(snr, nearest)
    return snr, nearest, mean * rng.normal(1, scatter, n), std


def test_the_model_that_the_events_obey_is_chosen() -> None:
    others: dict[str, DistanceModel] = {
        "near": DistanceModel(
            luminosity_per_effective=0.5, log_sigma_intercept=-0.5, sigma_snr_exponent=-0.3
        ),
        "right": PYCBC_LIVE_O3,
    }
    choice = choose_distance(*drawn(PYCBC_LIVE_O3, 10, 0.05), others=others)
    assert list(choice.scatter)[-1] == "near"
    assert choice.chosen == min(choice.scatter, key=choice.scatter.__getitem__)
    if choice.chosen == "right":
        assert choice.model is PYCBC_LIVE_O3


def test_events_that_nobody_else_foretells_are_fitted() -> None:
    far = DistanceModel(
        luminosity_per_effective=1.3, log_sigma_intercept=-0.5, sigma_snr_exponent=-0.3
    )
    events = drawn(far, 12, 0.1)
    choice = choose_distance(*events, others={"PyCBC": PYCBC_LIVE_O3})
    assert choice.chosen == FITTED
    assert choice.model.luminosity_per_effective == pytest.approx(1.3, rel=0.1)
    held_out = np.sqrt(np.mean(hold_out_residuals(*events, estimator="best") ** 2))
    assert choice.scatter[FITTED] == pytest.approx(held_out, rel=1e-12)


def test_an_average_over_detectors_is_no_model_for_least_distances() -> None:
    network = fit_distance(*read_distances(CAMPAIGN).columns, estimator="network")
    choice = choose_distance(*drawn(PYCBC_LIVE_O3, 10, 0.1), others={"network": network})
    assert list(choice.scatter) == [FITTED]


def test_simulated_events_are_known_by_their_true_distances() -> None:
    assert read_distances(CAMPAIGN).is_simulated


def test_real_events_are_predicted_as_well_as_by_pycbcs_constants(real_data: Path) -> None:
    events = read_distances(real_data / "spiir" / "bayestar_distances_o3b.csv")
    assert not events.is_simulated
    campaign = read_distances(CAMPAIGN).columns
    others: dict[str, DistanceModel] = {
        "PyCBC": PYCBC_LIVE_O3,
        **{name: fit_distance(*campaign, estimator=name) for name in ESTIMATORS},
    }
    choice = choose_distance(*events.columns, others=others)
    assert choice.scatter[choice.chosen] <= choice.scatter["PyCBC"] <= 0.14
