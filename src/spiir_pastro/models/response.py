r"""What a search recovers of a true binary: the template's chirp mass and mass ratio.

The response :math:`p(m', w' \mid m, w)` is of the template's :math:`m' = \ln \mathcal{M}'` and
:math:`w' = \sqrt{1 - 4\eta'} = (m_1' - m_2') / (m_1' + m_2')`, given those of the binary in the
detectors' frame. It has a core, in which the chirp mass scatters by Student's t, cut at a factor
of two, with a width that grows with mass, and w by a normal distribution cut at 0 and 1; and, for
heavy binaries, a branch of misrecovered ones: some 30 % are found at 0.2 to 0.4 of their chirp
mass, in templates of about the same total mass, wherever that comes from. No response reaches
farther than that: what neither describes is an outlier, see `spiir_pastro.models.outliers`.
Without the cut the tail of heavy black holes would outnumber the lightest neutron stars.

The widths are those of 2,400 injections recovered by matched filtering (`tools/fit_response.py`)
from 5 to 35 solar masses. Lighter ones are recovered better still, to 0.03 % at 1.5, than densities
resolve. Heavier ones of O3 scatter less than the injections, of which many lie beyond the bank. The
scatter of w is the injections' from 2 to 30 solar masses, and that of O3's mergers.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain.candidates import LARGEST_ETA
from spiir_pastro.errors import FitError

Floats = NDArray[np.float64]

PRIOR_EVENTS = 10.0
"""As how many recovered binaries the given response counts where it is fitted to some."""

WIDEST_LOG_ERROR = math.log(2)
"""Of a recovered chirp mass in the core: beyond a factor of two it is misrecovered."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """Density of the recovered template given the true binary.

    Attributes
    ----------
    mchirp_nodes : (k,)
        Detector-frame chirp masses in solar masses, increasing.
    mchirp_widths : (k,)
        Scale of Student's t in ln(chirp mass) there; in between its logarithm is linear in theirs.
    dof
        Degrees of freedom of Student's t.
    w_width
        Standard deviation of the recovered w about the true one, before the cuts at 0 and 1.
    w_as_noise
        Fraction of signals whose w is distributed as noise's: what a template's mass ratio says
        for or against a signal is bounded by it.
    heavy_mchirp
        Binaries heavier than this, solar masses, may be misrecovered.
    misrecovered_fraction
        How many of them are: 7 of 23 in O3.
    misrecovered_ratio_min, misrecovered_ratio_max
        Recovered over true chirp mass of those, log-uniform.
    misrecovered_mtotal, misrecovered_mtotal_width
        Median total mass of their templates in solar masses, and its logarithmic width.

    Raises
    ------
    FitError
        If a range is empty, a fraction none, or nodes do not rise.
    """

    mchirp_nodes: Floats = (1.5, 2.5, 5.0, 8.0, 14.0, 22.0, 35.0, 70.0)  # type: ignore[assignment]
    mchirp_widths: Floats = (  # type: ignore[assignment]
        *(0.003, 0.003, 0.0046, 0.011, 0.016, 0.048, 0.082, 0.13),
    )
    dof: float = 2.0
    w_width: float = 0.25
    w_as_noise: float = 0.05
    heavy_mchirp: float = 30.0
    misrecovered_fraction: float = 0.3
    misrecovered_ratio_min: float = 0.2
    misrecovered_ratio_max: float = 0.4
    misrecovered_mtotal: float = 76.0
    misrecovered_mtotal_width: float = 0.12

    def __post_init__(self) -> None:
        nodes, widths = np.array(self.mchirp_nodes, float), np.array(self.mchirp_widths, float)
        low, high = self.misrecovered_ratio_min, self.misrecovered_ratio_max
        rules = {
            "increasing mchirp_nodes with a positive width each": (
                nodes.ndim == 1
                and nodes.shape == widths.shape
                and nodes.size > 0
                and np.isfinite(nodes).all()
                and nodes[0] > 0
                and bool((np.diff(nodes) > 0).all())
                and np.isfinite(widths).all()
                and bool((widths > 0).all())
            ),
            "dof and widths above 0": all(
                0 < x < math.inf for x in (self.dof, self.w_width, self.misrecovered_mtotal_width)
            ),
            "0 < w_as_noise < 1": 0 < self.w_as_noise < 1,
            "heavy_mchirp >= 0": self.heavy_mchirp >= 0,
            "0 <= misrecovered_fraction < 1": 0 <= self.misrecovered_fraction < 1,
            "0 < misrecovered_ratio_min < misrecovered_ratio_max": 0 < low < high < math.inf,
            "misrecovered_mtotal > 0": 0 < self.misrecovered_mtotal < math.inf,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise FitError(f"a response needs {'; '.join(broken)}, not {self}")
        for name, array in (("mchirp_nodes", nodes), ("mchirp_widths", widths)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def width(self, log_mchirp: Floats) -> Floats:
        """Return the scale of ln(recovered chirp mass) at these true ones."""
        logs = np.interp(log_mchirp, np.log(self.mchirp_nodes), np.log(self.mchirp_widths))
        return np.asarray(np.exp(logs))

    def core_density(self, shift: Floats, width: Floats) -> Floats:
        """Return the density of ln(recovered over true chirp mass) in the core, over `core_peak`.

        Parameters
        ----------
        shift
            Where, any shape.
        width
            What `width` says of the true chirp mass.
        """
        t = shift / width
        x = 1 + t * t / self.dof
        # A square root takes a tenth of the time of a power.
        power = x * np.sqrt(x) if self.dof == 2 else x ** ((self.dof + 1) / 2)
        return np.asarray((np.abs(shift) <= WIDEST_LOG_ERROR) / power)

    def core_peak(self, width: Floats) -> Floats:
        """Return that density where recovered and true chirp mass are the same."""
        half = (self.dof + 1) / 2
        norm = math.lgamma(half) - math.lgamma(self.dof / 2) - 0.5 * math.log(self.dof * math.pi)
        kept = self._within(WIDEST_LOG_ERROR / width)
        return np.asarray(math.exp(norm) / (width * kept))

    def core_of_cells(self, recovered: Floats, true: Floats) -> Floats:
        """Return the density in the core, averaged over the cell about each true value, (n, k).

        The n true ln(chirp mass) are equidistant; k are recovered. Light binaries are recovered to
        a quarter of a cell, which values at its middle would show as a comb.
        """
        # The width is that of the cell's middle.
        width, half_cell = self.width(true)[:, None], (true[1] - true[0]) / 2
        shift = recovered - true[:, None]
        ends = [
            np.clip(shift + end, -WIDEST_LOG_ERROR, WIDEST_LOG_ERROR) / width
            for end in (half_cell, -half_cell)
        ]
        # Half of what lies within either side of the middle, with the side's sign.
        upper, lower = (np.sign(end) * self._within(np.abs(end)) / 2 for end in ends)
        density = (upper - lower) / (2 * half_cell)
        return np.asarray(density / self._within(WIDEST_LOG_ERROR / width))

    def _within(self, t: Floats) -> Floats:
        """Return the probability that Student's t is no farther from 0 than this."""
        if self.dof in {2, 4}:  # Abramowitz & Stegun 26.7.4; SciPy is slow to load.
            sine = t / np.hypot(t, math.sqrt(self.dof))
            return np.asarray(sine if self.dof == 2 else sine * (1.5 - 0.5 * sine * sine))
        from scipy.special import stdtr  # noqa: PLC0415  (slow to load)

        return np.asarray(1 - 2 * stdtr(self.dof, -t))

    def core_w(self, recovered: Floats, true: Floats) -> Floats:
        """Return the density of the recovered w in the core, (n, k), w in [0, 1]."""
        return self.core_w_density(recovered - true[:, None], self.core_w_kept(true)[:, None])

    def core_w_density(self, difference: Floats, kept: Floats) -> Floats:
        """Return the same at recovered minus true w, for `core_w_kept`."""
        z = difference / self.w_width
        return np.asarray(np.exp(-z * z / 2) / (self.w_width * math.sqrt(2 * math.pi) * kept))

    def core_w_kept(self, true: Floats) -> Floats:
        """Return how much of the normal curve is left where it is cut, at 0 and 1, (n,)."""
        edges = (np.array([[0.0], [1.0]]) - true) / self.w_width
        return np.asarray(np.diff(_normal_cdf(edges), axis=0)[0])

    def misrecovered(self, true: Floats) -> Floats:
        """Return the probability that a binary of this ln(chirp mass) is misrecovered, (n,)."""
        heavy = true > math.log(self.heavy_mchirp) if self.heavy_mchirp else np.ones_like(true)
        return np.asarray(self.misrecovered_fraction * heavy, dtype=np.float64)

    @property
    def misrecovered_span(self) -> Floats:
        """Least and largest ln(recovered over true chirp mass) of misrecovered binaries."""
        return np.log([self.misrecovered_ratio_min, self.misrecovered_ratio_max])

    def misrecovered_mchirp(self, recovered: Floats, true: Floats) -> Floats:
        """Return the density of ln(recovered chirp mass) of misrecovered binaries, (n, k)."""
        low, high = self.misrecovered_span
        shift = recovered - true[:, None]
        return np.asarray(((shift >= low) & (shift < high)) / (high - low))

    def misrecovered_w(self, w: Floats, recovered: Floats) -> Floats:
        """Return the density of w of misrecovered binaries given ln(chirp mass), (k, j).

        Their total mass is log-normal, cut where no pair of bodies has it.
        """
        eta = np.maximum(1 - w * w, 1e-9) / 4
        log_mtotal = recovered[:, None] - 0.6 * np.log(eta)
        z = (log_mtotal - math.log(self.misrecovered_mtotal)) / self.misrecovered_mtotal_width
        # ln(total mass) = ln(chirp mass) - 0.6 ln(eta) with eta = (1 - w^2) / 4, by w.
        jacobian = 1.2 * w / np.maximum(1 - w * w, 1e-9)
        density = np.exp(-np.minimum(z * z, 1000) / 2) * jacobian + 1e-12
        area = np.asarray(np.trapezoid(density, w, axis=1))
        return np.asarray(density / area[:, None])

    def draw(
        self, log_mchirp: Floats, w: Floats, rng: "np.random.Generator"
    ) -> tuple[Floats, Floats]:
        """Draw what is recovered of binaries: ln(chirp mass) and w, each (n,)."""
        n = log_mchirp.size
        width, scatter = self.width(log_mchirp), np.full(n, np.inf)
        while (outside := np.abs(scatter) > WIDEST_LOG_ERROR).any():
            again = rng.standard_t(self.dof, int(outside.sum()))
            scatter[outside] = again * width[outside]
        found_mchirp = log_mchirp + scatter
        # A normal deviate between the cuts, by rejection: half of it or more lies inside.
        found_w = np.full(n, -1.0)
        while (outside := (found_w < 0) | (found_w >= 1)).any():
            found_w[outside] = w[outside] + self.w_width * rng.standard_normal(int(outside.sum()))
        off = rng.random(n) < self.misrecovered(log_mchirp)
        low, high = self.misrecovered_span
        far = log_mchirp + rng.uniform(low, high, n)
        far_w = self._draw_misrecovered_w(far, rng)
        return np.where(off, far, found_mchirp), np.where(off, far_w, found_w)

    def _draw_misrecovered_w(self, recovered: Floats, rng: "np.random.Generator") -> Floats:
        """Draw w of misrecovered binaries given ln(chirp mass), (n,)."""
        from scipy.special import ndtri  # noqa: PLC0415  (slow to load; who predicts needs none)

        # The lightest pair of a chirp mass has equal masses: the normal curve is cut below it.
        centre, width = math.log(self.misrecovered_mtotal), self.misrecovered_mtotal_width
        lightest = (recovered - 0.6 * math.log(LARGEST_ETA) - centre) / width
        # A normal deviate above `lightest`, by its upper tail: 1 - u would lose the digits of a
        # thin one.
        above = -ndtri(rng.random(recovered.size) * _normal_cdf(-lightest))
        log_eta = (recovered - centre - width * above) / 0.6
        return np.asarray(np.sqrt(np.maximum(1 - 4 * np.exp(log_eta), 0)))

    def fitted(self, true: tuple[Floats, Floats], recovered: tuple[Floats, Floats]) -> Self:
        """Return this response as recovered binaries correct it.

        The given one counts as `PRIOR_EVENTS` of them. Misrecovered ones, off by more than a factor
        of two, tell the fraction; the others the widths, all by one factor.

        Parameters
        ----------
        true, recovered : two of (n,)
            ln(chirp mass), in the detectors' frame, and w; a w may be NaN.
        """
        shift = recovered[0] - true[0]
        known = np.isfinite(shift)
        heavy = known & (self.misrecovered(true[0]) > 0)
        off = np.abs(shift) > WIDEST_LOG_ERROR
        fraction = self.misrecovered_fraction
        if heavy.any():
            counted = PRIOR_EVENTS * fraction + (heavy & off).sum()
            fraction = float(counted / (PRIOR_EVENTS + heavy.sum()))
        core = known & ~off
        factor = _scale(shift[core] / self.width(true[0][core]), self.dof)
        difference = (recovered[1] - true[1])[core]
        difference = difference[np.isfinite(difference)]
        square = PRIOR_EVENTS * self.w_width**2 + (difference**2).sum()
        return replace(
            self,
            mchirp_widths=self.mchirp_widths * factor,
            misrecovered_fraction=fraction,
            w_width=float(math.sqrt(square / (PRIOR_EVENTS + difference.size))),
        )


def mass_difference(eta: Floats) -> Floats:
    """Return w = (m1 - m2) / (m1 + m2) of a symmetric mass ratio; NaN where that is unknown."""
    return np.asarray(np.sqrt(np.maximum(1 - 4 * eta, 0)))


def _scale(t: Floats, dof: float) -> float:
    """Return the scale of Student's t that residuals have, 1 counting as `PRIOR_EVENTS` of them."""
    square = 1.0
    for _ in range(50):
        # Expectation maximisation of Student's t (Lange, Little & Taylor 1989): what lies far out
        # says little about the scale.
        robust = (dof + 1) / (dof + t * t / square)
        square = (PRIOR_EVENTS + float((robust * t * t).sum())) / (PRIOR_EVENTS + t.size)
    return math.sqrt(square)


def _normal_cdf(z: Floats) -> Floats:
    """Return the distribution function of a normal deviate."""
    # Of a few values: SciPy would take longer to load than the standard library to work them out.
    tails = [math.erfc(value) / 2 for value in (-z / math.sqrt(2)).ravel().tolist()]
    return np.array(tails, dtype=np.float64).reshape(z.shape)
