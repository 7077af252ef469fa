r"""Template banks of a BNS, an NSBH and a BBH search, split into overlapping groups.

Templates stand the closer the more cycles they hold: evenly in ``M_c^(-p)``, so most are light, as
in a real bank, and noise follows. For BNS p is 5/3, the number of cycles; for BBH 0.55, from the
bank numbers and chirp masses of real candidates; for NSBH something between. Along a line of equal
chirp mass, mass ratio and spins run over a low-discrepancy sequence (Kronecker's, with powers of
the root of x^4 = x + 1).

A group is a run of templates between two chirp masses; neighbours share a fifth of theirs. A group
holds four banks, ``bankid``, of which a template is number ``tmplt_idx``.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Source
from spiir_pastro.simulation.binaries import chirp_mass
from spiir_pastro.simulation.network import SOLAR_MASS_S

Floats = NDArray[np.float64]

_BANKS_PER_GROUP = 4
_OVERLAP = 0.1
_TEMPLATES = {Source.BNS: 6000, Source.NSBH: 8000, Source.BBH: 6000}
_FIRST_BANKID = {Source.BNS: 0, Source.NSBH: 160, Source.BBH: 384}
_CROWDING = {Source.BNS: 5 / 3, Source.NSBH: 1.0, Source.BBH: 0.55}
_MASS_LIMITS = {  # detector frame: of the primary, of the secondary
    Source.BNS: ((1.0, 3.0), (1.0, 3.0)),
    Source.NSBH: ((3.0, 100.0), (1.0, 3.0)),
    Source.BBH: ((3.0, 150.0), (3.0, 150.0)),
}
_SPIN_LIMITS = {Source.BNS: (0.4, 0.4), Source.NSBH: (0.9, 0.4), Source.BBH: (0.95, 0.95)}
_LOWEST_HZ = 15.0


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
    mass1, mass2 = _masses(bank, _TEMPLATES[bank])
    n = mass1.size
    limit1, limit2 = _SPIN_LIMITS[bank]
    spin1z = limit1 * (2 * _sequence(n, 2) - 1)
    spin2z = limit2 * (2 * _sequence(n, 3) - 1)
    edges = np.linspace(0, n, groups + 1)
    reach = _OVERLAP * n / groups if groups > 1 else 0
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
                bankid=_FIRST_BANKID[bank] + g * _BANKS_PER_GROUP + index % _BANKS_PER_GROUP,
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


def _masses(bank: Source, n: int) -> tuple[Floats, Floats]:
    """Chirp masses even in their power, mass ratios over what the limits leave at each."""
    (low1, high1), (low2, high2) = _MASS_LIMITS[bank]
    corners = np.array([[low1, low2], [high1, high2]])
    lightest, heaviest = chirp_mass(*corners.T) ** -_CROWDING[bank]
    even = np.linspace(lightest, heaviest, n + 2)[1:-1]
    mchirp = even ** (-1 / _CROWDING[bank])
    ratios = np.geomspace(0.01, 1, 1000)
    primary = mchirp[:, None] * (1 + ratios) ** 0.2 * ratios**-0.6
    secondary = primary * ratios
    inside = (primary >= low1) & (primary <= high1) & (secondary >= low2) & (secondary <= high2)
    first, count = inside.argmax(axis=1), inside.sum(axis=1)
    pick = first + (count * _sequence(n, 1)).astype(int)
    rows = np.flatnonzero(count)  # a few at the very corners find no mass ratio
    pick = pick[rows]
    return primary[rows, pick], secondary[rows, pick]
