"""What a processed campaign's injections measure: weights of its signals, and sensitive volumes.

The injections of a class are those of the runs of its bank. Each counts once a run: found if its
best trigger near in time, whatever the chirp mass, has a FAR below the threshold. Only injections
made while two detectors or more were analysed count, so the volume is an average over that time;
multiplied by the livetime of the candidates counted it is their sensitive volume-time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.errors import FitError
from spiir_pastro.io.provenance import ClassRates, Quantiles, Rates
from spiir_pastro.models.cosmology import redshift
from spiir_pastro.models.counts import CountPosterior
from spiir_pastro.models.exposure import Exposure
from spiir_pastro.models.kernels import effective_size
from spiir_pastro.models.population import BinaryPopulation
from spiir_pastro.models.rates import RatePosterior
from spiir_pastro.models.reweighting import InjectionSet, uncovered_fraction, volumes_gpc3
from spiir_pastro.pipeline.summary import InjectedRun

Floats = NDArray[np.float64]
Populations = Mapping[Source, BinaryPopulation]


FEWEST_FOR_DENSITIES = 30
"""Equal weights that a class's signals must be worth: then a mean is good to a fifth."""

FEWEST_FOR_VOLUME = 10
"""The same for a volume; with fewer its error, a third, is no longer log-normal."""

