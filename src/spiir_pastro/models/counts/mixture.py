r"""The likelihood of a mixture of sources, kept in a few hundred numbers however many candidates.

Candidate j has densities :math:`R_{ja}` under the signal classes and :math:`R_{j0}` under noise,
known up to one factor a candidate. Every candidate multiplies the likelihood by an affine function,

.. math:: \ln L(\theta) = \sum_j \ln d_j(\theta), \qquad d_j = \sum_a \theta_a R_{ja},

so around a reference point :math:`d_j(\theta) = d_j(\theta_*) (1 + \rho_j \cdot \delta)`, and the
candidates with small :math:`|\rho_j \cdot \delta|` enter through their power sums alone:

.. math:: \sum_j \ln(1 + x_j) = \sum_{m=1}^{M} \frac{(-1)^{m+1}}{m} \sum_j x_j^m + \epsilon,
   \qquad |\epsilon| \le \sum_j \frac{|x_j|^{M+1}}{(M+1)(1-|x_j|)}.

Few need more. Where the posterior is one standard deviation wide the Fisher information makes
:math:`\sum_j x_j^2` at most the number of classes, so only a few hundred candidates can matter
singly: those are kept as they are. The bound on :math:`\epsilon` holds inside a box, is kept below
1e-11, and travels with the likelihood.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.bayes_factors import in_chunks

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ERROR_BUDGET = 1e-11
_NUMBERS_IN_CACHE = 400_000  # numbers the processor's cache holds
_CHEAP_ORDERS = (3, 7)  # cheaper expansions, for the many candidates that need no more
_MAX_MONOMIALS = 455  # three classes to twelfth order


def _products(variables: int, order: int) -> list[tuple[int, ...]]:
    """Every product of up to ``order`` variables, by degree."""
    degrees = range(order + 1)
    return [
        p for d in degrees for p in itertools.combinations_with_replacement(range(variables), d)
    ]


@lru_cache(maxsize=32)
def _monomials(variables: int, order: int) -> tuple[Integers, Integers, Floats, tuple[int, ...]]:
    """How products of variables are made, each of an earlier one and one more variable.

    Returns
    -------
    parents, factors : (monomials,)
        Monomial i is monomial ``parents[i]`` times variable ``factors[i]``; the first is 1.
    weights : (monomials,)
        What its power sum is worth in the expansion of the logarithm.
    sizes
        How many monomials there are up to each degree.
    """
    products = _products(variables, order)
    index = {product: i for i, product in enumerate(products)}
    parents = [index[product[:-1]] for product in products]
    factors = [product[-1] if product else 0 for product in products]
    weights = [0.0]
    for product in products[1:]:
        # ln(1 + x) = sum of (-1)^(m+1) x^m / m, and by the multinomial theorem x^m = sum of m! /
        # (product of the repeats' factorials) times the monomial.
        degree = len(product)
        repeats = math.prod(math.factorial(product.count(v)) for v in set(product))
        weights.append((-1) ** (degree + 1) * math.factorial(degree - 1) / repeats)
    sizes = [math.comb(variables + degree, degree) for degree in range(order + 1)]
    return np.array(parents), np.array(factors), np.array(weights), tuple(sizes)


def _highest_order(variables: int) -> int:
    return max(m for m in range(1, 21) if math.comb(m + variables, variables) <= _MAX_MONOMIALS)


def _powers(values: Floats, order: int) -> Floats:
    """Every monomial of the columns, (monomials, n)."""
    parents, factors, _, sizes = _monomials(values.shape[1], order)
    columns = np.ascontiguousarray(values.T)
    powers = np.empty((sizes[order], len(values)))
    powers[0] = 1.0
    for start, stop in itertools.pairwise(sizes):
        # One multiplication a monomial: each is one of a degree less, times a variable.
        np.take(powers, parents[start:stop], axis=0, out=powers[start:stop])
        powers[start:stop] *= columns[factors[start:stop]]
    return powers


@dataclass(frozen=True, kw_only=True, eq=False)
class CompressedMixture:
    """The likelihood of n candidates, exact to ``error`` inside a box."""

    # (k + 1,) the point expanded about: shares that sum to one, or counts where noise is pinned
    reference: Floats
    pinned: bool  # whether the noise count is fixed, at ``reference[-1]``
    # (k, k) lower Cholesky factor of the negative Hessian there; coordinates of the box are
    # ``scale.T @ (point - reference)``
    scale: Floats
    box: Floats  # (2, k) lower and upper corner
    coefficients: Floats  # polynomial of the candidates that enter through their power sums
    singles: Floats  # (e, k + 1) densities of the others, divided by their mixture at the reference
    n: int  # how many candidates there are in all
    error: float  # bound on the error of the log likelihood inside the box

    @classmethod
    def around(cls, reference: Floats, *, pinned: bool, scale: Floats, box: Floats) -> Self:
        """Make the likelihood of no candidates."""
        k = len(reference) - 1
        return cls(
            reference=reference,
            pinned=pinned,
            scale=scale,
            box=box,
            coefficients=np.zeros(len(_monomials(k, _highest_order(k))[0])),
            singles=np.empty((0, k + 1)),
            n=0,
            error=0.0,
        )

    @property
    def classes(self) -> int:
        """The number k of signal classes."""
        return len(self.reference) - 1

    def including(self, densities: Floats) -> Self:
        """Multiply by the likelihood of more candidates, (m, k + 1) from `scaled_densities`."""
        slopes, reach = self._slopes(densities)
        coefficients, error = self.coefficients.copy(), self.error
        left = np.arange(len(densities))
        for order in (*_CHEAP_ORDERS, _highest_order(self.classes)):
            # Half of what is left of the budget, shared evenly: the rest is for higher orders and
            # updates.
            allowance = (ERROR_BUDGET - error) / 2 / max(len(left), 1)
            remainder = _remainder(reach[left], order)
            enough = remainder <= allowance
            selected = left[enough]
            error += float(remainder[enough].sum())
            _, _, weights, sizes = _monomials(self.classes, order)
            for rows in in_chunks(len(selected), _NUMBERS_IN_CACHE // sizes[order]):
                chosen = slopes[selected[rows]]
                sums = _powers(chosen, order) @ np.ones(len(chosen))
                coefficients[: sizes[order]] += weights * sums
            left = left[~enough]
        # No order of the expansion is good enough for these: they are kept as they are.
        singles = densities[left] / (densities[left] @ self.reference)[:, None]
        return replace(
            self,
            coefficients=coefficients,
            singles=np.concatenate([self.singles, singles]),
            n=self.n + len(densities),
            error=error,
        )

    def _slopes(self, densities: Floats) -> tuple[Floats, Floats]:
        """Return rho of each candidate in the box's coordinates, and the largest |x| in the box."""
        slopes = np.empty((len(densities), self.classes))
        reach = np.empty(len(densities))
        inverse = np.linalg.inv(self.scale).T
        for rows in in_chunks(len(densities)):
            ratios = densities[rows] / (densities[rows] @ self.reference)[:, None]
            if not self.pinned:
                # The noise's share is one minus the others, so its slope goes into theirs.
                ratios = ratios - ratios[:, -1:]
            slopes[rows] = ratios[:, :-1] @ inverse
            # A linear form is largest over a box at the corner that the signs of its slopes choose.
            up, down = np.maximum(slopes[rows], 0), np.minimum(slopes[rows], 0)
            highest = up @ self.box[1] + down @ self.box[0]
            lowest = up @ self.box[0] + down @ self.box[1]
            reach[rows] = np.maximum(highest, -lowest)
        return slopes, reach

    def coordinates(self, points: Floats) -> Floats:
        """Place points (g, k + 1) in the coordinates of the box, (g, k)."""
        return (points[:, :-1] - self.reference[:-1]) @ self.scale

    def distance(self, points: Floats) -> Floats:
        """Tell how far out points (g, k + 1) are: 1 on the walls of the box, 0 at the reference."""
        fractions: Floats = self.coordinates(points).T / self.box[:, :, None]
        return np.asarray(fractions.max(axis=(0, 1)))

    def log_likelihood(self, points: Floats) -> Floats:
        """Return ln L relative to the reference at points (g, k + 1); valid in the box."""
        total = np.empty(len(points))
        for rows in in_chunks(len(points), _NUMBERS_IN_CACHE // len(self.coefficients)):
            total[rows] = self._polynomial(self.coordinates(points[rows]))
            total[rows] += self._log_singles(points[rows])
        return total

    def _polynomial(self, z: Floats) -> Floats:
        """Evaluate the power sums' part by Horner's rule in the first coordinate."""
        nested = self._nested_coefficients @ _powers(z[:, 1:], _highest_order(self.classes))
        value: Floats = nested[-1]
        for coefficient in nested[-2::-1]:
            value *= z[:, 0]
            value += coefficient
        return value

    @cached_property
    def _nested_coefficients(self) -> Floats:
        """Coefficients by the power of the first coordinate, and the monomial of the others."""
        order = _highest_order(self.classes)
        others = {product: i for i, product in enumerate(_products(self.classes - 1, order))}
        # A polynomial in the first coordinate whose coefficients are polynomials in the others:
        # evaluated so, it takes one multiplication a power and no table of all monomials.
        nested = np.zeros((order + 1, len(others)))
        for product, value in zip(_products(self.classes, order), self.coefficients, strict=True):
            rest = tuple(variable - 1 for variable in product if variable > 0)
            nested[len(product) - len(rest), others[rest]] = value
        return nested

    def _log_singles(self, points: Floats) -> Floats:
        """Sum ln(mixture) over the single candidates, one logarithm for every eight of them."""
        total = np.zeros(len(points))
        with np.errstate(divide="ignore"):
            for start in range(0, len(self.singles), 128):
                # Densities are relative to the reference, so eight of them multiply without
                # overflow, and a logarithm is the dearest operation here.
                products = self.singles[start : start + 128] @ points.T
                for _ in range(3):
                    half = (len(products) + 1) // 2
                    products[: len(products) - half] *= products[half:]
                    products = products[:half]
                total += np.log(products).sum(axis=0)
        return total

    def as_mapping(self) -> dict[str, object]:
        """Plain numbers and nested lists."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }

    @classmethod
    def from_mapping(cls, numbers: Mapping[str, object]) -> Self:
        """Read what `as_mapping` wrote.

        Raises
        ------
        FitError
            If something is missing, or is not what belongs there.
        """

        def array(name: str, *shape: int) -> Floats:
            values = np.asarray(numbers[name], dtype=np.float64).reshape(shape)
            if not np.isfinite(values).all():
                raise ValueError(f"{name} is not finite")
            return values

        try:
            reference = array("reference", -1)
            k = len(reference) - 1
            nothing = cls.around(
                reference,
                pinned=bool(numbers["pinned"]),
                scale=array("scale", k, k),
                box=array("box", 2, k),
            )
            return replace(
                nothing,
                coefficients=array("coefficients", len(nothing.coefficients)),
                singles=array("singles", -1, k + 1),
                n=int(cast("int", numbers["n"])),
                error=float(cast("float", numbers["error"])),
            )
        except (KeyError, ValueError, TypeError) as exc:
            raise FitError(f"the stored counts cannot be read: {exc!r}") from exc


def _remainder(reach: Floats, order: int) -> Floats:
    """Bound on what the expansion to an order leaves out; beyond any budget where it diverges."""
    small = np.minimum(reach, 0.9)
    return np.asarray(small ** (order + 1) / ((order + 1) * (1 - small)))
