"""How many candidates are signals of each class, exactly."""

from spiir_pastro.models.count_prior import Prior
from spiir_pastro.models.counts.inference import fit_counts
from spiir_pastro.models.counts.posterior import CountPosterior

__all__ = ["CountPosterior", "Prior", "fit_counts"]
