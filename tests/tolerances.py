"""How closely numbers must agree, by what limits them."""

ROUNDING = 1e-12
"""Relative: the same formula in another order."""

QUADRATURE = 1e-6
"""Relative: a closed form against numerical integration."""
