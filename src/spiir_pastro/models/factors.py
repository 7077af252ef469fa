r"""The values of a candidate that its density is a product over: one entry of `FACTORS` each.

They are :math:`x = \ln(\mathrm{FAR}/f^*)`, :math:`m = \ln \mathcal{M}_\mathrm{det}`, the template's
:math:`w = \sqrt{1 - 4\eta} = (m_1 - m_2)/(m_1 + m_2)` and :math:`s = \ln \rho`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Candidates
from spiir_pastro.models.response import mass_difference

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One value of a candidate, and what its density is given."""

    label: str  # what people call it
    column: str  # of the canonical trigger table
    unit: str = ""  # of that column
    given: tuple[str, ...] = ()  # the factors its density depends on


FACTORS: Mapping[str, Factor] = {
    "far": Factor(label="FAR", column="far_hz", unit="Hz"),
    "mchirp": Factor(label="chirp mass", column="mchirp_det", unit="Msun"),
    "w": Factor(label="mass ratio", column="mtotal_det", unit="Msun", given=("mchirp",)),
    "snr": Factor(label="SNR", column="snr", given=("far", "mchirp")),
}
"""Each value of a candidate once. Densities, errors, explanations and pages go through this table;
what a factor is of a candidate stands in `values_of`, how it is fitted in `fit_densities`."""

LOG_FAR, LOG_MCHIRP, ALONE = 1, 2, 4
"""Columns of ln(FAR / threshold), of the logarithm of the chirp mass, and of whether one detector
saw the candidate, among the features."""

LOUDEST_LOG_FAR_RATIO = -12.0
"""Below this ln(FAR / threshold) the regression of SNR holds still: FAR underflows, SNR doesn't."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """What the densities are of, for n candidates; NaN where unknown."""

    by_factor: Mapping[str, Floats]  # values by factor, (n,) each
    # (n, 5) what conditional densities are given: 1, ln FAR, ln mchirp and its square, and 1 for a
    # candidate of one detector, 0 for others
    features: Floats


def values_of(candidates: Candidates, *, far_threshold_hz: float) -> Values:
    """Turn candidates into the variables of the densities."""
    x = np.log(candidates.far_hz / far_threshold_hz)
    m = np.log(candidates.mchirp_det)
    clipped = np.maximum(x, LOUDEST_LOG_FAR_RATIO)
    return Values(
        by_factor={
            "far": x,
            "mchirp": m,
            "w": mass_difference(candidates.eta),
            "snr": np.log(candidates.snr),
        },
        features=np.array([np.ones_like(x), clipped, m, m * m, candidates.n_detectors == 1]).T,
    )


@runtime_checkable
class FactorDensity(Protocol):
    """A normalised density of one variable, given features or not."""

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        ...

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Return the same, and the standard errors of it, below and above, (2, n)."""
        ...
