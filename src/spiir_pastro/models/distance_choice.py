"""Choose the distance model that real events speak for.

A campaign tells forms apart that ten real events cannot, and real events tell whether what was
learned on a campaign holds of the search. So models fitted elsewhere, on a campaign or by others,
stand beside the one fitted to the events themselves, which must predict each event unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spiir_pastro.models.distance import DistanceModel
from spiir_pastro.models.distance_fit import fit_distance, hold_out_residuals

FEWEST_TO_CHOOSE = 8
"""Real events from which they choose: a scatter of theirs is then known to a quarter."""

FITTED = "fitted to them"


@dataclass(frozen=True, kw_only=True)
class DistanceChoice:
    """The model that was chosen, and how each did."""

    model: DistanceModel  # the one with the least scatter
    # root mean square of (D - D_est) / D_est over the events by name, from the least on
    scatter: Mapping[str, float]

    @property
    def chosen(self) -> str:
        """Name of the model that was chosen."""
        return next(iter(self.scatter))


def choose_distance(
    snr: ArrayLike,
    eff_distance: ArrayLike,
    distance_mean: ArrayLike,
    distance_std: ArrayLike,
    *,
    others: Mapping[str, DistanceModel],
) -> DistanceChoice:
    """Choose the distance model with the least scatter over real events.

    Parameters
    ----------
    snr, eff_distance, distance_mean, distance_std
        Of the events, as `fit_distance` takes them; `FEWEST_TO_CHOOSE` or more of them.
    others
        Models that were not fitted to these events, by name. One that averages over detectors
        is left out where only the least effective distance is known.
    """
    events = snr, eff_distance, distance_mean, distance_std
    by_detector = np.ndim(eff_distance) == 2
    known = {n: m for n, m in others.items() if by_detector or m.average == "least"}
    models = {FITTED: fit_distance(*events, estimator="best"), **known}
    residuals = {FITTED: hold_out_residuals(*events, estimator="best")}
    for name, model in known.items():
        estimate, _ = model.luminosity(snr, eff_distance)
        residuals[name] = np.asarray(distance_mean) / estimate - 1
    scatter = {name: float(np.sqrt(np.mean(r**2))) for name, r in residuals.items()}
    order = sorted(scatter, key=scatter.__getitem__)
    return DistanceChoice(model=models[order[0]], scatter={name: scatter[name] for name in order})
