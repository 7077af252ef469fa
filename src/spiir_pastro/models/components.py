r"""Density of a candidate: one factor for each of its values, in the order of `FACTORS`.

.. math:: p(x, m, w, s) = p(x)\, p(m)\, p(w \mid m)\, p(s \mid x, m)

with :math:`x = \ln(\mathrm{FAR}/f^*)`, :math:`m = \ln \mathcal{M}_\mathrm{det}`, the template's
:math:`w = \sqrt{1 - 4\eta} = (m_1 - m_2)/(m_1 + m_2)` and :math:`s = \ln \rho`. Signal and noise
differ in each. SNR is taken *given* FAR and chirp mass, since a loud signal has a low FAR already:
its SNR counts only for what FAR did not say. A value that is not known is integrated out: its
factor is 1 for every component.

A few signals, the fraction :math:`\epsilon`, look like none that the mass plane and the search's
response make. These *outliers* have the masses of no class in particular,

.. math:: g_c(m, w) = (1 - \epsilon) f_c(m)\, f_c(w \mid m) + \epsilon\, o(m)\, b(w \mid m),

o being flat over the bank and b noise's density. What an outlier is, the mass contour says and not
the counts: of a signal's probability the part that is an outlier's is shared by it. A floor under
each class's density instead would let the commonest class take what no class explains.

The errors of the factors add up in squares. A factor *extrapolates* where its logarithm is
uncertain by more than one: where fewer than one event, or so, tells what it is.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from itertools import groupby
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import ConditionalGrid, GridSheaf, cell, equidistant
from spiir_pastro.models.response import mass_difference

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One value of a candidate, and what its density is given."""

    label: str  # what people call it
    column: str  # of the canonical trigger table
    unit: str = ""  # of that column
    given: tuple[str, ...] = ()  # the factors its density depends on


FACTORS: Mapping[str, Factor] = {
    "far": Factor(label="FAR", column="far_hz", unit="Hz"),
    "mchirp": Factor(label="chirp mass", column="mchirp_det", unit="Msun"),
    "w": Factor(label="mass ratio", column="mtotal_det", unit="Msun", given=("mchirp",)),
    "snr": Factor(label="SNR", column="snr", given=("far", "mchirp")),
}
"""Each value of a candidate once. Densities, errors, explanations and pages go through this table;
what a factor is of a candidate stands in `values_of`, how it is fitted in `fit_densities`."""

LOG_FAR, LOG_MCHIRP, ALONE = 1, 2, 4
"""Columns of ln(FAR / threshold), of the logarithm of the chirp mass, and of whether one detector
saw the candidate, among the features."""

W = [*FACTORS].index("w")

LOUDEST_LOG_FAR_RATIO = -12.0
"""Below this ln(FAR / threshold) the regression of SNR holds still: FAR underflows, SNR doesn't."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """What the densities are of, for n candidates; NaN where unknown."""

    by_factor: Mapping[str, Floats]  # values by factor, (n,) each
    # (n, 5) what conditional densities are given: 1, ln FAR, ln mchirp and its square, and 1 for a
    # candidate of one detector, 0 for others
    features: Floats


def values_of(candidates: Candidates, *, far_threshold_hz: float) -> Values:
    """Turn candidates into the variables of the densities."""
    x = np.log(candidates.far_hz / far_threshold_hz)
    m = np.log(candidates.mchirp_det)
    clipped = np.maximum(x, LOUDEST_LOG_FAR_RATIO)
    return Values(
        by_factor={
            "far": x,
            "mchirp": m,
            "w": mass_difference(candidates.eta),
            "snr": np.log(candidates.snr),
        },
        features=np.array([np.ones_like(x), clipped, m, m * m, candidates.n_detectors == 1]).T,
    )


@runtime_checkable
class FactorDensity(Protocol):
    """A normalised density of one variable, given features or not."""

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        ...

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Return the same, and the standard errors of it, below and above, (2, n)."""
        ...


