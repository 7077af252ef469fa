r"""Density of a candidate: one factor for each of its values, in the order of `FACTORS`.

.. math:: p(x, m, w, s) = p(x)\, p(m)\, p(w \mid m)\, p(s \mid x, m)

with the variables of `spiir_pastro.models.factors`. Signal and noise differ in each. SNR is taken
*given* FAR and chirp mass, since a loud signal has a low FAR already: its SNR counts only for what
FAR did not tell. A value that is not known is integrated out: its factor is 1 for every component.

A small fraction :math:`\epsilon` of the signals is unlike all that the mass plane and the search's
response make. These *outliers* have the masses of no class in particular,

.. math:: g_c(m, w) = (1 - \epsilon) f_c(m)\, f_c(w \mid m) + \epsilon\, o(m)\, b(w \mid m),

o being flat over the bank and b noise's density. The mass contour and not the counts shares them
among the classes: of a signal's probability, the part that is an outlier's. A floor under each
class's density instead would let the commonest class take what no class explains.

The errors of the factors add up in squares. A factor *extrapolates* where its logarithm is
uncertain by more than one: where it is known from about one event or fewer.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from itertools import groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import ConditionalGrid, GridSheaf
from spiir_pastro.models.factors import ALONE, FACTORS, FactorDensity, Values, values_of
from spiir_pastro.models.outliers import Outliers

Floats = NDArray[np.float64]

_W = [*FACTORS].index("w")


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
            w, below = logs["w"], errors[:-1, _W, 0]
            lift = np.logaddexp(0.0, math.log(self.outliers.w_as_noise) + w[:, -1:] - w[:, :-1])
            errors[:-1, _W, 0] = np.hypot(below, lift.T)
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
