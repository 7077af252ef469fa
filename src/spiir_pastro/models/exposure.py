"""What a count is divided by to be a rate: a time, or a sensitive volume times a time."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from spiir_pastro.errors import FitError
from spiir_pastro.models.kernels import effective_size


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What a count is divided by to be a rate.

    Attributes
    ----------
    size
        Median: years, or Gpc^3 years.
    log_error
        Standard deviation of its logarithm.

    Raises
    ------
    FitError
        If the size is not positive or the error negative.
    """

    size: float
    log_error: float = 0.0

    def __post_init__(self) -> None:
        sizes = math.isfinite(self.size) and self.size > 0
        if not (sizes and math.isfinite(self.log_error) and self.log_error >= 0):
            raise FitError(
                f"an exposure of {self.size} with a log error of {self.log_error} cannot be; "
                "the first must be positive, the second not negative"
            )

    @classmethod
    def sensitive_volume_time(
        cls,
        volumes_gpc3: ArrayLike,
        *,
        drawn: float,
        livetime_yr: float,
        calibration_log_error: float = 0.0,
    ) -> Self:
        """Measure a sensitive volume-time with injections.

        Parameters
        ----------
        volumes_gpc3 : (f,)
            What each injection found stands for.
        drawn
            How many were drawn in all, those missed and those left out as undetectable included.
        livetime_yr
            How long candidates were counted.
        calibration_log_error
            Error of the volume from the detectors' calibration, about three times that of the
            amplitude.

        Raises
        ------
        FitError
            If no injection with a volume was found, more were found than drawn, or a volume is
            negative.
        """
        volumes = np.asarray(volumes_gpc3, dtype=np.float64)
        total = float(volumes.sum())
        if not (np.all(volumes >= 0) and total > 0 and volumes.size <= drawn):
            raise FitError(
                f"{volumes.size} injections found of {drawn:g} drawn stand for {total} Gpc^3; "
                "some must be found, no more than drawn, and no volume may be negative"
            )
        variance = 1 / effective_size(volumes) - 1 / drawn
        return cls(
            size=livetime_yr * total,
            log_error=math.hypot(math.sqrt(max(variance, 0.0)), calibration_log_error),
        )
