"""Candidates of one detector: densities of their own where enough are there, else a note."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from spiir_pastro.domain import ASTROPHYSICAL, Candidates
from spiir_pastro.io.populations import read_populations
from spiir_pastro.models.components import ByDetectors, ComponentDensities
from spiir_pastro.models.far_density import PowerLaw
from spiir_pastro.models.fitting import fit_densities
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import SourceModel

Floats = NDArray[np.float64]

FAR_THRESHOLD = 3e-4
SOURCES = SourceModel(populations=read_populations("mass-plane"), response=Response())

# Of noise, and of signals, seen by two detectors and by one: a single detector is glitchier, and
# the FARs of its signals end sooner.
EXPONENT = {"noise": (1.0, 1.0), "signal": (0.1, 0.5)}
LOG_SNR = {"noise": (2.1, 2.6), "signal": (2.5, 2.4)}
SNR_WIDTH = 0.1
ALONE = {"noise": 0.4, "signal": 0.15}


def draw(kind: str, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Draw detectors, ln FAR and ln SNR."""
    alone = rng.random(n) < ALONE[kind]
    x = -rng.exponential(1 / np.where(alone, *EXPONENT[kind][::-1]))
    s = np.where(alone, *LOG_SNR[kind][::-1]) + SNR_WIDTH * rng.standard_normal(n)
    return np.where(alone, 1.0, 2.0), x, s


def log_truth(kind: str, detectors: Floats, x: Floats, s: Floats) -> Floats:
    alone = detectors == 1
    a, mean = (np.where(alone, *law[kind][::-1]) for law in (EXPONENT, LOG_SNR))
    fraction = np.where(alone, ALONE[kind], 1 - ALONE[kind])
    return np.asarray(np.log(fraction * a) + a * x + norm.logpdf(s, mean, SNR_WIDTH))


def sample(noise: int, signals: int, *, seed: int) -> tuple[Candidates, NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    parts = [draw("noise", noise, rng), draw("signal", signals, rng)]
    detectors, x, s = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    n = noise + signals
    return Candidates(
        far_hz=FAR_THRESHOLD * np.exp(x),
        snr=np.exp(s),
        mchirp_det=np.exp(rng.normal(2, 0.3, n)),
        eff_distance_mpc=np.full((n, 4), np.nan),
        n_detectors=detectors,
    ), np.arange(n) >= noise


def fitted(candidates: Candidates, is_signal: NDArray[np.bool_]) -> ComponentDensities:
    return fit_densities(
        candidates,
        is_signal=is_signal,
        classes=np.where(is_signal, "BBH", ""),
        sources=SOURCES,
        reach=lambda heavy, light: 40.0 * (heavy + light),
        far_threshold_hz=FAR_THRESHOLD,
    )


def test_what_one_detector_says_is_weighed_by_what_one_detector_does() -> None:
    training, is_signal = sample(4000, 3000, seed=1)
    hidden = replace(training, n_detectors=np.full(len(training), np.nan))
    own, mixed = fitted(training, is_signal), fitted(hidden, is_signal)
    candidates, _ = sample(400, 400, seed=2)
    x, s = np.log(candidates.far_hz / FAR_THRESHOLD), np.log(candidates.snr)
    signal, noise = (log_truth(k, candidates.n_detectors, x, s) for k in ("signal", "noise"))
    alone = candidates.n_detectors == 1
    off, off_mixed = (
        np.median(np.abs(measured_factor(d, candidates) - (signal - noise))[alone])
        for d in (own, mixed)
    )
    # What is left is Student's t for a normal law, and kernels; the two kinds differ by far more.
    assert off < 0.5
    assert off_mixed > 4 * off
    assert own.judge(candidates).all()


def measured_factor(densities: ComponentDensities, candidates: Candidates) -> Floats:
    """Return ln f / b of FAR, SNR and number of detectors, for a BBH."""
    terms = densities.terms(candidates, far_threshold_hz=FAR_THRESHOLD).by_factor
    measured = terms["far"] + terms["snr"]
    return np.asarray(measured[:, 2] - measured[:, 3])


def test_candidates_of_one_detector_leave_the_laws_of_others_alone() -> None:
    candidates, is_signal = sample(2000, 1500, seed=3)
    together = candidates.n_detectors == 2
    all_of_them = fitted(candidates, is_signal)
    others = fitted(candidates[together], is_signal[together])
    one, other = (
        densities.terms(candidates[together], far_threshold_hz=FAR_THRESHOLD).by_factor
        for densities in (all_of_them, others)
    )
    np.testing.assert_allclose(one["snr"], other["snr"])
    # The FAR's density is that of the number of detectors too: one factor, the same for all.
    ratio = one["far"] - other["far"]
    assert (np.ptp(ratio, axis=0) < 1e-12).all()
    assert ((ratio[0] > -1) & (ratio[0] < 0)).all()


@pytest.mark.parametrize(("noise", "signals"), [(300, 600), (3000, 100)])
def test_too_few_of_one_detector_are_neither_judged_nor_learned_from(
    noise: int, signals: int
) -> None:
    candidates, is_signal = sample(noise, signals, seed=4)
    together = candidates.n_detectors == 2
    few, none = fitted(candidates, is_signal), fitted(candidates[together], is_signal[together])
    assert few.judge(candidates).tolist() == together.tolist()
    assert not few.knows_one_detector
    ours, theirs = (
        d.log_bayes_factors(candidates[together], far_threshold_hz=FAR_THRESHOLD)
        for d in (few, none)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_a_law_by_detectors_is_one_density() -> None:
    law = ByDetectors(
        alone=PowerLaw(exponent=0.5), together=PowerLaw(exponent=2.0), fraction_alone=0.3
    )
    x = np.linspace(-60, 0, 200_001)
    features = np.zeros((x.size, 5))
    area = np.trapezoid(np.exp(law.log_pdf(x, features)), x)
    features[:, 4] = 1
    area += np.trapezoid(np.exp(law.log_pdf(x, features)), x)
    assert area == pytest.approx(1, abs=1e-6)


def test_every_class_has_laws_of_one_detector_where_noise_has() -> None:
    densities = fitted(*sample(2000, 1500, seed=5))
    for source in ASTROPHYSICAL:
        far = densities.signals[source].factors["far"]
        assert isinstance(far, ByDetectors)
        assert far.fraction_alone == pytest.approx(ALONE["signal"], abs=0.04)
    noise = densities.noise.factors["far"]
    assert isinstance(noise, ByDetectors)
    assert noise.alone == PowerLaw(exponent=1.0)