@dataclass(frozen=True, kw_only=True)
class ByDetectors:
    """One density for candidates of one detector, another for those of more.

    Attributes
    ----------
    alone, together
        Of candidates of one detector, and of others.
    fraction_alone
        Of the component's candidates that one detector saw alone: the density is then of the
        variable and the number of detectors. None where it is given that number.
    fraction_std
        Its standard error.
    """

    alone: FactorDensity
    together: FactorDensity
    fraction_alone: float | None = None
    fraction_std: float = 0.0

    def __post_init__(self) -> None:
        fraction = 0.5 if self.fraction_alone is None else self.fraction_alone
        if not (0 < fraction < 1 and 0 <= self.fraction_std < math.inf):
            raise FitError(
                f"{self.fraction_alone} +- {self.fraction_std} is no fraction of candidates that "
                "one detector saw alone"
            )

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        alone = features[..., ALONE] == 1
        log = self.together.log_pdf(y, features)
        if alone.any():
            log[alone] = self.alone.log_pdf(y[alone], features[alone])
        return log + self._log_fraction(alone)

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Return the same, and its standard errors, below and above, (2, n)."""
        alone = features[..., ALONE] == 1
        log, errors = self.together.log_pdf_and_errors(y, features)
        if alone.any():
            log[alone], errors[:, alone] = self.alone.log_pdf_and_errors(y[alone], features[alone])
        if self.fraction_alone is not None:
            own = np.where(alone, self.fraction_alone, 1 - self.fraction_alone)
            errors = np.asarray(np.hypot(errors, self.fraction_std / own))
        return log + self._log_fraction(alone), errors

    def _log_fraction(self, alone: NDArray[np.bool_]) -> Floats | float:
        if self.fraction_alone is None:
            return 0.0
        return np.asarray(np.log(np.where(alone, self.fraction_alone, 1 - self.fraction_alone)))


@dataclass(frozen=True, kw_only=True)
class CandidateDensity:
    """Density of the candidates of one component, noise or a class of signals.

    Attributes
    ----------
    factors
        The density of each factor that is used, by its name in `FACTORS`.
    """

    factors: Mapping[str, FactorDensity]

    def __post_init__(self) -> None:
        if "far" not in self.factors or not {*self.factors} <= {*FACTORS}:
            raise FitError(
                f"a density has the factors {', '.join(self.factors)}; "
                f"it needs far, and knows {', '.join(FACTORS)}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Outliers:
    """Signals that neither the mass plane nor the response explains.

    Attributes
    ----------
    fraction
        Of all signals, in (0, 1).
    mchirp_min, mchirp_max
        Chirp masses of the bank's templates in solar masses: outliers are flat in its logarithm.
    w_as_noise
        Fraction of any class whose w is distributed as noise's.
    log_mchirp_nodes : (k,)
        Logarithms of the chirp masses at which the shares are tabulated.
    log_snr_nodes : (j,)
        Logarithms of the SNRs.
    class_shares : (classes, k, j)
        How the mass contour shares a candidate of this chirp mass and SNR among the classes.
    """

    fraction: float
    mchirp_min: float
    mchirp_max: float
    w_as_noise: float
    log_mchirp_nodes: Floats
    log_snr_nodes: Floats
    class_shares: Floats

    def __post_init__(self) -> None:
        shares = np.array(self.class_shares, float)
        m, s = np.array(self.log_mchirp_nodes, float), np.array(self.log_snr_nodes, float)
        if not (
            0 < self.fraction < 1
            and 0 < self.w_as_noise < 1
            and 0 < self.mchirp_min < self.mchirp_max < math.inf
            and shares.shape == (len(ASTROPHYSICAL), m.size, s.size)
            and min(m.size, s.size) >= 2
            and equidistant(m)
            and equidistant(s)
            and (shares >= 0).all()
            and np.abs(shares.sum(axis=0) - 1).max() < 1e-3
        ):
            raise FitError(
                f"outliers of fraction {self.fraction} in a bank from {self.mchirp_min} to "
                f"{self.mchirp_max} solar masses need shares that sum to one, not {shares.shape}"
            )
        total = shares.sum(axis=0)
        # Sums that differ from one by rounding are left alone: a stored model stays as it is.
        shares = np.where(np.abs(total - 1) > 1e-12, shares / total, shares)
        for name, array in (
            ("class_shares", shares),
            ("log_mchirp_nodes", m),
            ("log_snr_nodes", s),
        ):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def log_density(self) -> float:
        """Logarithm of the density in ln(chirp mass)."""
        return -math.log(math.log(self.mchirp_max / self.mchirp_min))

    def shares(self, log_mchirp: Floats, log_snr: Floats) -> Floats:
        """Return the mass contour's shares of the classes, (n, classes); NaN for no chirp mass.

        An unknown SNR is taken for the least.
        """
        s = np.where(np.isnan(log_snr), self.log_snr_nodes[0], log_snr)
        row, up = cell(self.log_mchirp_nodes, log_mchirp)
        column, right = cell(self.log_snr_nodes, s)
        table = self._shares_by_node
        up, right = up[:, None], right[:, None]
        near = (1 - right) * table[row, column] + right * table[row, column + 1]
        far = (1 - right) * table[row + 1, column] + right * table[row + 1, column + 1]
        mixed = (1 - up) * near + up * far
        return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))

    @cached_property
    def _shares_by_node(self) -> Floats:
        return np.ascontiguousarray(np.moveaxis(self.class_shares, 0, -1))

    def in_bank(self, mchirp: Floats) -> NDArray[np.bool_]:
        """Tell which chirp masses, solar masses, a template may have; unknown ones may be any."""
        return ~((mchirp < self.mchirp_min) | (mchirp > self.mchirp_max))


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """The logarithms that add up to each source's density."""

    # of each factor, (n, 4), sources in the order of ``Source``; FAR's is NaN where unknown
    by_factor: Mapping[str, Floats]
    explained: Floats  # (n, 3) of a signal of each class there: the part that is no outlier

    @cached_property
    def log_bayes_factors(self) -> Floats:
        """Ln f_a / b, (n, 3): each class against noise; NaN where FAR is unknown."""
        total = sum(self.by_factor.values())
        return np.asarray(total[:, :-1] - total[:, -1:])  # type: ignore[index]


