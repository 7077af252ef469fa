r"""The detectors: their positions, antenna patterns, sensitivities and times of observation.

Detector tensor ``d = (x x - y y)/2`` of arm directions x and y; antenna response
``F_+ = d : (X X - Y Y)``, ``F_x = d : (X Y + Y X)`` in the wave frame of Anderson et al. 2001
(Phys. Rev. D 63, 042003, appendix B). A source at distance D with inclination i has

    D_eff = D / sqrt(F_+^2 ((1 + cos^2 i)/2)^2 + F_x^2 cos^2 i)

and optimal SNR ``sigma / D_eff``, where sigma is eight times the horizon distance of the binary as
the detector receives it, redshifted (`spiir_pastro.models.horizon`): full IMRPhenomD waveforms and
the noise curves of an observing run, scaled to each detector's BNS range.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import is_within
from spiir_pastro.models.horizon import Horizons
from spiir_pastro.simulation.config import DETECTORS, NETWORK, CampaignConfig, stream

Floats = NDArray[np.float64]
Segments = Mapping[str, NDArray[np.int64]]
"""Detector to its (n, 2) GPS seconds [on, off), sorted and apart."""

_SPEED_OF_LIGHT_M_S = 299_792_458.0

# Vertex and unit vectors of the arms of `DETECTORS`, Earth-fixed: LIGO-T980044-10, Virgo
# VIR-0270B-06, KAGRA JGW-T1401800, as in LAL.
_VERTEX_M = np.array(
    [
        [-2.16141492636e06, -3.83469517889e06, 4.60035022664e06],
        [-7.42760447238e04, -5.49628371971e06, 3.22425701744e06],
        [4.54637409900e06, 8.42989697626e05, 4.37857696241e06],
        [-3.777336024e06, 3.484898411e06, 3.765313697e06],
    ]
)
_X_ARM = np.array(
    [
        [-0.22389266154, 0.79983062746, 0.55690487831],
        [-0.95457412153, -0.14158077340, -0.26218911324],
        [-0.70045821479, 0.20848948619, 0.68256166277],
        [-0.375904, -0.8361583, 0.3994189],
    ]
)
_Y_ARM = np.array(
    [
        [-0.91397818574, 0.02609403989, -0.40492342125],
        [0.29774156894, -0.48791033647, -0.82054461286],
        [-0.05379255368, -0.96908180549, 0.24080451708],
        [0.7164378, 0.01114076, 0.697562],
    ]
)
_TENSOR = (np.einsum("di,dj->dij", _X_ARM, _X_ARM) - np.einsum("di,dj->dij", _Y_ARM, _Y_ARM)) / 2

_LEAP_SECONDS = 18  # GPS is ahead of UTC by this since 2017
_MEAN_OFF_S = 5400.0


def greenwich_angle(gps: Floats) -> Floats:
    """Greenwich mean sidereal time in radians (IAU 1982), taking UT1 for UTC, since 2017."""
    days = (gps - _LEAP_SECONDS - 630_763_200.0) / 86_400.0  # since 2000 January 1, 12 h UTC
    centuries = days / 36_525.0
    seconds = (
        67_310.54841
        + (876_600 * 3600 + 8_640_184.812866) * centuries
        + 0.093104 * centuries**2
        - 6.2e-6 * centuries**3
    )
    return np.asarray(seconds % 86_400 * (2 * np.pi / 86_400))


def antenna_patterns(
    right_ascension: Floats,
    declination: Floats,
    polarization: Floats,
    gps: Floats,
    ifos: tuple[str, ...] = NETWORK,
) -> tuple[Floats, Floats]:
    """Responses (F_+, F_x), each (n, ifos), to waves from n directions (radians) at n GPS times."""
    angle = greenwich_angle(gps) - right_ascension
    sin_a, cos_a = np.sin(angle), np.cos(angle)
    sin_d, cos_d = np.sin(declination), np.cos(declination)
    sin_p, cos_p = np.sin(polarization), np.cos(polarization)
    x = np.stack(
        [
            -cos_p * sin_a - sin_p * cos_a * sin_d,
            -cos_p * cos_a + sin_p * sin_a * sin_d,
            sin_p * cos_d,
        ],
        axis=-1,
    )
    y = np.stack(
        [
            sin_p * sin_a - cos_p * cos_a * sin_d,
            sin_p * cos_a + cos_p * sin_a * sin_d,
            cos_p * cos_d,
        ],
        axis=-1,
    )

    tensor = _TENSOR[_places(ifos)]

    def response(a: Floats, b: Floats) -> Floats:
        return np.asarray(np.einsum("ni,dij,nj->nd", a, tensor, b, optimize=True))

    return response(x, x) - response(y, y), 2 * response(x, y)


def arrival_delays(
    right_ascension: Floats, declination: Floats, gps: Floats, ifos: tuple[str, ...] = NETWORK
) -> Floats:
    """Seconds by which a wave is later in each detector than at the Earth's centre, (n, ifos)."""
    angle = right_ascension - greenwich_angle(gps)
    cos_d = np.cos(declination)
    towards = np.stack([cos_d * np.cos(angle), cos_d * np.sin(angle), np.sin(declination)], axis=-1)
    return np.asarray(-towards @ _VERTEX_M[_places(ifos)].T / _SPEED_OF_LIGHT_M_S)


