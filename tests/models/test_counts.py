"""The posterior of the counts, held against closed forms, brute force and a sampler."""

import json
import math
from collections.abc import Callable
from itertools import product
from typing import Any

import emcee
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import digamma, logsumexp, polygamma

import spiir_pastro as sp
from spiir_pastro.errors import FitError
from spiir_pastro.models.bayes_factors import scaled_densities
from spiir_pastro.models.counts import CountPosterior, Prior, fit_counts
from spiir_pastro.models.counts.lattice import lattice_of
from spiir_pastro.models.counts.maximum import most_probable_counts
from spiir_pastro.models.counts.stick_breaking import Sticks

Floats = NDArray[np.float64]

PRIOR_POWER: dict[Prior, float] = {"uniform": 1.0, "jeffreys": 0.5}
EXACT = 1e-10
"""Relative: two ways to the same integral, both of which have settled."""
INTERVAL = 3e-6
"""Relative: ends of intervals."""
RNG = np.random.default_rng(0)
PRIORS = pytest.mark.parametrize("prior", ["uniform", "jeffreys"])


def simulated(n_noise: int, signals: tuple[int, ...], *, seed: int = 1) -> Floats:
    """ln f/b for noise uniform in u and Gaussian in x, signals 0.1 u**-0.9 and narrow in x."""
    rng = np.random.default_rng(seed)
    centres = np.linspace(-2.0, 2.0, len(signals)) if len(signals) > 1 else np.zeros(1)
    log_u = np.log(rng.random(n_noise + sum(signals)))
    log_u[n_noise:] *= 10.0
    x = np.concatenate(
        [
            rng.normal(0, 3, n_noise),
            *(rng.normal(c, 0.7, s) for c, s in zip(centres, signals, strict=True)),
        ]
    )
    in_far = math.log(0.1) - 0.9 * log_u
    in_x = stats.norm.logpdf(x[:, None], centres, 0.7) - stats.norm.logpdf(x[:, None], 0, 3)
    return np.asarray(in_far[:, None] + in_x)


def brute_force(
    logs: Floats, prior: Prior, noise: float | None, *, top: float, nodes: int
) -> tuple[Floats, Floats, Floats]:
    """Gauss-Legendre over a box of counts: mean, covariance and p of the first candidates.

    Counts are squares of the integration variables, which takes the Jeffreys prior's edge away.
    """
    k = logs.shape[1]
    free = k if noise is not None else k + 1
    x, w = np.polynomial.legendre.leggauss(nodes)
    roots, weights = (x + 1) / 2 * math.sqrt(top), w / 2
    counts = np.stack([np.array(c) for c in product(roots**2, repeat=free)])
    log_weights = sum(
        np.log(
            np.stack(list(product(weights * roots ** (2 * PRIOR_POWER[prior] - 1), repeat=free)))
        ).T
    )
    lambdas = np.column_stack(
        [counts[:, :k], np.full(len(counts), noise) if noise is not None else counts[:, k]]
    )
    densities = np.column_stack([np.exp(logs), np.ones(len(logs))])
    log_posterior = log_weights - counts.sum(axis=1)
    for row in densities:
        log_posterior = log_posterior + np.log(lambdas @ row)
    p = np.exp(log_posterior - logsumexp(log_posterior))
    mean = p @ lambdas[:, :k]
    centred = lambdas[:, :k] - mean
    shares = [p @ (lambdas * row / (lambdas @ row)[:, None]) for row in densities[:3]]
    return mean, (centred.T * p) @ centred, np.array(shares)


