"""Populations of binaries, as settings files describe them.

A population is a mapping with the attributes of `spiir_pastro.models.population.BinaryPopulation`::

    primary: {exponent: -2.35, low: 5, high: 60}
    secondary: {low: 5}
    redshift: {evolution: 0, high: 1.5}

A population file has one for each class of signals.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec
import yaml

from spiir_pastro.domain import ASTROPHYSICAL, MassBoundaries, Source
from spiir_pastro.errors import ConfigError, FitError
from spiir_pastro.io.documents import unread_places
from spiir_pastro.models.population import BinaryPopulation, with_border

_FOLDER = files("spiir_pastro.io") / "data" / "populations"

MASS_PLANE = "mass-plane"
"""The one that covers the plane without holes: what densities of masses are taken from."""

SHIPPED_POPULATIONS = ("gwtc-3", MASS_PLANE)
"""Names that `read_populations` knows."""


def read_populations(
    name: str, *, boundaries: MassBoundaries | None = None
) -> Mapping[Source, BinaryPopulation]:
    """Read the population of each class, in the order of ``ASTROPHYSICAL``.

    Parameters
    ----------
    name
        One of ``SHIPPED_POPULATIONS``, or a YAML file; ConfigError if it describes none.
    boundaries
        Where neutron stars end, see `with_border`; None for where the file has them end.
    """
    shipped = name in SHIPPED_POPULATIONS
    source = _FOLDER / f"{name}.yaml" if shipped else Path(name)
    try:
        content = yaml.safe_load(source.read_bytes())
    except OSError as exc:
        raise ConfigError(
            f"population {name!r} is no file that can be read ({exc.strerror}) and none of "
            f"{', '.join(SHIPPED_POPULATIONS)}; name one of these, or a YAML file"
        ) from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise ConfigError(f"population {name}: no YAML: {exc}; correct it") from exc
    if not isinstance(content, dict) or set(content) != {str(s) for s in ASTROPHYSICAL}:
        raise ConfigError(f"population {name}: give {', '.join(ASTROPHYSICAL)}, and nothing else")
    populations = {}
    for source_class in ASTROPHYSICAL:
        try:
            population = convert_population(content[str(source_class)])
        except ConfigError as exc:
            raise ConfigError(f"population {name}, {source_class}: {exc}") from exc
        if population.redshift is None or population.frame != "source":
            raise ConfigError(
                f"population {name}, {source_class}: mergers in the sky fill a volume and have "
                "source-frame masses; give redshift, and neither distance nor frame"
            )
        populations[source_class] = population
    return with_border(populations, boundaries.ns_max) if boundaries else populations


def convert_population(content: object) -> BinaryPopulation:
    """Read one population from plain values of YAML or JSON; ConfigError if they are none."""
    try:
        population = msgspec.convert(content, BinaryPopulation)
    except (msgspec.ValidationError, FitError) as exc:
        raise ConfigError(f"no population: {exc}") from exc
    if unknown := next(unread_places(content, msgspec.to_builtins(population)), None):
        raise ConfigError(f"no population: {unknown} is an unknown key; correct or drop it")
    return population
