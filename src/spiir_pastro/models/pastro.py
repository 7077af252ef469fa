"""The composite model: densities, counts and a source classifier give the four probabilities.

Two ways to share p_astro among the classes stand behind one interface, :class:`ClassSharing`:
*multi-component FGMC* counts BNS, NSBH and BBH together, each with its own densities; the *mass
contour* multiplies p_astro by each class's share of the event's band in the mass plane.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import compress
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source, SourceProbabilities, Trigger
from spiir_pastro.errors import FitError, TriggerError
from spiir_pastro.models.components import ComponentDensities
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.factors import FACTORS
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.source_model import SourceModel

Floats = NDArray[np.float64]

NO_FAR = "no FAR assigned"

ONE_DETECTOR = "one detector; the model was fitted on candidates of two or more"

_PLANE_FACTORS = [[*FACTORS].index(name) for name in ("mchirp", "w")]
"""Whose densities of signals are taken from the mass plane."""

NO_CONTOUR = "no chirp mass for the mass contour; classes shared by their densities"

DECISIVE_P_ASTRO = np.array([0.1, 0.5, 0.9])
"""Values of p_astro at which people decide."""


class ClassSharing(StrEnum):
    """How p_astro is shared among the classes of binaries."""

    MULTI_COMPONENT = "multi-component"
    MASS_CONTOUR = "mass-contour"


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Probabilities of n candidates, in their order.

    Attributes
    ----------
    probabilities : (n, 4)
        Of BNS, NSBH, BBH and Terrestrial; a row sums to one, or is NaN where none is given.
    p_astro_interval : (n, 2)
        Central 90 % credible interval of p_astro over the posterior of the counts and the errors
        of the densities.
    extrapolated : (n,)
        In what the densities of noise and of the likeliest class extrapolate so far that p_astro
        is in doubt, like ``"noise in SNR, chirp mass; BBH in FAR"``; empty where they do not.
    notes : (n,)
        Why a row has no numbers, or what was missing; empty otherwise.
    """

    probabilities: Floats
    p_astro_interval: Floats
    extrapolated: NDArray[np.str_]
    notes: NDArray[np.str_]

    @property
    def p_astro(self) -> Floats:
        """Probability of a signal of any class, (n,)."""
        return _of_signals(self.probabilities)

    def __repr__(self) -> str:
        known = np.isfinite(self.p_astro)
        return (
            f"<Predictions of {known.size} candidates, {self.p_astro[known].sum():.3g} of them "
            f"expected to be signals, {np.sum(~known)} without numbers>"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PastroModel:
    """Everything needed to turn candidates into probabilities.

    Attributes
    ----------
    far_threshold_hz
        FAR below which candidates were counted.
    densities
        Of noise and of each class of signals.
    counts
        What is known of the expected number of each, classes in the order of ``ASTROPHYSICAL``.
    contour
        Mass contour classifier.
    sources
        The mass plane and the search's response, which the signals' densities of masses are from.
    sharing
        How p_astro is shared among the classes.
    """

    far_threshold_hz: float
    densities: ComponentDensities
    counts: CountSummary
    contour: MassContourClassifier
    sources: SourceModel
    sharing: ClassSharing = ClassSharing.MULTI_COMPONENT

    def __post_init__(self) -> None:
        if not 1e-30 <= self.far_threshold_hz <= 1:
            raise FitError(
                f"far_threshold_hz is {self.far_threshold_hz}; it must lie in 1e-30 to 1"
            )

    def predict(self, candidates: Candidates, *, intervals: bool = True) -> Predictions:
        """Return the probabilities of candidates that were not in the fit, with their notes.

        Parameters
        ----------
        candidates
            n of them; each is assessed for itself.
        intervals
            Whether to work out intervals and extrapolations, which takes most of the time.
        """
        n = len(candidates)
        notes = self._reasons_for_no_result(candidates)
        rows = notes == ""
        probabilities = np.full((n, len(Source)), np.nan)
        interval = np.full((n, 2), np.nan)
        extrapolated = np.full(n, "", dtype=object)
        assessed = candidates if rows.all() else candidates[rows]
        if intervals:
            terms, errors = self.densities.terms_and_errors(
                assessed, far_threshold_hz=self.far_threshold_hz
            )
        else:
            terms = self.densities.terms(assessed, far_threshold_hz=self.far_threshold_hz)
        factors = terms.log_bayes_factors
        counted = self.counts.predictive(factors)
        probabilities[rows] = self._shared(assessed, counted, terms.explained)
        if self.sharing is ClassSharing.MASS_CONTOUR:
            notes[rows & np.isnan(candidates.mchirp_det)] = NO_CONTOUR
        if intervals:
            interval[rows] = self._intervals(factors, errors, counted)
            extrapolated[rows] = _in_words(extrapolations(errors, counted))
        return Predictions(
            probabilities=probabilities,
            p_astro_interval=interval,
            extrapolated=extrapolated.astype(np.str_),
            notes=notes.astype(np.str_),
        )

    def _reasons_for_no_result(self, candidates: Candidates) -> NDArray[np.object_]:
        """Say why a candidate gets no numbers, (n,); empty where it gets them."""
        notes = np.full(len(candidates), "", dtype=object)
        outliers = self.densities.outliers
        notes[np.isnan(candidates.far_hz)] = NO_FAR
        outside = ~outliers.in_bank(candidates.mchirp_det)
        notes[outside] = (
            f"chirp mass outside the bank's {outliers.mchirp_min:g} to {outliers.mchirp_max:g} "
            "solar masses"
        )
        if not self.densities.knows_one_detector:
            notes[candidates.n_detectors == 1] = ONE_DETECTOR
        return notes

    def _shared(self, candidates: Candidates, counted: Floats, explained: Floats) -> Floats:
        """Share p_astro among the classes: outliers, or everything, by the mass contour."""
        signals = counted[:, :-1]
        by_contour = self.densities.outliers.shares(
            np.log(candidates.mchirp_det), np.log(candidates.snr)
        )
        if self.sharing is ClassSharing.MASS_CONTOUR:
            measured = self.contour.probabilities(
                candidates.mchirp_det, candidates.snr, candidates.eff_distance_mpc
            )
            by_contour = np.where(np.isfinite(measured), measured, by_contour)
            explained = np.zeros_like(explained)
        no_mchirp = np.isnan(by_contour[:, :1])
        outlying = (signals * (1 - explained)).sum(axis=1, keepdims=True)
        shared = signals * explained + outlying * np.where(no_mchirp, 0.0, by_contour)
        # Shares add up to one but for rounding, which must not lead beyond certainty.
        shared = np.where(no_mchirp, signals, np.minimum(shared, 1.0))
        return np.concatenate([shared, counted[:, -1:]], axis=1)

    def _intervals(self, factors: Floats, errors: Floats, probabilities: Floats) -> Floats:
        """Return the 90 % intervals of p_astro, which hold it."""
        interval = self.counts.p_astro_interval(
            factors, log_odds_errors=_log_odds_errors(errors, probabilities)
        )
        p_astro = _of_signals(probabilities)
        return np.stack(
            [np.minimum(interval[:, 0], p_astro), np.maximum(interval[:, 1], p_astro)], axis=1
        )

    def rescaled(self, volumes: Mapping[Source, float], *, noise: float = 1.0) -> Self:
        """Return this model for a search of another sensitivity or noise rate.

        Parameters
        ----------
        volumes
            Sensitive volume over that of the training, by class; 1 where not given.
        noise
            Rate of noise candidates over that of the training.

        Raises
        ------
        FitError
            If a factor is not positive and finite.
        """
        by = np.array([*(volumes.get(source, 1.0) for source in ASTROPHYSICAL), noise], dtype=float)
        return replace(self, counts=self.counts.scaled(by))

    def assess(self, trigger: Trigger) -> SourceProbabilities:
        """Return one trigger's probabilities.

        Raises
        ------
        TriggerError
            If it has no FAR, and so no probabilities.
        """
        predictions = self.predict(Candidates.from_triggers([trigger]), intervals=False)
        row = predictions.probabilities[0]
        if np.isnan(row).any():
            raise TriggerError(f"trigger {trigger.event_id}: {predictions.notes[0]}")
        return SourceProbabilities.in_order(row.tolist())

    def __repr__(self) -> str:
        expected = ", ".join(f"{mean} {source}" for source, mean, _ in self._expected())
        return (
            f"<PastroModel of candidates with FAR < {self.far_threshold_hz:g} Hz: expects "
            f"{expected}; classes by {self.sharing}>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{source}</th><td>{mean}</td><td>{interval}</td></tr>"
            for source, mean, interval in self._expected()
        )
        return (
            f"<table><caption>PastroModel: candidates with FAR &lt; {self.far_threshold_hz:g} Hz, "
            f"classes by {self.sharing}</caption>"
            f"<tr><th></th><th>expected</th><th>90 % interval</th></tr>{rows}</table>"
        )

    def _expected(self) -> list[tuple[Source, str, str]]:
        """Write the expected count of each source, and its interval."""
        counts = self.counts
        signals = [
            (source, f"{mean:.3g} ± {std:.2g}", f"{low:.3g} to {high:.3g}")
            for source, mean, std, low, high in zip(
                ASTROPHYSICAL, counts.mean, counts.std, *counts.interval, strict=True
            )
        ]
        return [*signals, (Source.TERRESTRIAL, f"{counts.noise_mean:.4g}", "")]


def _of_signals(probabilities: Floats) -> Floats:
    """Add up the classes; rounding must not lead beyond certainty."""
    return np.asarray(np.minimum(probabilities[:, :-1].sum(axis=1), 1.0))


def extrapolations(log_errors: Floats, probabilities: Floats) -> NDArray[np.bool_]:
    """Tell which source's density extrapolates in which of `FACTORS`, (n, 4, factors).

    Only noise and the likeliest class matter, and only where p_astro, within the factor's error,
    could lie on the other side of one of `DECISIVE_P_ASTRO`. The masses of a class are no
    extrapolation from data: they are the plane's, as uncertain everywhere as its stated error says.

    Parameters
    ----------
    log_errors : (4, factors, 2, n)
        As `ComponentDensities.terms_and_errors` returns them.
    probabilities : (n, 4)
        Of the sources.
    """
    matters = np.zeros(probabilities.shape, dtype=np.bool_)
    matters[np.arange(len(matters)), probabilities[:, :-1].argmax(axis=1)] = True
    matters[:, -1] = True
    error = np.moveaxis(log_errors.max(axis=2), -1, 0)
    with np.errstate(divide="ignore"):
        log_odds = np.log(_of_signals(probabilities)) - np.log(probabilities[:, -1])
    thresholds = np.log(DECISIVE_P_ASTRO) - np.log1p(-DECISIVE_P_ASTRO)
    nearest = np.abs(log_odds[:, None] - thresholds).min(axis=1)
    decisive = error > np.maximum(nearest, 1.0)[:, None, None]
    decisive[:, :-1, _PLANE_FACTORS] = False
    return np.asarray(decisive & matters[:, :, None])


def _log_odds_errors(log_errors: Floats, probabilities: Floats) -> Floats:
    """Return the standard errors of ln odds from the densities, below and above, (2, n).

    Classes share laws, so the errors of theirs are taken to go together.
    """
    by_source = np.sqrt((log_errors**2).sum(axis=1))
    signals = probabilities[:, :-1].T
    shares = signals / np.maximum(signals.sum(axis=0), np.finfo(float).tiny)
    of_signals = (shares[:, None] * by_source[:-1]).sum(axis=0)
    # Odds are low where signals are fewer or noise is more than thought.
    return np.asarray(np.hypot(of_signals, by_source[-1, ::-1]))


def _in_words(extrapolated: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Say of each candidate which densities extrapolate in what, noise first, (n,)."""
    # A pattern is a number whose bits are the factors of the sources: there are few of them.
    patterns = extrapolated.reshape(len(extrapolated), _BITS.size) @ _BITS
    words = [_words_of(pattern) for pattern in patterns.tolist()]
    return np.array(words, dtype=object)


_BITS = 1 << np.arange(len(Source) * len(FACTORS), dtype=np.int64)


@cache
def _words_of(pattern: int) -> str:
    labels = [factor.label for factor in FACTORS.values()]
    beyond = (pattern & _BITS > 0).reshape(len(Source), len(FACTORS))
    by_source = [
        f"{name} in {', '.join(compress(labels, factors))}"
        for name, factors in zip([*ASTROPHYSICAL, "noise"], beyond, strict=True)
        if factors.any()
    ]
    return "; ".join(by_source[::-1])
