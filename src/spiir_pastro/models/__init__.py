"""The mathematics: densities, counts, distances and mass contours; NumPy and SciPy only."""

from spiir_pastro.models.classifier import SourceClassifier
from spiir_pastro.models.counts import CountPosterior, fit_counts
from spiir_pastro.models.distance import DistanceModel
from spiir_pastro.models.distance_fit import fit_distance
from spiir_pastro.models.mass_contour import MassContourClassifier

__all__ = [
    "CountPosterior",
    "DistanceModel",
    "MassContourClassifier",
    "SourceClassifier",
    "fit_counts",
    "fit_distance",
]
