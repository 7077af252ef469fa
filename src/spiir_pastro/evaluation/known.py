"""How a model agrees with known mergers: which it saw, and what it called them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL

__all__ = ["ClassAgreement", "class_agreement"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassAgreement:
    """Catalogue classes against the model's most probable class of binary.

    Attributes
    ----------
    confusion : (3, 3)
        Events by catalogue class (rows) and predicted class (columns), in the order of
        ``ASTROPHYSICAL``.
    """

    confusion: NDArray[np.int64]

    @property
    def events(self) -> int:
        """How many events have a class in the catalogue and a prediction."""
        return int(self.confusion.sum())

    @property
    def fraction(self) -> float:
        """Fraction of events whose class agrees; NaN without events."""
        return float(np.trace(self.confusion) / self.events) if self.events else float("nan")


def class_agreement(probabilities: Floats, catalogue_class: NDArray[np.str_]) -> ClassAgreement:
    """Compare predicted classes, from probabilities (n, 4), with the catalogue's, (n,).

    Events without a class in the catalogue or without a prediction do not count.
    """
    names = [str(source) for source in ASTROPHYSICAL]
    counted = np.isin(catalogue_class, names) & ~np.isnan(probabilities).any(axis=1)
    true = np.array([names.index(name) for name in catalogue_class[counted]], dtype=np.int64)
    predicted = probabilities[counted, : len(names)].argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (true, predicted), 1)
    return ClassAgreement(confusion=confusion)