MOST_UNCOVERED_FRACTION = 0.1
"""Of the detectable mergers, those of masses never injected; no weight makes up for them."""


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What the injections of a class measure."""

    # made while data were analysed, and those of them found
    injections: int = 0
    found: int = 0
    effective: float = 0.0  # how many found ones of equal weight carry the same information
    uncovered: float = 0.0  # fraction of the detectable mergers whose masses were never injected
    # sensitive volume-time in Gpc^3 yr; None where it is not known
    exposure: Exposure | None = None
    why_not: str = ""


def signal_weights(
    signals: pl.DataFrame, injected: Sequence[InjectedRun], populations: Populations
) -> Floats:
    """Return how many mergers each injection found stands for, (n,), on average one a class.

    A signal of another class than its bank's stands for none.

    Raises
    ------
    FitError
        If the populations injected are not known, do not cover those, or too few signals are left.
    """
    weights = np.zeros(signals.height)
    for source, population in populations.items():
        of_class = signals["bank"].eq(str(source)) & signals["source_class"].eq(str(source))
        rows = of_class.fill_null(value=False).to_numpy()
        binaries = _binaries(signals.filter(of_class))
        try:
            sets = _injection_sets(injected, source)
            volumes = volumes_gpc3(population, sets, binaries)
            _uncovered(population, sets, binaries, volumes)
        except FitError as exc:
            raise FitError(f"{source} cannot be reweighted: {exc}") from exc
        if (size := effective_size(volumes)) < FEWEST_FOR_DENSITIES:
            raise FitError(
                f"{source} cannot be reweighted: the {volumes.size} injections found are worth "
                f"{size:.1f} of the population, where {FEWEST_FOR_DENSITIES} are needed; inject "
                "more of such binaries, or choose no population"
            )
        # One on average, so that a class's weights add up to its number of signals.
        weights[rows] = volumes / volumes.mean()
    return weights


def sensitivities(
    signals: pl.DataFrame,
    injected: Sequence[InjectedRun],
    *,
    populations: Populations | None,
    livetime_yr: float,
) -> Mapping[Source, Sensitivity]:
    """Measure the sensitive volume-time of each class.

    Parameters
    ----------
    signals
        Injections seen below the FAR threshold.
    populations
        The populations of the sky; None for those injected.
    livetime_yr
        How long candidates were counted.
    """
    measured = {}
    for source in ASTROPHYSICAL:
        of_bank = signals.filter(pl.col("injection_analysed"), bank=str(source))
        try:
            sets = _injection_sets(injected, source)
            population = populations[source] if populations else _as_injected(sets)
            measured[source] = _measure(population, sets, _binaries(of_bank), livetime_yr)
        except FitError as exc:
            measured[source] = Sensitivity(why_not=str(exc))
    return measured


def rates_of(
    posterior: CountPosterior, livetime_yr: float, measured: Mapping[Source, Sensitivity]
) -> Rates:
    """Return rates by class, with the ends of their 90 % intervals."""
    volume_times = [m.exposure or Exposure(size=1.0) for m in measured.values()]
    detections = _quantiles(posterior, [Exposure(size=livetime_yr)] * len(volume_times))
    densities = _quantiles(posterior, volume_times)
    classes = {
        source: ClassRates(
            **vars(one),
            detections_per_yr=detections[k],
            mergers_per_gpc3_yr=densities[k] if one.exposure else None,
        )
        for k, (source, one) in enumerate(measured.items())
    }
    return Rates(livetime_yr=livetime_yr, classes=classes)


def _quantiles(posterior: CountPosterior, exposures: Sequence[Exposure]) -> list[Quantiles]:
    rates = RatePosterior(counts=posterior, exposures=tuple(exposures))
    table = np.stack([rates.quantile(0.5), *rates.interval(0.9)], axis=1)
    return [(float(median), float(low), float(high)) for median, low, high in table]


def _measure(
    population: BinaryPopulation,
    sets: Sequence[InjectionSet],
    binaries: tuple[Floats, ...],
    livetime_yr: float,
) -> Sensitivity:
    drawn = sum(one.drawn for one in sets)
    volumes = volumes_gpc3(population, sets, binaries)
    size = effective_size(volumes)
    if size < FEWEST_FOR_VOLUME:
        raise FitError(
            f"the {volumes.size} injections found are worth {size:.1f} of the population, where "
            f"{FEWEST_FOR_VOLUME} are needed"
        )
    return Sensitivity(
        injections=sum(one.made for one in sets),
        found=volumes.size,
        effective=size,
        uncovered=_uncovered(population, sets, binaries, volumes),
        exposure=Exposure.sensitive_volume_time(volumes, drawn=drawn, livetime_yr=livetime_yr),
    )


def _binaries(signals: pl.DataFrame) -> tuple[Floats, ...]:
    """Return source-frame masses and redshifts of injections."""
    z = redshift(signals["injection_distance_mpc"].to_numpy())
    masses = (signals[f"injection_mass{i}_det"].to_numpy() / (1 + z) for i in (1, 2))
    return *masses, z


def _injection_sets(injected: Sequence[InjectedRun], source: Source) -> list[InjectionSet]:
    """Return what the runs of a class's bank drew."""
    runs = [run for run in injected if run.bank == str(source)]
    if not runs:
        raise FitError(f"no run of bank {source} has injections")
    sets = []
    for run in runs:
        if run.injected is None:
            raise FitError(
                f"run {run.run} does not say what its injections were drawn from; give "
                "`injected` in the runs file and process again"
            )
        if run.analysed:
            sets.append(
                InjectionSet(
                    population=run.injected, made=run.analysed, kept_fraction=run.kept_fraction
                )
            )
    if not sets:
        raise FitError(
            f"no injection of bank {source} lies in analysed data; give its runs segment files"
        )
    return sets


def _as_injected(sets: Sequence[InjectionSet]) -> BinaryPopulation:
    population = sets[0].population
    if any(one.population != population for one in sets):
        raise FitError("runs drew injections from different populations; choose a population")
    if population.redshift is None or population.frame != "source":
        raise FitError(
            "injections were drawn by luminosity distance or by detector-frame mass, which fills "
            "no volume; choose a population"
        )
    return population


def _uncovered(
    population: BinaryPopulation,
    sets: Sequence[InjectionSet],
    binaries: tuple[Floats, ...],
    volumes: Floats,
) -> float:
    """Return the fraction of detectable mergers of masses never injected; refuse a large one."""
    found = binaries[2][volumes > 0]
    fraction = uncovered_fraction(population, sets, found) if found.size else 1.0
    if fraction > MOST_UNCOVERED_FRACTION:
        raise FitError(
            f"{fraction:.0%} of the detectable mergers have masses that were never injected, "
            "so their weights would be infinite; inject such binaries, or choose a population "
            "within those injected"
        )
    return fraction