@dataclass(frozen=True, kw_only=True)
class ComponentDensities:
    """Densities of noise and of each class of signals, in the same variables.

    Attributes
    ----------
    noise
        Density of noise candidates.
    signals
        Density of each class of signals, in the order of ``ASTROPHYSICAL``.
    outliers
        Signals that no class explains.
    """

    noise: CandidateDensity
    signals: Mapping[Source, CandidateDensity]
    outliers: Outliers

    def __post_init__(self) -> None:
        if tuple(self.signals) != ASTROPHYSICAL:
            raise FitError(
                f"densities are of {[str(source) for source in self.signals]}, "
                f"where {[str(source) for source in ASTROPHYSICAL]} belong"
            )

    def __iter__(self) -> Iterator[CandidateDensity]:
        """Go through the densities in the order of ``Source``, noise last."""
        yield from self.signals.values()
        yield self.noise

    @property
    def knows_one_detector(self) -> bool:
        """Whether candidates of one detector have laws of their own."""
        return isinstance(self.noise.factors["far"], ByDetectors)

    def judge(self, candidates: Candidates) -> NDArray[np.bool_]:
        """Tell which candidates these densities are of, (n,): by template and detectors."""
        known = (candidates.n_detectors != 1) | self.knows_one_detector
        return np.asarray(known & self.outliers.in_bank(candidates.mchirp_det))

    def terms(self, candidates: Candidates, *, far_threshold_hz: float) -> Terms:
        """Return every factor of every source's density, in logarithms."""
        values = values_of(candidates, far_threshold_hz=far_threshold_hz)
        logs = {name: laws.log_pdfs(values) for name, laws in self._laws.items()}
        return self._mixed(logs, values)

    def terms_and_errors(
        self, candidates: Candidates, *, far_threshold_hz: float
    ) -> tuple[Terms, Floats]:
        """Return the same, and the standard errors of each, (4, factors, 2, n), below and above.

        That a few of any class have any mass ratio is assumed, not measured: where nothing else
        speaks for a class, its density may be as much lower as the assumption lifts it.
        """
        values = values_of(candidates, far_threshold_hz=far_threshold_hz)
        found = {name: laws.log_pdfs_and_errors(values) for name, laws in self._laws.items()}
        logs = {name: log for name, (log, _) in found.items()}
        errors = np.stack([error for _, error in found.values()], axis=1)
        if "w" in self.noise.factors:
            w, below = logs["w"], errors[:-1, W, 0]
            lift = np.logaddexp(0.0, math.log(self.outliers.w_as_noise) + w[:, -1:] - w[:, :-1])
            errors[:-1, W, 0] = np.hypot(below, lift.T)
        return self._mixed(logs, values), errors

    @cached_property
    def _laws(self) -> Mapping[str, "_Laws"]:
        return {
            name: _Laws.of(name, [d.factors.get(name, _Unused()) for d in self]) for name in FACTORS
        }

    def _mixed(self, by_factor: dict[str, Floats], values: Values) -> Terms:
        if "mchirp" not in self.noise.factors:
            return Terms(
                by_factor=by_factor, explained=np.ones((len(values.features), len(self.signals)))
            )
        return self._with_outliers(by_factor, np.isnan(values.by_factor["mchirp"]))

    def _with_outliers(
        self, by_factor: dict[str, Floats], unknown_mchirp: NDArray[np.bool_]
    ) -> Terms:
        """Mix outliers into the signals' chirp masses, and into their w given those."""
        outliers = self.outliers
        mchirp, w = by_factor["mchirp"], by_factor["w"]
        noise_w = w[:, -1:]
        # A few of any class have templates of any mass ratio, as noise has.
        class_w = np.logaddexp(
            math.log1p(-outliers.w_as_noise) + w[:, :-1], math.log(outliers.w_as_noise) + noise_w
        )
        core = math.log1p(-outliers.fraction) + mchirp[:, :-1]
        outlying = math.log(outliers.fraction) + outliers.log_density
        # p(m) of a class with its outliers, and p(m, w): p(w | m), as the factors go, is their
        # ratio.
        mixed = np.logaddexp(core, outlying)
        joint = np.logaddexp(core + class_w, outlying + noise_w)
        explained = np.exp(core + class_w - joint)
        mixed[unknown_mchirp], explained[unknown_mchirp] = 0.0, 1.0
        joint[unknown_mchirp] = class_w[unknown_mchirp]
        return Terms(
            by_factor={
                **by_factor,
                "mchirp": np.concatenate([mixed, mchirp[:, -1:]], axis=1),
                "w": np.concatenate([joint - mixed, noise_w], axis=1),
            },
            explained=explained,
        )

    def log_bayes_factors(self, candidates: Candidates, *, far_threshold_hz: float) -> Floats:
        """Return ln f_a / b, (n, 3): each class against noise; NaN where FAR is unknown."""
        return self.terms(candidates, far_threshold_hz=far_threshold_hz).log_bayes_factors


