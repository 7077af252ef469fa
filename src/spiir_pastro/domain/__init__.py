"""The nouns of the field, frozen and valid once built."""

from spiir_pastro.domain.candidates import Candidates
from spiir_pastro.domain.detectors import DETECTORS, join_ifos, split_ifos
from spiir_pastro.domain.livetime import (
    coincident_segments,
    intersect_segments,
    is_within,
    livetime_by_combination,
    merge_segments,
)
from spiir_pastro.domain.masses import Body, MassBoundaries, Region
from spiir_pastro.domain.sources import (
    ASTROPHYSICAL,
    CLASSES,
    SOURCE_COLOURS,
    SOURCE_MARKS,
    Source,
    SourceClass,
    SourceProbabilities,
    class_of_region,
)
from spiir_pastro.domain.trigger import Trigger

__all__ = [
    "ASTROPHYSICAL",
    "CLASSES",
    "DETECTORS",
    "SOURCE_COLOURS",
    "SOURCE_MARKS",
    "Body",
    "Candidates",
    "MassBoundaries",
    "Region",
    "Source",
    "SourceClass",
    "SourceProbabilities",
    "Trigger",
    "class_of_region",
    "coincident_segments",
    "intersect_segments",
    "is_within",
    "join_ifos",
    "livetime_by_combination",
    "merge_segments",
    "split_ifos",
]
