"""Priors of the counts."""

from typing import Literal

from spiir_pastro.errors import FitError

Prior = Literal["uniform", "jeffreys"]

_PRIOR_POWERS: dict[object, float] = {"uniform": 1.0, "jeffreys": 0.5}


def prior_power(prior: object) -> float:
    """Return the alpha of a prior that goes like count ** (alpha - 1)."""
    if prior not in _PRIOR_POWERS:
        raise FitError(f"prior is {prior!r}; choose one of {', '.join(map(repr, _PRIOR_POWERS))}")
    return _PRIOR_POWERS[prior]
