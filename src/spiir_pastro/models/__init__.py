"""The mathematics: densities, counts, distances and mass contours; NumPy and SciPy only."""
