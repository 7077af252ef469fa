"""What kind of binary a trigger would be, if it were a signal."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SourceClassifier"]


class SourceClassifier(Protocol):
    """Anything that shares a signal out among the astrophysical classes."""

    def probabilities(
        self, mchirp: ArrayLike, snr: ArrayLike, eff_distance: ArrayLike
    ) -> NDArray[np.float64]:
        """Shares of ``domain.ASTROPHYSICAL``, (n, classes); a row sums to one or is all NaN.

        Parameters
        ----------
        mchirp : (n,)
            Detector-frame chirp mass in solar masses.
        snr : (n,)
            Network signal-to-noise ratio.
        eff_distance : (n,) or (n, detectors)
            Effective distance in Mpc, the least or by detector; NaN for none.
        """
        ...
