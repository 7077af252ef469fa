"""The summary a model keeps says what the whole posterior says."""

import numpy as np
import pytest

from spiir_pastro.errors import FitError
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import CountPosterior, fit_counts


@pytest.fixture(scope="module")
def posterior() -> CountPosterior:
    rng = np.random.default_rng(0)
    noise = rng.normal(-4, 2, size=(300, 3))
    signals = noise[:12] + rng.permuted([[14.0, 3.0, 0.0]] * 12, axis=1)
    return fit_counts(np.concatenate([noise, signals]), prior="jeffreys")


def test_probabilities_hold_to_the_error_that_is_kept(posterior: CountPosterior) -> None:
    summary = CountSummary.of(posterior)
    logs = np.random.default_rng(1).normal(0, 6, size=(200, 3))
    exact = posterior.probabilities(logs)
    assert summary.node_error < 1e-4
    np.testing.assert_allclose(summary.probabilities(logs), exact, atol=2 * summary.node_error)
    assert len(summary.weights) < len(posterior.lattice.weights) / 5
    np.testing.assert_array_equal(summary.mean, posterior.mean)


def test_the_interval_holds_the_probability_and_grows_with_its_level(
    posterior: CountPosterior,
) -> None:
    summary = CountSummary.of(posterior)
    logs = np.random.default_rng(2).normal(0, 6, size=(50, 3))
    p_astro = 1 - summary.probabilities(logs)[:, -1]
    low, high = summary.p_astro_interval(logs).T
    wide_low, wide_high = summary.p_astro_interval(logs, level=0.99).T
    assert ((low < p_astro) & (p_astro < high)).mean() > 0.95
    assert ((wide_low <= low) & (high <= wide_high)).all()
    whole = posterior.probability_intervals(logs)[:, :, -1]
    # Five hundred draws against two thousand.
    np.testing.assert_allclose([low, high], 1 - whole[::-1], atol=0.05)


def test_a_summary_that_is_none_is_refused(posterior: CountPosterior) -> None:
    parts = vars(CountSummary.of(posterior)) | {"weights": np.array([0.5, 0.4])}
    with pytest.raises(FitError, match="impossible sources"):
        CountSummary(**{k: v for k, v in parts.items() if not k.startswith("_")})
