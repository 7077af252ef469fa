r"""Signals that neither the mass plane nor the search's response explains: masses of no class.

Their density in ln(chirp mass) is flat over the bank. The mass contour, tabulated here, shares them
among the classes.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import cell, equidistant

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outliers:
    """Signals that neither the mass plane nor the response explains.

    Attributes
    ----------
    fraction
        Of all signals, in (0, 1).
    mchirp_min, mchirp_max
        Chirp masses of the bank's templates in solar masses: outliers are flat in its logarithm.
    w_as_noise
        Fraction of any class whose w is distributed as noise's.
    log_mchirp_nodes : (k,)
        Logarithms of the chirp masses at which the shares are tabulated.
    log_snr_nodes : (j,)
        Logarithms of the SNRs.
    class_shares : (classes, k, j)
        How the mass contour shares a candidate of this chirp mass and SNR among the classes.
    """

    fraction: float
    mchirp_min: float
    mchirp_max: float
    w_as_noise: float
    log_mchirp_nodes: Floats
    log_snr_nodes: Floats
    class_shares: Floats

    def __post_init__(self) -> None:
        shares = np.array(self.class_shares, float)
        m, s = np.array(self.log_mchirp_nodes, float), np.array(self.log_snr_nodes, float)
        if not (
            0 < self.fraction < 1
            and 0 < self.w_as_noise < 1
            and 0 < self.mchirp_min < self.mchirp_max < math.inf
            and shares.shape == (len(ASTROPHYSICAL), m.size, s.size)
            and min(m.size, s.size) >= 2
            and equidistant(m)
            and equidistant(s)
            and (shares >= 0).all()
            and np.abs(shares.sum(axis=0) - 1).max() < 1e-3
        ):
            raise FitError(
                f"outliers of fraction {self.fraction} in a bank from {self.mchirp_min} to "
                f"{self.mchirp_max} solar masses need shares that sum to one, not {shares.shape}"
            )
        total = shares.sum(axis=0)
        # Sums that differ from one by rounding are left alone: a stored model stays as it is.
        shares = np.where(np.abs(total - 1) > 1e-12, shares / total, shares)
        for name, array in (
            ("class_shares", shares),
            ("log_mchirp_nodes", m),
            ("log_snr_nodes", s),
        ):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def log_density(self) -> float:
        """Logarithm of the density in ln(chirp mass)."""
        return -math.log(math.log(self.mchirp_max / self.mchirp_min))

    def shares(self, log_mchirp: Floats, log_snr: Floats) -> Floats:
        """Return the mass contour's shares of the classes, (n, classes); NaN for no chirp mass.

        An unknown SNR is taken for the least.
        """
        s = np.where(np.isnan(log_snr), self.log_snr_nodes[0], log_snr)
        row, up = cell(self.log_mchirp_nodes, log_mchirp)
        column, right = cell(self.log_snr_nodes, s)
        table = self._shares_by_node
        up, right = up[:, None], right[:, None]
        near = (1 - right) * table[row, column] + right * table[row, column + 1]
        far = (1 - right) * table[row + 1, column] + right * table[row + 1, column + 1]
        mixed = (1 - up) * near + up * far
        return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))

    @cached_property
    def _shares_by_node(self) -> Floats:
        return np.ascontiguousarray(np.moveaxis(self.class_shares, 0, -1))

    def in_bank(self, mchirp: Floats) -> NDArray[np.bool_]:
        """Tell which chirp masses, solar masses, a template may have; unknown ones may be any."""
        return ~((mchirp < self.mchirp_min) | (mchirp > self.mchirp_max))
