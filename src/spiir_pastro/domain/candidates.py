"""Many triggers as arrays: what the mathematics eats.

Every input (alert, ``coinc.xml``, zerolag file, CSV) becomes this once, at the edge, so the same
candidate gives the same numbers whichever way it came.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain.detectors import DETECTORS
from spiir_pastro.domain.trigger import Trigger
from spiir_pastro.errors import TriggerError

Floats = NDArray[np.float64]

_UNKNOWN: Floats = np.array(np.nan)
"""Stands for a column that is not given."""

LARGEST_ETA = 0.25
"""Symmetric mass ratio of equal masses."""

ETA_ROUNDING = 0.01
"""Excess over that, as a fraction, that masses written with three digits can give."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Arrays of n candidates; a value that is not known is NaN, never zero.

    Attributes
    ----------
    far_hz : (n,)
        Combined false-alarm rate in Hz.
    snr : (n,)
        Coherent signal-to-noise ratio.
    mchirp_det : (n,)
        Detector-frame chirp mass in solar masses.
    eff_distance_mpc : (n, 4)
        Effective distance in Mpc by detector, in the order of ``DETECTORS``. Kept to single
        precision, SPIIR's own: its files and GraceDB write the same distance with 8 or 16 digits.
    mtotal_det : (n,), optional
        Detector-frame total mass of the template in solar masses; unknown where not given.
    n_detectors : (n,), optional
        How many detectors took part; unknown where not given.

    Raises
    ------
    TriggerError
        If shapes disagree, or a known value is not finite and positive.
    """

    far_hz: Floats
    snr: Floats
    mchirp_det: Floats
    eff_distance_mpc: Floats
    mtotal_det: Floats = field(default_factory=lambda: _UNKNOWN)
    n_detectors: Floats = field(default_factory=lambda: _UNKNOWN)

    def __post_init__(self) -> None:
        n = np.size(self.far_hz)
        shapes = {f.name: (n,) for f in fields(self)} | {"eff_distance_mpc": (n, len(DETECTORS))}
        for name, shape in shapes.items():
            given = getattr(self, name)
            values = np.full(n, np.nan) if given is _UNKNOWN else np.array(given, dtype=np.float64)
            if values.shape != shape:
                raise TriggerError(f"{name} has shape {values.shape}, where {shape} belongs")
            given = values
            if name == "eff_distance_mpc":
                with np.errstate(over="ignore"):
                    values = given.astype(np.float32).astype(np.float64)
            bad = np.flatnonzero(~(np.isnan(values) | (np.isfinite(values) & (values > 0))))
            if bad.size:
                raise TriggerError(
                    f"{name} holds {given.flat[bad[0]]} in row {bad[0] * n // values.size}; "
                    "it must be finite and positive, or NaN where unknown"
                )
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return self.far_hz.size

    def __repr__(self) -> str:
        unassigned = int(np.isnan(self.far_hz).sum())
        return f"<{len(self)} Candidates, {unassigned} of them without FAR>"

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def eta(self) -> Floats:
        """Symmetric mass ratio of the template, (n,): (mchirp / mtotal)^(5/3); NaN if unknown.

        Masses that no pair of bodies has (a chirp mass too large for the total) are unknown.
        """
        eta = (self.mchirp_det / self.mtotal_det) ** (5 / 3)
        # Masses in files are rounded, so equal ones may give a little more than 1/4.
        possible = eta <= LARGEST_ETA * (1 + ETA_ROUNDING)
        return np.where(possible, np.minimum(eta, LARGEST_ETA), np.nan)

    @classmethod
    def from_triggers(cls, triggers: Sequence[Trigger]) -> Self:
        """Gather single triggers, in their order."""

        def column(values: Sequence[float | None]) -> Floats:
            return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

        return cls(
            far_hz=column([t.far_hz for t in triggers]),
            snr=column([t.snr for t in triggers]),
            mchirp_det=column([t.mchirp_det for t in triggers]),
            eff_distance_mpc=np.array(
                [[t.eff_distance_mpc.get(ifo, np.nan) for ifo in DETECTORS] for t in triggers],
                dtype=np.float64,
            ).reshape(len(triggers), len(DETECTORS)),
            mtotal_det=column([t.mtotal_det for t in triggers]),
            n_detectors=column([len(t.ifos) for t in triggers]),
        )
