"""Detectors and the many ways files write a set of them."""

import re
from collections.abc import Iterable

from spiir_pastro.errors import TriggerError

DETECTORS = ("H1", "L1", "V1", "K1")
"""LIGO Hanford, LIGO Livingston, Virgo and KAGRA, in the order of every detector axis."""

_TOKEN = re.compile(r"[A-Z][0-9]")
_SEPARATORS = re.compile(r"[,\s]+")


def split_ifos(text: str) -> tuple[str, ...]:
    """Split ``H1L1``, ``L1H1``, ``H1,L1`` or ``L1,H1`` into detectors in canonical order.

    Raises
    ------
    TriggerError
        If the text names no detector, an unknown one, or one twice.

    Examples
    --------
    >>> split_ifos("L1,H1")
    ('H1', 'L1')
    """
    letters = _SEPARATORS.sub("", text)
    found = _TOKEN.findall(letters)
    known = len(set(found)) == len(found) and set(found) <= set(DETECTORS)
    if not found or "".join(found) != letters or not known:
        raise TriggerError(
            f"ifos {text!r} is no list of detectors; "
            f"write it like 'H1L1' or 'H1,L1' with {', '.join(DETECTORS)}"
        )
    return tuple(ifo for ifo in DETECTORS if ifo in found)


def join_ifos(ifos: Iterable[str]) -> str:
    """Write detectors the canonical way.

    Examples
    --------
    >>> join_ifos(["L1", "H1"])
    'H1L1'
    """
    return "".join(split_ifos("".join(ifos)))
