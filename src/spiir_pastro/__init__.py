"""spiir-pastro: the probability that a SPIIR trigger is BNS, NSBH, BBH or Terrestrial.

Names load when first used, so ``import spiir_pastro`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from spiir_pastro.domain import Candidates, MassBoundaries, Source, SourceProbabilities, Trigger
    from spiir_pastro.errors import PastroError
    from spiir_pastro.io.artifact import ModelArtifact, load_model
    from spiir_pastro.io.ligolw import read_table, read_tables
    from spiir_pastro.io.qtable import to_qtable
    from spiir_pastro.io.trigger_files import read_triggers
    from spiir_pastro.models.counts import CountPosterior, fit_counts
    from spiir_pastro.models.distance import DistanceModel
    from spiir_pastro.models.distance_fit import fit_distance
    from spiir_pastro.models.mass_contour import MassContourClassifier
    from spiir_pastro.models.pastro import PastroModel
    from spiir_pastro.pipeline.commands import evaluate, explain, extract, fit, process

_HOMES = {
    "Candidates": "domain",
    "CountPosterior": "models.counts",
    "DistanceModel": "models.distance",
    "MassBoundaries": "domain",
    "MassContourClassifier": "models.mass_contour",
    "ModelArtifact": "io.artifact",
    "PastroError": "errors",
    "PastroModel": "models.pastro",
    "Source": "domain",
    "SourceProbabilities": "domain",
    "Trigger": "domain",
    "evaluate": "pipeline.commands",
    "explain": "pipeline.commands",
    "extract": "pipeline.commands",
    "fit": "pipeline.commands",
    "fit_counts": "models.counts",
    "fit_distance": "models.distance_fit",
    "load_model": "io.artifact",
    "process": "pipeline.commands",
    "read_table": "io.ligolw",
    "read_tables": "io.ligolw",
    "read_triggers": "io.trigger_files",
    "to_qtable": "io.qtable",
}

__all__ = [
    "Candidates",
    "CountPosterior",
    "DistanceModel",
    "MassBoundaries",
    "MassContourClassifier",
    "ModelArtifact",
    "PastroError",
    "PastroModel",
    "Source",
    "SourceProbabilities",
    "Trigger",
    "evaluate",
    "explain",
    "extract",
    "fit",
    "fit_counts",
    "fit_distance",
    "load_model",
    "process",
    "read_table",
    "read_tables",
    "read_triggers",
    "to_qtable",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home, or look up the version."""
    if name == "__version__":
        return import_module("importlib.metadata").version("spiir-pastro")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, for tab completion."""
    return sorted([*__all__, "__version__"])