def offered_templates(noise_w: FactorDensity | None) -> ConditionalGrid | None:
    """Return how w is distributed among templates, where noise of two detectors or more says it."""
    together = noise_w.together if isinstance(noise_w, ByDetectors) else noise_w
    return together if isinstance(together, ConditionalGrid) else None


@dataclass(frozen=True, kw_only=True)
class _Laws:
    """The densities of one factor of every source, each that differs once.

    Classes seen too seldom for laws of their own share those of all signals, and classes from the
    mass plane have theirs on the same nodes: what is the same is worked out once.
    """

    name: str
    looks: Sequence[FactorDensity | GridSheaf]
    which: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, laws: Sequence[FactorDensity]) -> Self:
        prints = [_fingerprint(law) for law in laws]
        distinct = dict(zip(prints, laws, strict=True))
        groups = [[*group] for _, group in groupby(distinct.values(), key=_together)]
        return cls(
            name=name,
            looks=[_look(group) for group in groups],
            which=np.array([[*distinct].index(one) for one in prints]),
        )

    def log_pdfs(self, values: Values) -> Floats:
        """Return the logarithm of each source's density, (n, 4); 0 where unknown, NaN for FAR."""
        y = values.by_factor[self.name]
        found = [np.atleast_2d(look.log_pdf(y, values.features)) for look in self.looks]
        return self._each(np.concatenate(found)).T

    def log_pdfs_and_errors(self, values: Values) -> tuple[Floats, Floats]:
        """Return the same, and its standard errors, (4, 2, n); 0 where unknown, NaN for FAR."""
        y = values.by_factor[self.name]
        found = [look.log_pdf_and_errors(y, values.features) for look in self.looks]
        logs = np.concatenate([np.atleast_2d(log) for log, _ in found])
        errors = np.concatenate([e if e.ndim == 3 else e[None] for _, e in found])
        return self._each(logs).T, self._each(errors)

    def _each(self, found: Floats) -> Floats:
        """Give each source its own."""
        each = found[self.which]
        if self.name != "far":
            each[np.isnan(each)] = 0.0
        return each


def _together(law: FactorDensity) -> object:
    """Return what is the same of laws that one look goes through together."""
    return law.places if isinstance(law, ConditionalGrid) else id(law)


def _look(alike: Sequence[FactorDensity]) -> FactorDensity | GridSheaf:
    grids = [law for law in alike if isinstance(law, ConditionalGrid)]
    return GridSheaf(grids) if grids else alike[0]


class _Unused:
    """Of a factor that a source does not use: it says nothing."""

    def log_pdf(self, y: Floats, features: Floats) -> Floats:  # noqa: ARG002
        return np.zeros_like(y)

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:  # noqa: ARG002
        return np.zeros_like(y), np.zeros((2, *y.shape))


def _fingerprint(density: object) -> str:
    """Return what tells densities of different parameters apart."""
    if not is_dataclass(density):
        return repr(density)
    parts = [getattr(density, f.name) for f in fields(density)]
    texts = [p.tobytes().hex() if isinstance(p, np.ndarray) else _fingerprint(p) for p in parts]
    return f"{type(density).__name__}({','.join(texts)})"
