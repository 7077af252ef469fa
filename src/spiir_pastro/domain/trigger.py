"""One SPIIR trigger, as every input format says it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from spiir_pastro.domain.detectors import DETECTORS
from spiir_pastro.errors import TriggerError


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """A candidate event, before anything is concluded from it.

    Attributes
    ----------
    event_id
        GraceDB's id, or the file's own.
    gps_ns
        Merger time at the geocentre or first detector, GPS nanoseconds.
    ifos
        Detectors that took part, in canonical order.
    far_hz
        Combined false-alarm rate in Hz; None if none was assigned (SPIIR writes 0).
    snr
        Coherent (network) signal-to-noise ratio; None if unknown.
    mchirp_det
        Detector-frame chirp mass of the template in solar masses; None if unknown.
    eff_distance_mpc
        Effective distance by detector in Mpc; only detectors that took part.
    mtotal_det
        Detector-frame total mass of the template in solar masses; None if unknown.

    Raises
    ------
    TriggerError
        If a number is not finite, or not positive where it must be.
    """

    event_id: str
    gps_ns: int
    ifos: tuple[str, ...]
    far_hz: float | None = None
    snr: float | None = None
    mchirp_det: float | None = None
    eff_distance_mpc: Mapping[str, float] = field(default_factory=dict)
    mtotal_det: float | None = None

    def __post_init__(self) -> None:
        positive = {
            "far_hz": self.far_hz,
            "snr": self.snr,
            "mchirp_det": self.mchirp_det,
            "mtotal_det": self.mtotal_det,
            **{f"eff_distance_mpc[{ifo}]": d for ifo, d in self.eff_distance_mpc.items()},
        }
        for name, value in positive.items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise TriggerError(
                    f"trigger {self.event_id}: {name} is {value}; "
                    "it must be finite and positive, or None where unknown"
                )
        unknown = (set(self.ifos) | set(self.eff_distance_mpc)) - set(DETECTORS)
        if unknown or not self.ifos:
            raise TriggerError(
                f"trigger {self.event_id}: ifos {self.ifos} and effective distances for "
                f"{sorted(self.eff_distance_mpc)} must name detectors of {DETECTORS}"
            )
        object.__setattr__(self, "eff_distance_mpc", MappingProxyType(dict(self.eff_distance_mpc)))
