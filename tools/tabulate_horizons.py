"""Tabulate horizon distances over the mass plane, spin and noise curve.

::

    python tools/tabulate_horizons.py src/spiir_pastro/io/data/horizons.csv
    python tools/tabulate_horizons.py --points 200 src/spiir_pastro/io/data/horizons.csv

A horizon is the luminosity distance in Mpc at which a binary overhead and face on has optimal SNR
8, as SPIIR filters: IMRPhenomD from 15 to 1024 Hz, spins along the orbit and equal. Masses are the
detectors', that is the source's times 1 + z. The second command compares the table with as many
random binaries, whose spins differ, and prints the largest errors by curve.
"""

import argparse
import csv
from itertools import product
from pathlib import Path

import lalsimulation
import numpy as np
from numpy.typing import NDArray

from spiir_pastro.io.horizons import read_horizons
from waveforms import CURVES, Grid

Floats = NDArray[np.float64]

_LOW_HZ, _HIGH_HZ, _STEP_HZ = 15.0, 1024.0, 0.5
_MTOTAL = np.concatenate([np.geomspace(1.0, 40.0, 12), np.geomspace(40.0, 800.0, 50)[1:]])
_MASS_RATIO = np.geomspace(0.01, 1.0, 12)
_SPIN = np.array([-0.96, -0.7, -0.4, -0.1, 0.15, 0.35, 0.52, 0.65, 0.75, 0.83, 0.89, 0.93, 0.96])
_COLUMNS = {
    "O3_H1L1": CURVES["O3", "H1"],
    "O3_V1": CURVES["O3", "V1"],
    "O3_K1": CURVES["O3", "K1"],
    "O4_H1L1": CURVES["O4", "H1"],
    "O4_V1": CURVES["O4", "V1"],
    "O4_K1": CURVES["O4", "K1"],
}


class Horizon:
    """Horizon distances by all curves."""

    def __init__(self) -> None:
        middle = np.arange(_LOW_HZ + _STEP_HZ / 2, _HIGH_HZ, _STEP_HZ, dtype=np.float64)
        self._grid = Grid(middle, np.full(middle.size, _STEP_HZ))
        self._weights = np.array([self._grid.weight(curve) for curve in _COLUMNS.values()])

    def __call__(self, mass1: float, mass2: float, spin1z: float, spin2z: float) -> Floats:
        """Return a binary's horizon in Mpc by each curve."""
        strain = np.abs(self._grid.strain(mass1, mass2, spin1z, spin2z))
        return np.asarray(np.linalg.norm(self._weights * strain, axis=1) / 8)


def tabulate(path: Path) -> None:
    """Write the table."""
    horizon = Horizon()
    with path.open("w", newline="") as file:
        file.write(
            f"# tools/tabulate_horizons.py; lalsimulation {lalsimulation.__version__}; "
            "horizon distances in Mpc by noise curve\n"
        )
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["mtotal_det", "mass_ratio", "spin", *_COLUMNS])
        for mtotal, ratio, spin in product(_MTOTAL, _MASS_RATIO, _SPIN):
            mass1 = float(mtotal / (1 + ratio))
            reached = horizon(mass1, float(ratio) * mass1, float(spin), float(spin))
            nodes = (f"{mtotal:.7g}", f"{ratio:.7g}", f"{spin:.7g}")
            writer.writerow([*nodes, *(f"{x:.4g}" for x in reached)])


def compare(points: int) -> None:
    """Hold the shipped table against random binaries."""
    rng = np.random.Generator(np.random.PCG64DXSM(7))
    horizon, table = Horizon(), read_horizons()
    mtotal = np.exp(rng.uniform(np.log(2), np.log(600), points))
    mass_ratio = np.exp(rng.uniform(np.log(1 / 80), 0, points))
    mass1 = mtotal / (1 + mass_ratio)
    spins = rng.uniform(-0.95, 0.95, (points, 2))
    direct = np.array(
        [
            horizon(float(a), float(a * q), float(s[0]), float(s[1]))
            for a, q, s in zip(mass1, mass_ratio, spins, strict=True)
        ]
    )
    for place, column in enumerate(_COLUMNS):
        run, ifos = column.split("_")
        ours = table.horizon_mpc(mass1, mass1 * mass_ratio, *spins.T, ifo=ifos[:2], run=run)
        error = np.abs(ours / direct[:, place] - 1)
        worst = int(error.argmax())
        print(  # noqa: T201  (the command's output)
            f"{column}: median {np.median(error):.4f}, worst {error[worst]:.4f} at "
            f"{mtotal[worst]:.1f} solar masses, q {mass_ratio[worst]:.3f}, spins {spins[worst]}"
        )


def main() -> None:
    """Write the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--points", type=int, help="only compare the table with random binaries")
    given = parser.parse_args()
    if given.points:
        compare(given.points)
    else:
        tabulate(given.table)


if __name__ == "__main__":
    main()
