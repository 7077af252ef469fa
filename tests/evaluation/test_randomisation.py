"""The test by random signs against all signs, the binomial law and drawn signs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from spiir_pastro.evaluation.randomisation import holm, sign_flip_p_value


def _all_signs(differences: np.ndarray) -> float:
    n = differences.size
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    return float(((signs * differences).sum(axis=1) >= differences.sum() - 1e-12).mean())


@pytest.mark.parametrize("seed", range(12))
def test_the_saddlepoint_is_near_all_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.normal(0.3 + 0.1 * seed, 1, 18) * rng.exponential(1, 18)
    exact = _all_signs(differences)
    if differences.sum() > 0:
        assert sign_flip_p_value(differences) == pytest.approx(exact, rel=0.35)


@given(st.integers(0, 60), st.integers(0, 60))
def test_losses_and_gains_follow_the_binomial_law(lost: int, gained: int) -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [gained, lost, 7])
    expected = 1.0
    if gained > lost:
        expected = binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue
    assert sign_flip_p_value(differences) == pytest.approx(expected, rel=1e-9)


def test_of_many_it_is_the_normal_tail() -> None:
    differences = np.random.default_rng(1).normal(0.02, 1, 100_000)
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert sign_flip_p_value(differences) == pytest.approx(norm.sf(z), rel=0.02)


def test_one_event_alone_proves_nothing_however_large() -> None:
    assert sign_flip_p_value(np.array([1e6, *np.zeros(50)])) == 0.5
    small = np.random.default_rng(3).normal(0, 1e-3, 50)
    assert sign_flip_p_value(np.array([1e3, *small])) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("values", [[], [0.0], [-1.0, 0.5], [np.nan, 1.0]])
def test_no_rise_has_no_p_value(values: list[float]) -> None:
    assert sign_flip_p_value(np.array(values)) == 1.0


def test_holm_keeps_one_rate_for_all() -> None:
    rng = np.random.default_rng(2)
    alarms = sum(holm(rng.random(12), 0.05).any() for _ in range(4000))
    assert alarms / 4000 == pytest.approx(0.05, abs=0.011)  # 3 sigma
    assert holm(np.array([0.001, 0.02, 0.04]), 0.05).tolist() == [True, True, True]