def _places(ifos: tuple[str, ...]) -> list[int]:
    return [DETECTORS.index(ifo) for ifo in ifos]


@cache
def _horizons() -> Horizons:
    """Read the package's table; `io` has a reader too, which this floor does not import."""
    table = files("spiir_pastro.io") / "data" / "horizons.csv"
    return Horizons.parse(table.read_text(encoding="utf-8"))


def sigma_mpc(
    masses_det: tuple[Floats, Floats],
    spins: tuple[Floats, Floats],
    bns_ranges_mpc: tuple[float, ...],
    run: str = "O3",
) -> Floats:
    """Return the effective distance in Mpc at which the optimal SNR is 1, (n, detectors).

    Parameters
    ----------
    masses_det, spins
        Detector-frame masses in solar masses and spins along the orbit; (n,) each.
    bns_ranges_mpc
        Range of each of the first of `DETECTORS` for 1.4 + 1.4 solar masses, which sets the scale.
    run
        The observing run whose noise curves they have.
    """
    horizons = [
        _horizons().horizon_mpc(*masses_det, *spins, ifo=ifo, run=run, bns_range_mpc=reach)
        for ifo, reach in zip(DETECTORS, bns_ranges_mpc, strict=False)
    ]
    return 8 * np.stack(horizons, axis=1)


def draw_segments(config: CampaignConfig) -> Segments:
    """Draw when each detector was on: on and off times alternate, with exponential lengths."""
    return {ifo: _draw_on_times(ifo, config) for ifo in config.network}


def _draw_on_times(ifo: str, config: CampaignConfig) -> NDArray[np.int64]:
    duty = config.duty_cycle[ifo]
    rng = stream(config.seed, "segments", ifo)
    if duty >= 1:
        return np.array([[config.gps_start, config.gps_end]])
    mean_on = _MEAN_OFF_S * duty / (1 - duty)
    cycles = int(config.seconds / (mean_on + _MEAN_OFF_S) * 2) + 50
    lengths = rng.exponential([mean_on, _MEAN_OFF_S], size=(cycles, 2)).ravel()
    lengths[0] *= rng.random() < duty  # the start falls into an on or an off time
    edges = config.gps_start + np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    spans = np.minimum(np.stack([edges[:-1:2], edges[1::2]], axis=1), config.gps_end)
    return spans[spans[:, 1] > spans[:, 0]]


def detectors_on(gps: Floats, segments: Segments) -> NDArray[np.bool_]:
    """Say which detectors are on at each time, (n, detectors)."""
    return np.stack([is_within(gps, on) for on in segments.values()], axis=1)
