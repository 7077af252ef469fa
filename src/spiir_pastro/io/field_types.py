"""Whether what a file gives for the fields of a dataclass is what they are declared to hold."""

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from spiir_pastro.models.components import FactorDensity

__all__ = ["misfits"]


def misfits(kind: type, parts: Mapping[str, object]) -> list[str]:
    """Return the names of the fields of a dataclass for which something else was given."""
    hints = _hints(kind)
    return [name for name, value in parts.items() if not _fits(value, hints[name])]


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    declared = {field.name: field.type for field in fields(kind)}
    # Hints in quotes have to be looked up, which takes a while.
    return get_type_hints(kind) if any(isinstance(t, str) for t in declared.values()) else declared


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401, PLR0911  (an annotation of any kind)
    """Tell whether a value is of a declared type; numbers and arrays are finite."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is Mapping:
        pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
        return all(_fits(key, arguments[0]) and _fits(v, arguments[1]) for key, v in pairs)
    if origin in (np.ndarray, tuple):  # a file's lists are read as arrays
        return isinstance(value, np.ndarray) and bool(np.isfinite(value).all())
    if hint is FactorDensity:
        return callable(getattr(value, "log_pdf", None))
    if hint in (int, float):
        number = isinstance(value, int | hint) and not isinstance(value, bool)
        return number and math.isfinite(value)  # type: ignore[arg-type]
    return isinstance(value, hint)
