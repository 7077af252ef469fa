"""The composite model: densities, counts and a source classifier give the four probabilities.

Two ways to share p_astro among the classes stand behind one interface, :class:`ClassSharing`:
*multi-component FGMC* counts BNS, NSBH and BBH together, each with its own densities; the *mass
contour* multiplies p_astro by each class's share of the event's band in the mass plane.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source, SourceProbabilities, Trigger
from spiir_pastro.errors import TriggerError
from spiir_pastro.models.components import ComponentDensities
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.mass_contour import MassContourClassifier

__all__ = ["ClassSharing", "PastroModel", "Predictions"]

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
        Central 90 % credible interval of p_astro over the posterior of the counts.
    notes : (n,)
        Why a row has no numbers, or what was missing or extrapolated; empty otherwise.
    """

    probabilities: Floats
    p_astro_interval: Floats
    notes: NDArray[np.str_]

    @property
    def p_astro(self) -> Floats:
        """Probability of a signal of any class, (n,)."""
        return np.asarray(np.minimum(self.probabilities[:, :-1].sum(axis=1), 1.0))

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
        probabilities[assigned] = self.counts.probabilities(factors)
        interval[assigned] = self.counts.p_astro_interval(factors)
        notes = np.where(assigned, "", NO_FAR)
        if self.sharing is ClassSharing.MASS_CONTOUR:
            probabilities, notes = self._shared_by_contour(candidates, probabilities, notes)
        return Predictions(probabilities=probabilities, p_astro_interval=interval, notes=notes)

    def _shared_by_contour(
        self, candidates: Candidates, probabilities: Floats, notes: NDArray[np.str_]
    ) -> tuple[Floats, NDArray[np.str_]]:
        shares = self.contour.probabilities(
            candidates.mchirp_det, candidates.snr, candidates.eff_distance_mpc
        )
        has_shares = np.isfinite(shares.sum(axis=1))
        p_astro = probabilities[:, :-1].sum(axis=1, keepdims=True)
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

    def with_sharing(self, sharing: ClassSharing) -> Self:
        """Return the same model with p_astro shared the other way."""
        return replace(self, sharing=sharing)
