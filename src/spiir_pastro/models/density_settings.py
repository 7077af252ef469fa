"""What a person chooses about the densities."""

import math
from dataclasses import dataclass

from spiir_pastro.errors import FitError


@dataclass(frozen=True, kw_only=True)
class DensitySettings:
    """What a person chooses about the densities.

    Attributes
    ----------
    mchirp_min, mchirp_max
        Chirp masses of the banks' templates, solar masses; outside, no probability is given.
    density_floor
        Weight of a uniform density in each that is estimated from noise or of FAR: what no sample
        excludes stays possible. It bounds the odds of signal against noise.
    outlier_fraction
        Signals whose masses no class explains. It bounds the odds between classes.
    population_error, response_error
        Standard errors of the logarithms of a class's densities of chirp mass, and of mass ratio
        given that: how well the population and the response are known.
    population_events
        As how many known mergers the population counts where such are given: what is seen moves a
        class's density of chirp mass away from it.
    enough_for_a_class
        Signals from which a class gets its own laws of FAR and SNR.
    enough_for_curves
        Noise candidates from which SNR and mass ratio are described mass by mass.

    Raises
    ------
    FitError
        If a range is empty or a fraction none.
    """

    mchirp_min: float = 0.8
    mchirp_max: float = 200.0
    density_floor: float = 0.01
    outlier_fraction: float = 0.005
    population_error: float = 1.3
    response_error: float = 1.1
    population_events: float = 10.0
    enough_for_a_class: int = 200
    enough_for_curves: int = 2000

    def __post_init__(self) -> None:
        rules = {
            "0 < mchirp_min < mchirp_max": 0 < self.mchirp_min < self.mchirp_max < math.inf,
            "0 < density_floor < 1": 0 < self.density_floor < 1,
            "0 < outlier_fraction < 1": 0 < self.outlier_fraction < 1,
            "errors of 0 or more": (
                min(self.population_error, self.response_error) >= 0
                and max(self.population_error, self.response_error) < math.inf
            ),
            "population_events above 0": self.population_events > 0,
            "enough_for_a_class and enough_for_curves of 2 or more": (
                min(self.enough_for_a_class, self.enough_for_curves) >= 2
            ),
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise FitError(f"densities need {'; '.join(broken)}, not {self}")

    @property
    def span(self) -> tuple[float, float]:
        """First and last ln(chirp mass in solar masses) of the densities."""
        return math.log(self.mchirp_min), math.log(self.mchirp_max)
