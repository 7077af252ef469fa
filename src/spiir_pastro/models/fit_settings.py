"""What a person chooses about a fit: a model remembers it, so that it can be fitted again."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spiir_pastro.domain import MassBoundaries, Source
from spiir_pastro.models.count_prior import Prior
from spiir_pastro.models.density_settings import DensitySettings
from spiir_pastro.models.distance_fit import Estimator
from spiir_pastro.models.pastro import ClassSharing
from spiir_pastro.models.population import BinaryPopulation
from spiir_pastro.models.response import Response


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What a person chooses about a fit.

    Attributes
    ----------
    far_threshold_hz
        Candidates with a FAR up to this are counted.
    prior
        Prior of the counts, ``jeffreys`` or ``uniform``.
    sharing
        How p_astro is shared among the classes.
    boundaries
        Where neutron stars end and black holes begin.
    mchirp_relative_error
        Of the template's chirp mass.
    distance_estimator
        How distances are fitted.
    noise_trials
        A candidate's FAR over the one by its own bank's statistics, where those are given.
    densities
        The densities' own choices.
    response
        What a search recovers of binaries, before the signals correct it.
    population
        What the sky holds, by class: the densities of masses are of it and injections are
        reweighted to it. None for the mass plane that ships, and rates as injected.
    """

    far_threshold_hz: float = 3e-4
    prior: Prior = "jeffreys"
    sharing: ClassSharing = ClassSharing.MULTI_COMPONENT
    boundaries: MassBoundaries = field(default_factory=MassBoundaries)
    mchirp_relative_error: float = 0.01
    distance_estimator: Estimator = "best"
    noise_trials: float = 8.0
    densities: DensitySettings = field(default_factory=DensitySettings)
    response: Response = field(default_factory=Response)
    population: Mapping[Source, BinaryPopulation] | None = None
