"""The mathematics: densities, counts, distances and mass contours; NumPy and SciPy only."""

__all__: list[str] = []
