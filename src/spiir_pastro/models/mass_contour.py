r"""Source class from the chirp mass: PyCBC's mass contour, in closed form.

The distance estimate gives a redshift, and so a source-frame chirp mass and its error,

.. math::

   M = \frac{M_\mathrm{det}}{1+z}, \qquad
   \frac{\sigma_M}{M} = \sqrt{m_0^2 + \left(\frac{\sigma_z}{1+z}\right)^2}, \qquad
   \sigma_z = \frac{z(D+\sigma_D) - z(D-\sigma_D)}{2}.

A class's share is its part of the band :math:`M \pm \sigma_M` in the plane of component masses
(Villa-Ortega et al. 2022, arXiv:2203.10080). A chirp mass no binary in the plane can have is BNS
below it and BBH above it, with certainty. Where :math:`\sigma_D > D` the nearest distance is zero,
and where :math:`\sigma_M > M` so is the lightest contour: neither can be less.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.domain import ASTROPHYSICAL, MassBoundaries, Region, class_of_region
from spiir_pastro.errors import ConfigError, TriggerError
from spiir_pastro.models.cosmology import redshift
from spiir_pastro.models.distance import DistanceModel
from spiir_pastro.models.mass_plane import band_areas, equal_mass_mchirp, regions

Floats = NDArray[np.float64]

_EVENTS_AT_ONCE = 4096  # events whose intermediate arrays stay in a processor's cache


@dataclass(frozen=True, kw_only=True, slots=True)
class MassContourClassifier:
    """Shares of the chirp-mass band's area.

    Attributes
    ----------
    distance
        Luminosity distance from signal-to-noise ratio and effective distance.
    boundaries
        Where neutron stars end and black holes begin.
    mchirp_relative_error
        Relative error m0 of the detector-frame chirp mass.

    Raises
    ------
    ConfigError
        If ``mchirp_relative_error`` is not between 0 and 1.

    Examples
    --------
    >>> from spiir_pastro.models.distance import PYCBC_LIVE_O3
    >>> classifier = MassContourClassifier(distance=PYCBC_LIVE_O3)
    >>> classifier.probabilities([1.2, 5.0, np.nan], [12, 10, 9], [50, 500, 300]).round(3)
    array([[1.  , 0.  , 0.  ],
           [0.  , 0.73, 0.27],
           [ nan,  nan,  nan]])
    """

    distance: DistanceModel
    boundaries: MassBoundaries = field(default_factory=MassBoundaries)
    mchirp_relative_error: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.mchirp_relative_error < 1:
            raise ConfigError(
                f"mchirp_relative_error is {self.mchirp_relative_error}; "
                "it must be between 0 and 1, like 0.01"
            )

    @property
    def regions(self) -> tuple[Region, ...]:
        """Columns of `region_shares`."""
        return regions(self.boundaries)

    def probabilities(self, mchirp: ArrayLike, snr: ArrayLike, eff_distance: ArrayLike) -> Floats:
        """Shares of the classes of signals, (n, classes), each the sum of its regions'.

        An object in the mass gap is heavier than ``ns_max`` and counts as a black hole, as
        ``CLASSES`` has it: ``gap_max`` changes nothing here. `region_shares` tells them apart.

        Parameters
        ----------
        mchirp : (n,)
            Detector-frame chirp mass in solar masses.
        snr : (n,)
            Network signal-to-noise ratio.
        eff_distance : (n,) or (n, detectors)
            Effective distance in Mpc, the least or by detector; NaN for none.

        Returns
        -------
        (n, classes)
            A row sums to one, or is all NaN where a value it needs is unknown.

        Raises
        ------
        TriggerError
            If shapes disagree, or a known value is not finite and positive.
        """
        return self.region_shares(mchirp, snr, eff_distance) @ _class_of_regions(self.boundaries)

    def region_shares(self, mchirp: ArrayLike, snr: ArrayLike, eff_distance: ArrayLike) -> Floats:
        """Shares of every region, the mass gap's among them, (n, regions); else as probabilities.

        PyCBC's "Mass Gap" is the sum of GNS, GG and BHG.
        """
        columns = _checked(mchirp, snr, eff_distance)
        n = columns[0].size
        shares = np.empty((n, len(self.regions)))
        for start in range(0, n, _EVENTS_AT_ONCE):
            block = slice(start, start + _EVENTS_AT_ONCE)
            mean, sigma = self._source_mchirp(*(column[block] for column in columns))
            shares[block] = _area_shares(mean, sigma, self.boundaries).T
        return shares

    def source_mchirp(
        self, mchirp: ArrayLike, snr: ArrayLike, eff_distance: ArrayLike
    ) -> tuple[Floats, Floats]:
        """Source-frame chirp mass and its standard deviation in solar masses, each (n,)."""
        return self._source_mchirp(*_checked(mchirp, snr, eff_distance))

    def _source_mchirp(
        self, mchirp: Floats, snr: Floats, eff_distance: Floats
    ) -> tuple[Floats, Floats]:
        mean, sigma = self.distance.luminosity(snr, eff_distance)
        # One call for three: most of its cost does not depend on how many there are.
        z, farther, nearer = redshift(np.stack([mean, mean + sigma, np.maximum(mean - sigma, 0.0)]))
        z_plus_one = 1 + z
        source = mchirp / z_plus_one
        relative_sigma_z = 0.5 * (farther - nearer) / z_plus_one
        return source, source * np.hypot(self.mchirp_relative_error, relative_sigma_z)


def shares_at_distances(
    mchirp: Floats,
    distances_mpc: Floats,
    weights: Floats,
    *,
    boundaries: MassBoundaries,
    mchirp_relative_error: float = 0.01,
) -> Floats:
    """Shares of the classes where only a distribution of distances is known, (n, classes).

    Parameters
    ----------
    mchirp : (n,)
        Detector-frame chirp mass in solar masses.
    distances_mpc : (n, d)
        Luminosity distances a source may have.
    weights : (d,)
        How probable each is; they sum to one.
    """
    source = (mchirp[:, None] / (1 + redshift(distances_mpc))).ravel()
    shares = _area_shares(source, source * mchirp_relative_error, boundaries)
    by_region = shares.reshape(-1, *distances_mpc.shape) @ weights
    return np.asarray(by_region.T @ _class_of_regions(boundaries))


def _class_of_regions(boundaries: MassBoundaries) -> Floats:
    """Return which class each region belongs to, (regions, classes), of ones and zeros."""
    classes = [ASTROPHYSICAL.index(class_of_region(region)) for region in regions(boundaries)]
    return np.eye(len(ASTROPHYSICAL))[classes]


def _area_shares(mchirp: Floats, sigma: Floats, boundaries: MassBoundaries) -> Floats:
    """Region shares (regions, n) of source-frame chirp masses and their errors."""
    areas = band_areas(mchirp - sigma, mchirp + sigma, boundaries)
    outside = (mchirp < equal_mass_mchirp(boundaries.m_min)) | (
        mchirp > equal_mass_mchirp(boundaries.m_max)
    )
    if outside.any():
        heavy = mchirp[outside] > equal_mass_mchirp(boundaries.m_max)
        areas[:, outside] = 0.0
        # BNS is the first region and BBH the last.
        areas[np.where(heavy, -1, 0), np.flatnonzero(outside)] = 1.0
    shares: Floats = areas / areas.sum(axis=0)
    return shares


def _checked(
    mchirp: ArrayLike, snr: ArrayLike, eff_distance: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Chirp mass, signal-to-noise ratio and effective distance as arrays."""
    given = {"mchirp": mchirp, "snr": snr, "eff_distance": eff_distance}
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    for name, values in columns.items():
        if values.shape[:1] != np.shape(mchirp) or values.ndim > 1 + (name == "eff_distance"):
            raise TriggerError(
                f"{name} has shape {values.shape}; "
                f"mchirp has {np.shape(mchirp)}, and every array must be (n,) like it"
            )
        bad = (values <= 0) | (values == np.inf)
        if bad.any():
            row = np.argwhere(bad)[0]
            raise TriggerError(
                f"{name} holds {values[tuple(row)]} in row {row[0]}; "
                "it must be finite and positive, or NaN where unknown"
            )
    return columns["mchirp"], columns["snr"], columns["eff_distance"]
