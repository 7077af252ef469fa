"""The four things a trigger can be, and how probable each is.

The names are those of GraceDB's ``p_astro.json`` and of the public alerts. What a class of signals
is stands in one table, `CLASSES`: densities, mass contour, labels of known mergers and injections,
pages and pictures go through it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from spiir_pastro.domain.masses import Body, Region
from spiir_pastro.errors import TriggerError

_SUM_TOLERANCE = 1e-9


class Source(StrEnum):
    """What made a trigger: one of three kinds of binary, or noise."""

    BNS = "BNS"
    NSBH = "NSBH"
    BBH = "BBH"
    TERRESTRIAL = "Terrestrial"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceClass:
    """What there is to know of a class of binaries."""

    description: str  # what it is, for people
    # of the mass plane; every region belongs to one class. A component in the mass gap is heavier
    # than neutron stars
    regions: tuple[Region, ...]
    # in every picture: Okabe and Ito's, which people with any colour vision tell apart, and the
    # name of Plotly's symbol
    colour: str
    mark: str

    @property
    def is_star(self) -> tuple[bool, bool]:
        """Whether its secondary, and its primary, is a neutron star in all of its regions."""
        return (
            all(region.secondary is Body.STAR for region in self.regions),
            all(region.primary is Body.STAR for region in self.regions),
        )


CLASSES: Mapping[Source, SourceClass] = {
    Source.BNS: SourceClass(
        description="a binary neutron star",
        regions=(Region.BNS,),
        colour="#0072B2",
        mark="square",
    ),
    Source.NSBH: SourceClass(
        description="a neutron star and a black hole",
        regions=(Region.GNS, Region.NSBH),
        colour="#009E73",
        mark="triangle-up",
    ),
    Source.BBH: SourceClass(
        description="a binary black hole",
        regions=(Region.GG, Region.BHG, Region.BBH),
        colour="#D55E00",
        mark="circle",
    ),
}
"""Each class of signals once, from light to heavy."""

ASTROPHYSICAL = tuple(CLASSES)
"""The signal classes, in the order of every array's class axis; Terrestrial comes last."""

SOURCE_COLOURS: Mapping[Source, str] = {
    **{source: one.colour for source, one in CLASSES.items()},
    Source.TERRESTRIAL: "#767C8C",
}

SOURCE_MARKS: Mapping[Source, str] = {
    **{source: one.mark for source, one in CLASSES.items()},
    Source.TERRESTRIAL: "x-thin-open",
}


def class_of_region(region: Region) -> Source:
    """Return the class that a region of the mass plane belongs to."""
    return next(source for source, one in CLASSES.items() if region in one.regions)


_NAMES = tuple(str(source) for source in Source)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceProbabilities:
    """Probabilities of the four sources, which sum to one.

    Raises
    ------
    TriggerError
        If one is outside [0, 1] or they do not sum to one.

    Examples
    --------
    >>> p = SourceProbabilities(bns=0.9, nsbh=0.05, bbh=0.0, terrestrial=0.05)
    >>> round(p.p_astro, 12)
    0.95
    >>> p.most_probable
    <Source.BNS: 'BNS'>
    """

    bns: float
    nsbh: float
    bbh: float
    terrestrial: float

    def __post_init__(self) -> None:
        values = self._in_order()
        for source, value in zip(Source, values, strict=True):
            if not 0.0 <= value <= 1.0:
                raise TriggerError(f"the probability of {source} is {value}, outside [0, 1]")
        total = math.fsum(values)
        if abs(total - 1.0) > _SUM_TOLERANCE:
            raise TriggerError(f"the four source probabilities sum to {total!r}, not to 1")

    @classmethod
    def in_order(cls, probabilities: Iterable[float]) -> Self:
        """Take one number a source, in the order of ``Source``."""
        given = zip(Source, probabilities, strict=True)
        return cls(**{source.name.lower(): float(p) for source, p in given})

    @classmethod
    def from_mapping(cls, probabilities: dict[str, float]) -> Self:
        """Read GraceDB's form ``{"BNS": ..., "NSBH": ..., "BBH": ..., "Terrestrial": ...}``."""
        if set(probabilities) != set(Source):
            raise TriggerError(
                f"source probabilities are named {sorted(probabilities)}, "
                f"where {sorted(Source)} belong"
            )
        return cls.in_order(probabilities[source] for source in Source)

    @property
    def p_astro(self) -> float:
        """Probability of a signal of any class."""
        return min(math.fsum(self._in_order()[:-1]), 1.0)

    @property
    def most_probable(self) -> Source:
        """The source with the largest probability; the first of equals."""
        return max(Source, key=dict(zip(Source, self._in_order(), strict=True)).__getitem__)

    def as_mapping(self) -> dict[str, float]:
        """Return GraceDB's form, the content of ``p_astro.json``."""
        return dict(zip(_NAMES, self._in_order(), strict=True))

    def _in_order(self) -> tuple[float, float, float, float]:
        # Written out, for an alert asks for it five times; a test holds it to the order of Source.
        return self.bns, self.nsbh, self.bbh, self.terrestrial
