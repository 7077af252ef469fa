r"""Template banks of a BNS, an NSBH and a BBH search, split into overlapping groups.

Templates are spaced evenly in ``M_c^(-p)``: the more cycles a waveform has, the closer its
neighbours, so most templates are light, as in a real bank. For BNS p is 5/3, as for the number of
cycles; for BBH it is 0.55, from the bank numbers and chirp masses of real candidates; for NSBH a
value between. Mass ratio and spins follow a low-discrepancy sequence (Kronecker's, with powers of
the root of x^4 = x + 1).

A group is the range of templates between two chirp masses; neighbouring groups share a fifth of
their templates. A group holds four banks, ``bankid``; ``tmplt_idx`` numbers the templates of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Source
from spiir_pastro.models.early_warning import SOLAR_MASS_S
from spiir_pastro.models.mass_plane import chirp_mass

Floats = NDArray[np.float64]

_BANKS_PER_GROUP = 4
_OVERLAP_FRACTION = 0.1  # of a group's templates, shared with the neighbour on each side
_LOWEST_HZ = 15.0


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What the bank of a class covers; detector-frame masses in solar masses."""

    templates: int
    first_bankid: int
    power: float  # p: templates are even in M_c^(-p)
    mass1: tuple[float, float]
    mass2: tuple[float, float]
    largest_spins: tuple[float, float]  # of the primary, of the secondary


# fmt: off
_LAYOUTS: Mapping[Source, _Layout] = {
    Source.BNS: _Layout(
        templates=6000, first_bankid=0, power=5 / 3,
        mass1=(1.0, 3.0), mass2=(1.0, 3.0), largest_spins=(0.4, 0.4),
    ),
    Source.NSBH: _Layout(
        templates=8000, first_bankid=160, power=1.0,
        mass1=(3.0, 100.0), mass2=(1.0, 3.0), largest_spins=(0.9, 0.4),
    ),
    Source.BBH: _Layout(
        templates=6000, first_bankid=384, power=0.55,
        mass1=(3.0, 150.0), mass2=(3.0, 150.0), largest_spins=(0.95, 0.95),
    ),
}
# fmt: on


@dataclass(frozen=True, kw_only=True, eq=False)
class TemplateGroup:
    """Templates of one bank group, sorted by chirp mass; detector-frame solar masses, (n,).

    ``bank`` and ``number`` say which group of which bank it is; ``log_mchirp`` is natural.
    """

    bank: Source
    number: int
    mass1: Floats
    mass2: Floats
    spin1z: Floats
    spin2z: Floats
    log_mchirp: Floats
    bankid: NDArray[np.int64]
    tmplt_idx: NDArray[np.int64]

    def __len__(self) -> int:
        return self.log_mchirp.size


@cache
def template_groups(bank: Source, groups: int) -> tuple[TemplateGroup, ...]:
    """Lay out a bank and split it; always the same."""
    layout = _LAYOUTS[bank]
    mass1, mass2 = _masses(layout)
    n = mass1.size
    limit1, limit2 = layout.largest_spins
    spin1z = limit1 * (2 * _sequence(n, 2) - 1)
    spin2z = limit2 * (2 * _sequence(n, 3) - 1)
    edges = np.linspace(0, n, groups + 1)
    reach = _OVERLAP_FRACTION * n / groups if groups > 1 else 0
    parts = []
    for g in range(groups):
        rows = slice(max(int(edges[g] - reach), 0), min(int(edges[g + 1] + reach), n))
        index = np.arange(rows.stop - rows.start)
        parts.append(
            TemplateGroup(
                bank=bank,
                number=g,
                mass1=mass1[rows],
                mass2=mass2[rows],
                spin1z=spin1z[rows],
                spin2z=spin2z[rows],
                log_mchirp=np.log(chirp_mass(mass1[rows], mass2[rows])),
                bankid=layout.first_bankid + g * _BANKS_PER_GROUP + index % _BANKS_PER_GROUP,
                tmplt_idx=index // _BANKS_PER_GROUP,
            )
        )
    return tuple(parts)


def nearest_template(
    group: TemplateGroup, log_mchirp: Floats, mass_ratio: Floats, *, reach: int = 4
) -> NDArray[np.int64]:
    """Find for each target the template nearest in mass ratio among those nearest in chirp mass.

    ``reach`` templates are looked at to each side of the target.
    """
    centre = np.searchsorted(group.log_mchirp, log_mchirp)
    near = np.clip(centre[:, None] + np.arange(-reach, reach), 0, len(group) - 1)
    ratio = group.mass2[near] / group.mass1[near]
    best = np.argmin(np.abs(np.log(ratio / mass_ratio[:, None])), axis=1)
    return np.asarray(np.take_along_axis(near, best[:, None], axis=1)[:, 0])


def template_duration_s(mchirp: Floats) -> Floats:
    """Seconds from 15 Hz to merger at leading order, 5/256 (pi f)^(-8/3) (G M_c/c^3)^(-5/3)."""
    return np.asarray(
        5 / 256 * (np.pi * _LOWEST_HZ) ** (-8 / 3) * (mchirp * SOLAR_MASS_S) ** (-5 / 3)
    )


def _sequence(n: int, dimension: int) -> Floats:
    plastic = 1.22074408460575947536  # root of x^4 = x + 1: three dimensions
    return np.asarray((0.5 + np.arange(n) * plastic**-dimension) % 1)


def _masses(layout: _Layout) -> tuple[Floats, Floats]:
    """Return masses whose chirp masses are even in their power, within the limits."""
    (low1, high1), (low2, high2) = layout.mass1, layout.mass2
    lightest, heaviest = chirp_mass(*np.array([layout.mass1, layout.mass2])) ** -layout.power
    even = np.linspace(lightest, heaviest, layout.templates + 2)[1:-1]
    mchirp = even ** (-1 / layout.power)
    ratios = np.geomspace(0.01, 1, 1000)
    primary = mchirp[:, None] * (1 + ratios) ** 0.2 * ratios**-0.6
    secondary = primary * ratios
    inside = (primary >= low1) & (primary <= high1) & (secondary >= low2) & (secondary <= high2)
    first, count = inside.argmax(axis=1), inside.sum(axis=1)
    pick = first + (count * _sequence(mchirp.size, 1)).astype(int)
    rows = np.flatnonzero(count)  # a few at the very corners find no mass ratio
    pick = pick[rows]
    return primary[rows, pick], secondary[rows, pick]