@pytest.mark.parametrize("noise", [None, 3.0])
@pytest.mark.parametrize("k", [1, 2, 3])
@PRIORS
def test_equals_brute_force_on_few_candidates(k: int, prior: Prior, noise: float | None) -> None:
    logs = np.random.default_rng(k).normal(0, 2, (5, k))
    posterior = fit_counts(logs, prior=prior, expected_noise=noise)
    nodes = {1: 200, 2: 90, 3: 60, 4: 24}[k if noise is not None else k + 1]
    mean, covariance, shares = brute_force(logs, prior, noise, top=50.0, nodes=nodes)
    np.testing.assert_allclose(posterior.mean, mean, rtol=1e-8)
    np.testing.assert_allclose(posterior.covariance, covariance, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(posterior.probabilities(logs[:3]), shares, rtol=1e-7)


@pytest.mark.parametrize("noise", [None, 1e-3, 1e4])
@PRIORS
def test_the_most_probable_counts_are_what_candidates_and_prior_add_up_to(
    prior: Prior, noise: float | None
) -> None:
    """Expectation maximisation's fixed point, however unlike the candidates are."""
    rng = np.random.default_rng(17)
    for n, spread in product([0, 1, 50, 50, 50, 1000], [0.1, 2.0, 20.0, 50.0]):
        logs = rng.normal(0, spread, (n, 2))
        logs[: n // 2] += rng.normal(0, 50, 2)
        densities = scaled_densities(logs)
        a = PRIOR_POWER[prior]
        counts, _ = most_probable_counts(densities, expected_noise=noise, prior_power=a)
        p = densities * counts / (densities @ counts)[:, None]
        free = slice(None) if noise is None else slice(-1)
        np.testing.assert_allclose(counts[free], (a + p.sum(axis=0))[free], rtol=1e-6)
        assert noise is None or counts[-1] == noise


@pytest.mark.parametrize("n", [0, 1, 5, 70, 5_000, 200_000])
@PRIORS
def test_loud_signals_have_a_gamma_posterior(n: int, prior: Prior) -> None:
    posterior = fit_counts(np.full(n, 300.0), prior=prior, expected_noise=1.0)
    exact = stats.gamma(n + PRIOR_POWER[prior])
    assert posterior.mean == pytest.approx([exact.mean()], rel=EXACT)
    assert posterior.std == pytest.approx([exact.std()], rel=EXACT)
    np.testing.assert_allclose(posterior.interval(0.9)[:, 0], exact.interval(0.9), rtol=INTERVAL)


@pytest.mark.parametrize("signals", [0, 3, 60, 4_000])
@pytest.mark.parametrize("n_noise", [0, 4, 10_000])
@PRIORS
def test_signals_and_noise_that_cannot_be_confused_are_two_gammas(
    signals: int, n_noise: int, prior: Prior
) -> None:
    posterior = fit_counts(np.r_[np.full(signals, 300.0), np.full(n_noise, -300.0)], prior=prior)
    exact = stats.gamma(signals + PRIOR_POWER[prior])
    assert posterior.mean == pytest.approx([exact.mean()], rel=EXACT)
    assert posterior.std == pytest.approx([exact.std()], rel=EXACT)
    assert posterior.noise_mean == pytest.approx(n_noise + PRIOR_POWER[prior], rel=EXACT)
    np.testing.assert_allclose(posterior.interval(0.9)[:, 0], exact.interval(0.9), rtol=INTERVAL)


@PRIORS
def test_classes_that_cannot_be_told_apart_share_a_dirichlet(prior: Prior) -> None:
    posterior = fit_counts(np.full((500, 2), 40.0), prior=prior, expected_noise=10.0)
    a = PRIOR_POWER[prior]
    total, share = stats.gamma(500 + 2 * a), stats.beta(a, a)
    square = (total.var() + total.mean() ** 2) * (share.var() + 0.25)
    assert posterior.mean == pytest.approx([total.mean() / 2] * 2, rel=EXACT)
    assert posterior.std**2 == pytest.approx([square - total.mean() ** 2 / 4] * 2, rel=EXACT)


def test_a_class_like_noise_leaves_the_others_alone() -> None:
    """Its own count is uniform up to the total: an edge; intervals are drawn, to 1 %."""
    logs = np.stack([np.zeros(50_000), np.r_[np.full(3_000, 40.0), np.full(47_000, -40.0)]], axis=1)
    posterior = fit_counts(logs)
    assert posterior.mean == pytest.approx([23_501, 3_001], rel=1e-6)
    low, high = posterior.interval(0.9)
    assert [low[0], high[0]] == pytest.approx([0.05 * 47_000, 0.95 * 47_000], rel=0.02)
    exact = stats.gamma(3_001).interval(0.9)
    np.testing.assert_allclose([low[1], high[1]], exact, rtol=INTERVAL)


def test_intervals_of_classes_that_cannot_be_told_apart() -> None:
    posterior = fit_counts(np.full((2_000, 2), 40.0), expected_noise=10.0)
    low, high = posterior.interval(0.9)
    np.testing.assert_allclose(low, 0.05 * 2_002, rtol=0.03)
    np.testing.assert_allclose(high, 0.95 * 2_002, rtol=0.01)


@PRIORS
@pytest.mark.parametrize("noise", [None, 500.0])
def test_agrees_with_a_sampler(prior: Prior, noise: float | None) -> None:
    """Chains of 64 walkers; at 5 standard errors a false alarm is one in 10^5."""
    logs = simulated(500, (4, 20))
    posterior = fit_counts(logs, prior=prior, expected_noise=noise)
    densities = np.column_stack([np.exp(logs), np.ones(len(logs))])
    a = PRIOR_POWER[prior]

    def log_posterior(t: Floats) -> Floats:
        lambdas = np.exp(t)
        sources = lambdas if noise is None else np.column_stack([lambdas, np.full(len(t), noise)])
        mixed = np.log(sources @ densities.T).sum(axis=1)
        return np.asarray(mixed - lambdas.sum(axis=1) + a * t.sum(axis=1))

    rng = np.random.default_rng(3)
    start = np.log([5.0, 20.0, 500.0][: 2 if noise is not None else 3])
    sampler = emcee.EnsembleSampler(64, len(start), log_posterior, vectorize=True)
    sampler.random_state = np.random.RandomState(4).get_state()
    sampler.run_mcmc(start + 0.1 * rng.normal(size=(64, len(start))), 1_500)
    chain = np.exp(sampler.get_chain(discard=300))[:, :, :2]
    error = chain.mean(axis=0).std(axis=0) / math.sqrt(64)
    assert np.all(np.abs(chain.mean(axis=(0, 1)) - posterior.mean) < 5 * error)
    spread_error = chain.std(axis=0).std(axis=0) / math.sqrt(64)
    within = np.sqrt(chain.reshape(-1, 2).var(axis=0))
    assert np.all(np.abs(within - posterior.std) < 5 * spread_error + 0.02 * posterior.std)


def test_compression_changes_nothing() -> None:
    """Twenty thousand candidates, most of which enter through power sums, against all of them."""
    logs = simulated(20_000, (0, 15))
    posterior = fit_counts(logs, expected_noise=20_000.0)
    assert len(posterior.likelihood.singles) < 2_000
    densities = np.exp(logs)
    x, w = np.polynomial.legendre.leggauss(60)
    counts = np.array(list(product((x + 1) * 35, (x + 1) * 45)))
    value = np.log(np.outer(w, w).ravel()) - counts.sum(axis=1)
    for rows in np.array_split(densities, 200):
        value += np.log1p(counts @ rows.T / 20_000).sum(axis=1)
    p = np.exp(value - logsumexp(value))
    np.testing.assert_allclose(posterior.mean, p @ counts, rtol=1e-7)
    assert posterior.likelihood.error < 1e-11


def test_large_counts_follow_the_central_limit() -> None:
    """Where thousands of signals stand out the mean is their number, within 5 deviations."""
    posterior = fit_counts(simulated(100_000, (300, 3_000)))
    assert np.all(np.abs(posterior.mean - [300, 3_000]) < 5 * posterior.std)
    low, high = posterior.interval(0.9)
    np.testing.assert_allclose((high - low) / 2 / 1.645, posterior.std, rtol=0.02)


log_bayes_factors = st.integers(1, 2).flatmap(
    lambda k: st.lists(
        st.lists(
            st.sampled_from([-700.0, -20.0, -2.0, 0.0, 1.0, 5.0, 30.0, 700.0]),
            min_size=k,
            max_size=k,
        ),
        min_size=1,
        max_size=12,
    )
)


@settings(deadline=None, max_examples=40)
@given(
    log_bayes_factors, st.sampled_from(["uniform", "jeffreys"]), st.sampled_from([None, 0.1, 50.0])
)
def test_probabilities_are_probabilities(
    rows: list[list[float]], prior: Prior, noise: float | None
) -> None:
    posterior = fit_counts(rows, prior=prior, expected_noise=noise)
    p = posterior.probabilities(rows)
    assert np.all((p >= 0) & (p <= 1))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-13)
    expected = p.sum(axis=0) + PRIOR_POWER[prior]
    np.testing.assert_allclose(posterior.mean, expected[:-1], rtol=1e-8)
    if noise is None:
        assert posterior.noise_mean == pytest.approx(expected[-1], rel=1e-8)
    low, high = posterior.probability_intervals(rows, 0.9)
    assert np.all((low >= 0) & (low <= high) & (high <= 1))


@settings(deadline=None, max_examples=20)
@given(log_bayes_factors, st.randoms(use_true_random=False))
def test_order_does_not_matter(rows: list[list[float]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = fit_counts(rows), fit_counts(shuffled)
    np.testing.assert_allclose(one.mean, other.mean, rtol=EXACT)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-9, atol=1e-9)


def test_a_class_renamed_is_a_column_moved() -> None:
    logs = simulated(300, (3, 9, 2))
    one, other = fit_counts(logs), fit_counts(logs[:, [2, 0, 1]])
    np.testing.assert_allclose(one.mean[[2, 0, 1]], other.mean, rtol=EXACT)
    one, other = fit_counts(logs[:, :2]), fit_counts(logs[:, [1, 0]])
    np.testing.assert_allclose(one.interval()[:, [1, 0]], other.interval(), rtol=INTERVAL)


def test_probability_rises_with_the_bayes_factor() -> None:
    posterior = fit_counts(simulated(300, (10,)))
    ladder = np.linspace(-700, 700, 201)
    p = posterior.probabilities(ladder)[:, 0]
    assert np.all(np.diff(p) >= -1e-15)
    assert p[0] < 1e-290
    assert p[-1] == 1.0


@pytest.mark.parametrize("noise", [None, 400.0])
def test_quantiles_agree_with_samples(noise: float | None) -> None:
    """40 000 draws; a false alarm of one in 10^4 for each class and level."""
    posterior = fit_counts(simulated(400, (0, 12)), expected_noise=noise)
    samples = posterior.samples(40_000, np.random.default_rng(5))
    assert samples.shape == (40_000, 2)
    for level in (0.05, 0.3, 0.5, 0.8, 0.99):
        below = (samples < posterior.quantile(level)).mean(axis=0)
        assert np.all(np.abs(below - level) < 4 * math.sqrt(level * (1 - level) / 40_000))
    errors = posterior.std / math.sqrt(40_000)
    assert np.all(np.abs(samples.mean(axis=0) - posterior.mean) < 4 * errors)


def test_realised_signals_average_to_the_probabilities() -> None:
    """4 000 draws, 4 standard errors: a false alarm of one in 10^4."""
    logs = simulated(400, (3, 12))
    posterior = fit_counts(logs)
    signals = posterior.signals_among(logs, 4_000, np.random.default_rng(6))
    error = signals.std(axis=0) / math.sqrt(4_000)
    expected = posterior.probabilities(logs)[:, :-1].sum(axis=0)
    assert np.all(np.abs(signals.mean(axis=0) - expected) < 4 * error)
    assert np.all(signals.std(axis=0) < posterior.std)


def test_signals_that_stand_out_are_counted_exactly() -> None:
    logs = np.array([[40.0, -40.0]] * 3 + [[-40.0, 40.0]] * 5 + [[-40.0, -40.0]] * 9)
    signals = fit_counts(logs).signals_among(logs, 50, np.random.default_rng(6))
    np.testing.assert_array_equal(signals, np.tile([3, 5], (50, 1)))


def test_a_probability_is_as_uncertain_as_a_beta_variate() -> None:
    """Counts that are Gammas make the ratio signal : all of equal densities a Beta variate.

    Two thousand draws; an end is off by 4 standard errors of a quantile once in 10^4.
    """
    posterior = fit_counts([[40.0, -40.0]] * 6 + [[-40.0, -40.0]] * 20)
    exact = stats.beta([7, 1, 21], [1 + 21, 7 + 21, 7 + 1])  # of the class, the empty one, noise
    for level in (0.5, 0.9):
        ends = posterior.probability_intervals([[0.0, 0.0]], level)[:, 0]
        for end, tail in zip(ends, ((1 - level) / 2, (1 + level) / 2), strict=True):
            error = 4 * math.sqrt(tail * (1 - tail) / 2_000)
            np.testing.assert_allclose(exact.cdf(end), tail, atol=error)


def test_an_interval_of_a_probability_does_not_depend_on_its_neighbours() -> None:
    """Eight hundred candidates of two classes are taken in two blocks."""
    posterior = fit_counts(simulated(50, (3, 5)))
    logs = np.random.default_rng(8).normal(0, 4, (800, 2))
    together = posterior.probability_intervals(logs)
    some = [0, 400, 698, 699, 700, 799]
    np.testing.assert_allclose(posterior.probability_intervals(logs[some]), together[:, some])


@pytest.mark.parametrize("counted", [0, 2, 30])
@PRIORS
def test_draws_of_known_candidates_are_gamma_variates(counted: int, prior: Prior) -> None:
    """Kolmogorov-Smirnov, 20 000 draws of three sources: a false alarm of 1 % in all cases."""
    logs = np.array([[60.0, -60.0]] * counted + [[-60.0, 60.0]] * 3 + [[-60.0, -60.0]] * 40)
    draws = fit_counts(logs, prior=prior).draws(20_000, np.random.default_rng(12))
    for column, known in zip(draws.T, (counted, 3, 40), strict=True):
        assert stats.kstest(column, stats.gamma(known + PRIOR_POWER[prior]).cdf).pvalue > 5e-4
    correlations = np.corrcoef(draws.T)[np.tril_indices(3, -1)]
    assert np.all(np.abs(correlations) < 4 / math.sqrt(20_000))


@PRIORS
def test_the_total_is_a_gamma_variate_whatever_the_candidates_are(prior: Prior) -> None:
    """The shares of the total are another matter: independent of it.

    20 000 draws, a false alarm of one in 10^3 a comparison.
    """
    posterior = fit_counts(simulated(60, (2, 3)), prior=prior)
    draws = posterior.draws(20_000, np.random.default_rng(13))
    total = draws.sum(axis=1)
    assert stats.kstest(total, stats.gamma(65 + 3 * PRIOR_POWER[prior]).cdf).pvalue > 1e-3
    for share in (draws / total[:, None]).T:
        assert stats.spearmanr(share, total).pvalue > 1e-3


def test_draws_are_exact_however_coarse_the_lattice() -> None:
    """A straight line between nodes 0.45 deviations apart would spread a variate by 3 %.

    Counts that are Gammas; 200 000 draws tell the variance of a logarithm to 0.4 %.
    """
    shapes, sticks = np.array([30.0, 8.0]), Sticks(classes=2, noise=1.0)
    frame = sticks.frame_at(np.log([*shapes, 1.0]), np.diag(shapes**-0.5))

    def log_density(t: Floats) -> Floats:
        log_counts = sticks.log_sources(t)[:, :2]
        return np.asarray(log_counts @ shapes - np.exp(log_counts).sum(axis=1))

    lattice = lattice_of(log_density, frame, tolerance=1.0, most_nodes=10_000)
    assert lattice.step == pytest.approx(0.45)
    drawn = lattice.draw_log_sources(200_000, np.random.default_rng(15), log_density)
    assert drawn.shape == (200_000, 3)
    np.testing.assert_allclose(drawn[:, :2].var(axis=0), polygamma(1, shapes), rtol=0.016)
    mean = drawn[:, :2].mean(axis=0)
    np.testing.assert_allclose(mean, digamma(shapes), atol=4 * math.sqrt(0.14 / 200_000))


def test_faint_candidates_are_signals_as_often_as_they_should() -> None:
    """Nine thousand of them, with probabilities below 1e-4, in several blocks; 4 standard errors.

    As they are many and faint, what they add to the variance is their expected number.
    """
    loud = [[60.0, -60.0]] * 20 + [[-60.0, 60.0]] * 10
    faint = np.log([[9e-5 * 9_000 / 21, 4e-5 * 9_000 / 11]]) + np.log([[0.7, 0.4]])
    logs = np.concatenate([loud, np.repeat(faint, 9_000, axis=0)])
    posterior = fit_counts(logs)
    p = posterior.probabilities(faint)[0, :-1]
    assert 5e-5 < p.sum() < 1e-4
    signals = posterior.signals_among(logs, 3_000, np.random.default_rng(14))
    added = signals - [20, 10]
    np.testing.assert_allclose(added.mean(axis=0), 9_000 * p, atol=4 * math.sqrt(0.7 / 3_000))
    assert signals.min(axis=0).tolist() == [20, 10]


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """200 simulated mixtures of three classes; the binomial error of the coverage is 0.021.

    The expected count lies in the posterior's interval; the realised number of signals in that of
    the realised number. Expected counts are drawn from the uniform prior, cut at 40.
    """
    rng = np.random.default_rng(20)
    expected_inside, realised_inside = np.zeros(3), np.zeros(3)
    for trial in range(200):
        expected = rng.uniform(0, 40, 3)
        realised = rng.poisson(expected)
        logs = simulated(int(rng.poisson(1_000)), tuple(realised), seed=trial)
        posterior = fit_counts(logs)
        low, high = posterior.interval(0.9)
        expected_inside += (low <= expected) & (expected <= high)
        signals = posterior.signals_among(logs, 2_000, rng)
        low, high = np.quantile(signals, [0.05, 0.95], axis=0)
        realised_inside += (low <= realised) & (realised <= high)
    assert np.all((expected_inside >= 172) & (expected_inside <= 188))
    assert np.all((realised_inside >= 172) & (realised_inside <= 192))


@PRIORS
@pytest.mark.parametrize("noise", [None, 2_000.0])
def test_updating_equals_refitting(prior: Prior, noise: float | None) -> None:
    logs = simulated(2_000, (3, 20))
    old = np.random.default_rng(2).permutation(len(logs)) % 10 > 0
    updated = fit_counts(logs[old], prior=prior, expected_noise=noise)
    for arriving in np.array_split(logs[~old], 7):
        updated = updated.updated(arriving)
    refitted = fit_counts(logs, prior=prior, expected_noise=noise)
    assert updated.n_candidates == len(logs)
    np.testing.assert_allclose(updated.mean, refitted.mean, rtol=EXACT)
    np.testing.assert_allclose(updated.covariance, refitted.covariance, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        updated.probabilities(logs), refitted.probabilities(logs), rtol=0, atol=EXACT
    )


def test_an_update_beyond_what_was_kept_is_refused() -> None:
    posterior = fit_counts(simulated(20_000, (1, 1)))
    with pytest.raises(FitError, match="fit all of them anew"):
        posterior.updated(np.full((3_000, 2), 50.0))


@pytest.mark.parametrize("noise", [None, 500.0])
def test_what_is_written_predicts_the_same(noise: float | None) -> None:
    logs = simulated(500, (3, 10))
    posterior = fit_counts(logs, expected_noise=noise)
    text = json.dumps(posterior.as_mapping(), allow_nan=False)
    stored = CountPosterior.from_mapping(json.loads(text))
    assert stored.as_mapping() == posterior.as_mapping()
    np.testing.assert_array_equal(stored.probabilities(logs), posterior.probabilities(logs))
    np.testing.assert_array_equal(
        stored.probability_intervals(logs), posterior.probability_intervals(logs)
    )
    np.testing.assert_array_equal(stored.interval(), posterior.interval())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("reference", lambda numbers: numbers[:-1]),
        ("scale", lambda numbers: numbers[:-1]),
        ("box", lambda numbers: [*numbers, numbers[0]]),
        ("coefficients", lambda numbers: numbers[:-1]),
        ("coefficients", lambda numbers: [math.nan, *numbers[1:]]),
        ("coefficients", lambda _: 7.0),
        ("singles", lambda numbers: [row[:-1] for row in numbers]),
        ("n", lambda _: None),
        ("error", lambda _: "none"),
    ],
)
def test_stored_counts_that_are_none_are_refused(
    name: str, change: Callable[[Any], object]
) -> None:
    stored: dict[str, Any] = fit_counts(simulated(500, (3, 10))).as_mapping()
    with pytest.raises(FitError, match="stored counts cannot be read"):
        CountPosterior.from_mapping(stored | {name: change(stored[name])})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_counts([1.0, math.nan]), "row 1, class 0 is nan"),
        (lambda: fit_counts([[1.0, 2.0], [1.0, math.inf]]), "row 1, class 1 is inf"),
        (lambda: fit_counts(np.zeros((2, 2, 2))), r"shape \(2, 2, 2\)"),
        (lambda: fit_counts(np.zeros((2, 0))), r"shape \(2, 0\)"),
        (lambda: fit_counts(np.zeros((2, 4))), "at most 3"),
        (lambda: fit_counts([1.0], prior="flat"), "prior is 'flat'"),  # type: ignore[arg-type]
        (lambda: fit_counts([1.0], expected_noise=0.0), "expected_noise is 0.0"),
        (lambda: fit_counts([1.0], expected_noise=math.nan), "expected_noise is nan"),
        (lambda: fit_counts([1.0]).probabilities([[1.0, 2.0]]), r"where \(n, 1\) belongs"),
        (lambda: fit_counts([1.0]).signals_among([[1.0, 2.0]], 1, RNG), r"where \(n, 1\) belongs"),
        (lambda: fit_counts([1.0]).probability_intervals([[1.0, 2.0]]), r"\(n, 1\) belongs"),
        (lambda: fit_counts([1.0]).updated([[1.0, 2.0]]), r"where \(n, 1\) belongs"),
        (lambda: fit_counts([1.0]).interval(0.0), "level is 0.0"),
        (lambda: fit_counts([1.0]).interval(1.0), "level is 1.0"),
        (lambda: fit_counts([1.0]).quantile(0.0), "quantile is asked at 0.0"),
        (lambda: fit_counts([1.0]).quantile(1.0), "quantile is asked at 1.0"),
        (lambda: CountPosterior.from_mapping({"prior": "uniform"}), "cannot be read"),
        (lambda: CountPosterior.from_mapping({}), "prior is None"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(FitError, match=message):
        call()


def test_minus_infinity_excludes_a_class() -> None:
    excluded = fit_counts([[3.0, -math.inf], [5.0, -math.inf], [-1.0, -math.inf]])
    alone = fit_counts([3.0, 5.0, -1.0])
    p = excluded.probabilities([[3.0, -math.inf]])
    assert p[0, 1] == 0
    assert excluded.mean[0] == pytest.approx(alone.mean[0], rel=EXACT)


def test_arguments_are_left_alone() -> None:
    logs = simulated(20, (3,))
    before = logs.copy()
    posterior = fit_counts(logs)
    posterior.mean[0] = -1.0
    np.testing.assert_array_equal(logs, before)
    assert posterior.mean[0] > 0


def test_the_public_names_are_these() -> None:
    assert sp.fit_counts is fit_counts
    assert sp.CountPosterior is CountPosterior
