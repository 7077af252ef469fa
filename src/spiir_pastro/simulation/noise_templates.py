"""Which templates find noise: how its candidates with a low FAR are distributed over the banks.

Quantiles of chirp mass, and of mass ratio m2/m1 in parts of each bank, of the 2789 noise candidates
below 3e-4 Hz among SPIIR's uploads of O3a (clustered within 1 s, without known mergers). A
candidate's bank follows from its template's masses, with 3 solar masses between neutron stars and
black holes. `python benchmarks/noise_laws.py` prints these figures, and those of `ranking`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Source
from spiir_pastro.simulation.bank import TemplateGroup, nearest_template

Floats = NDArray[np.float64]

_LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1.0)
_RATIO_LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_NEAR_TEMPLATES = 10  # in chirp mass, to each side: the nearest in mass ratio is taken


@dataclass(frozen=True, kw_only=True)
class TemplateLaw:
    """How noise candidates spread over one bank."""

    share: float  # of all noise candidates
    # quantiles of detector-frame chirp mass, solar masses, at the levels 0, .01, .05, .1, .2, ...
    # .9, .95, .97, .99, 1.
    mchirp: tuple[float, ...]
    parts: tuple[float, ...]  # levels of chirp mass between which one row of `ratios` holds
    # quantiles of the mass ratio at 0, .1, .25, .5, .75, .9, 1, a row for each part
    ratios: tuple[tuple[float, ...], ...]

    def level(self, log_mchirp: float) -> float:
        """Share of the bank's candidates with a smaller chirp mass."""
        return float(np.interp(log_mchirp, np.log(self.mchirp), _LEVELS))

    def draw(
        self, n: int, low: float, high: float, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Draw ln chirp mass between two levels, and the mass ratio, (n,) each."""
        level = rng.uniform(low, high, n)
        part = np.clip(
            np.searchsorted(self.parts, level, side="right") - 1, 0, len(self.ratios) - 1
        )
        place = rng.random(n)
        ratios = np.stack([np.interp(place, _RATIO_LEVELS, row) for row in self.ratios])
        return np.interp(level, _LEVELS, np.log(self.mchirp)), ratios[part, np.arange(n)]


# fmt: off
NOISE_TEMPLATES: Mapping[Source, TemplateLaw] = {
    Source.BNS: TemplateLaw(
        share=0.252,
        mchirp=(0.983, 1.05, 1.21, 1.31, 1.37, 1.42, 1.49, 1.53, 1.58, 1.63, 1.67, 1.71, 1.79, 1.90,
                2.13, 2.43),
        parts=(0, 1 / 3, 2 / 3),
        ratios=(
            (0.433, 0.482, 0.528, 0.561, 0.667, 0.847, 0.968),
            (0.372, 0.407, 0.434, 0.499, 0.604, 0.697, 0.970),
            (0.400, 0.477, 0.557, 0.655, 0.768, 0.856, 0.954),
        ),
    ),
    Source.NSBH: TemplateLaw(
        share=0.335,
        mchirp=(1.56, 1.66, 1.83, 1.95, 2.24, 2.60, 3.03, 3.60, 4.31, 5.20, 6.99, 9.44, 10.3, 10.5,
                11.2, 11.6),
        parts=(0, 1 / 3, 2 / 3),
        ratios=(
            (0.1000, 0.1380, 0.1960, 0.2750, 0.3570, 0.4610, 0.868),
            (0.0255, 0.0348, 0.0477, 0.0694, 0.1010, 0.1900, 0.705),
            (0.0114, 0.0154, 0.0207, 0.0270, 0.0342, 0.0478, 0.109),
        ),
    ),
    Source.BBH: TemplateLaw(
        share=0.413,
        mchirp=(2.74, 2.97, 3.57, 3.88, 4.40, 4.86, 5.52, 6.20, 7.23, 8.83, 10.7, 13.8, 16.5, 23.0,
                58.2, 87.2),
        parts=(0, 0.25, 0.5, 0.75, 0.95),
        ratios=(
            (0.3080, 0.4080, 0.4790, 0.5860, 0.717, 0.842, 0.984),
            (0.1640, 0.2190, 0.2700, 0.3630, 0.492, 0.664, 0.916),
            (0.0548, 0.0821, 0.1100, 0.1640, 0.298, 0.513, 0.926),
            (0.0297, 0.0367, 0.0482, 0.0771, 0.155, 0.330, 0.745),
            (0.0635, 0.0825, 0.1420, 0.2830, 0.592, 0.776, 0.942),
        ),
    ),
}
# fmt: on


@dataclass(frozen=True, kw_only=True)
class NoiseSlice:
    """The part of all noise candidates that one bank group finds."""

    law: TemplateLaw  # of its bank
    # levels of chirp mass that bound the group's part of its bank
    low: float
    high: float
    share: float  # of the candidates of all groups that are searched; these add up to one

    def draw_templates(
        self, group: TemplateGroup, n: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw the group's templates that find n noise triggers."""
        log_mchirp, ratio = self.law.draw(n, self.low, self.high, rng)
        return nearest_template(group, log_mchirp, ratio, reach=_NEAR_TEMPLATES)


def noise_slices(chain: Sequence[TemplateGroup]) -> tuple[NoiseSlice, ...]:
    """Divide noise among bank groups that are searched together, in their order.

    Neighbouring groups of a bank overlap; the middle of the overlap divides their noise.
    """
    searched = sum(NOISE_TEMPLATES[bank].share for bank in {group.bank for group in chain})
    slices = []
    for place, group in enumerate(chain):
        law = NOISE_TEMPLATES[group.bank]
        before = chain[place - 1] if place and chain[place - 1].bank is group.bank else None
        after = chain[place + 1] if place + 1 < len(chain) else None
        low = 0.0 if before is None else law.level(_border(before, group))
        high = (
            1.0
            if after is None or after.bank is not group.bank
            else law.level(_border(group, after))
        )
        slices.append(
            NoiseSlice(law=law, low=low, high=high, share=law.share / searched * (high - low))
        )
    return tuple(slices)


def _border(lighter: TemplateGroup, heavier: TemplateGroup) -> float:
    return float(lighter.log_mchirp[-1] + heavier.log_mchirp[0]) / 2
