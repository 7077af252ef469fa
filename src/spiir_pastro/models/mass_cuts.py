"""Hard cuts on the detector-frame chirp mass, for comparison only."""

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.models.mass_plane import equal_mass_mchirp

__all__ = ["hard_mass_cuts"]

Floats = NDArray[np.float64]

NEUTRON_STARS_BELOW = 3.0
BLACK_HOLES_ABOVE = 5.0


def hard_mass_cuts(mchirp_det: Floats) -> Floats:
    """Return certain classes, (n, 3): BNS up to the chirp mass of 3 + 3, BBH from that of 5 + 5.

    What is between is NSBH. The masses are those of ``ligo.p_astro``'s cuts. An unknown chirp mass
    gives NaN.

    Examples
    --------
    >>> hard_mass_cuts(np.array([1.2, 3.0, 30.0])).argmax(axis=1).tolist()
    [0, 1, 2]
    """
    edges = [equal_mass_mchirp(NEUTRON_STARS_BELOW), equal_mass_mchirp(BLACK_HOLES_ABOVE)]
    shares = np.eye(len(ASTROPHYSICAL))[np.searchsorted(edges, mchirp_det) % len(ASTROPHYSICAL)]
    shares[np.isnan(mchirp_det)] = np.nan
    return np.asarray(shares)
