"""The composite model: densities, counts and a source classifier give the four probabilities.

Two ways to share p_astro among the classes stand behind one interface, :class:`ClassSharing`:
*multi-component FGMC* counts BNS, NSBH and BBH together, each with its own densities; the *mass
contour* multiplies p_astro by each class's share of the event's band in the mass plane.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source, SourceProbabilities, Trigger
from spiir_pastro.errors import TriggerError
from spiir_pastro.models.components import TERMS, ComponentDensities
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.mass_contour import MassContourClassifier

__all__ = ["ClassSharing", "PastroModel", "Predictions", "extrapolations"]

Floats = NDArray[np.float64]

NO_FAR = "no FAR assigned"


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
        Of BNS, NSBH, BBH and Terrestrial; a row sums to one, or is NaN where nothing is said.
    p_astro_interval : (n, 2)
        Central 90 % credible interval of p_astro over the posterior of the counts and the errors
        of the densities.
    extrapolated : (n,)
        In what the densities of noise and of the likeliest class extrapolate, like
        ``"noise in SNR; BBH in FAR, chirp mass"``; empty where they do not.
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
        said = np.isfinite(self.p_astro)
        return (
            f"<Predictions of {said.size} candidates, {self.p_astro[said].sum():.3g} of them "
            f"expected to be signals, {np.sum(~said)} without numbers>"
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
    sharing
        How p_astro is shared among the classes.
    """

    far_threshold_hz: float
    densities: ComponentDensities
    counts: CountSummary
    contour: MassContourClassifier
    sharing: ClassSharing = ClassSharing.MULTI_COMPONENT

    def predict(self, candidates: Candidates) -> Predictions:
        """Return the probabilities of candidates, each with its interval and notes."""
        n = len(candidates)
        assigned = ~np.isnan(candidates.far_hz)
        probabilities = np.full((n, len(Source)), np.nan)
        interval = np.full((n, 2), np.nan)
        known = candidates[assigned]
        factors = self.densities.log_bayes_factors(known, far_threshold_hz=self.far_threshold_hz)
        said = self.counts.probabilities(factors)
        probabilities[assigned] = said
        errors = self.densities.log_errors(known, far_threshold_hz=self.far_threshold_hz)
        interval[assigned] = self.counts.p_astro_interval(
            factors, log_odds_errors=_log_odds_errors(errors, said)
        )
        extrapolated = np.full(n, "", dtype=object)
        extrapolated[assigned] = _in_words(extrapolations(errors, said))
        notes = np.where(assigned, "", NO_FAR)
        if self.sharing is ClassSharing.MASS_CONTOUR:
            probabilities, notes = self._shared_by_contour(candidates, probabilities, notes)
        return Predictions(
            probabilities=probabilities,
            p_astro_interval=interval,
            extrapolated=extrapolated.astype(np.str_),
            notes=notes,
        )

    def _shared_by_contour(
        self, candidates: Candidates, probabilities: Floats, notes: NDArray[np.str_]
    ) -> tuple[Floats, NDArray[np.str_]]:
        shares = self.contour.probabilities(
            candidates.mchirp_det, candidates.snr, candidates.eff_distance_mpc
        )
        has_shares = np.isfinite(shares.sum(axis=1))
        p_astro = _of_signals(probabilities)[:, None]
        by_contour = np.concatenate([p_astro * shares, probabilities[:, -1:]], axis=1)
        unshared = ~has_shares & (notes == "")
        return (
            np.where(has_shares[:, None], by_contour, probabilities),
            np.where(unshared, "no mass contour; classes shared by their densities", notes),
        )

    def assess(self, trigger: Trigger) -> SourceProbabilities:
        """Return one trigger's probabilities.

        Raises
        ------
        TriggerError
            If nothing can be said of it, for want of a FAR.
        """
        predictions = self.predict(Candidates.from_triggers([trigger]))
        row = predictions.probabilities[0]
        if np.isnan(row).any():
            raise TriggerError(f"trigger {trigger.event_id}: {predictions.notes[0]}")
        bns, nsbh, bbh, terrestrial = (float(p) for p in row)
        return SourceProbabilities(bns=bns, nsbh=nsbh, bbh=bbh, terrestrial=terrestrial)

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
    """Tell which source's density extrapolates in which of `TERMS`, (n, 4, 3), where it matters.

    That is of noise and of the likeliest class.

    Parameters
    ----------
    log_errors : (4, 3, 2, n)
        As `ComponentDensities.log_errors` returns them.
    probabilities : (n, 4)
        Of the sources.
    """
    matters = np.zeros(probabilities.shape, dtype=np.bool_)
    matters[np.arange(len(matters)), probabilities[:, :-1].argmax(axis=1)] = True
    matters[:, -1] = True
    beyond = np.moveaxis(log_errors.max(axis=2) > 1, -1, 0)
    return np.asarray(beyond & matters[:, :, None])


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


def _in_words(extrapolated: NDArray[np.bool_]) -> list[str]:
    """Say of each candidate which densities extrapolate in what, noise first."""
    sources, terms = len(Source), len(TERMS)
    flat = extrapolated.reshape(-1, sources * terms)
    patterns, which = np.unique(flat, axis=0, return_inverse=True)
    said = []
    for pattern in patterns.reshape(-1, sources, terms):
        by_source = [
            f"{name} in {', '.join(compress(TERMS.values(), beyond))}"
            for name, beyond in zip([*ASTROPHYSICAL, "noise"], pattern, strict=True)
            if beyond.any()
        ]
        said.append("; ".join(by_source[::-1]))
    return [said[k] for k in which.ravel()]
