"""Read one zerolag file of 50,000 rows x 67 columns, beside igwn-ligolw to pandas.

Run it: ``python benchmarks/bench_ligolw.py [ROWS]``. Both sides read the same file in the same
process, and must find the same numbers, before either is timed. Peak memory is that of a fresh
process that does nothing else, over what its imports take. Bars: 15 times faster, less memory.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from igwn_ligolw import ligolw, utils
from isal import igzip
from timing import race
from zerolag_files import write_zerolag

import spiir_pastro as sp


def peer(path: Path) -> pd.DataFrame:
    """Read with igwn-ligolw, only the table asked for, into pandas."""
    wanted = "postcoh:table"

    def handler(document: object) -> ligolw.PartialLIGOLWContentHandler:
        return ligolw.PartialLIGOLWContentHandler(
            document, lambda tag, attrs: tag == "Table" and attrs["Name"] == wanted
        )

    table = ligolw.Table.get_table(
        utils.load_filename(str(path), contenthandler=handler), "postcoh"
    )
    names = table.columnnames
    return pd.DataFrame.from_records(
        [[getattr(row, name) for name in names] for row in table], columns=names
    )


def ours(path: Path) -> object:
    """Read with this package."""
    return sp.read_table(path, "postcoh")


def projected(path: Path) -> object:
    """Read five columns with this package."""
    return sp.read_table(path, "postcoh", columns=["event_id", "cohsnr", "far", "ifos", "mchirp"])


def inflate(path: Path) -> bytes:
    """Igzip alone."""
    with igzip.open(path) as file:
        return bytes(file.read())


SIDES = {side.__name__: side for side in (inflate, ours, projected, peer)}


def peak_megabytes(side: str, path: Path) -> float:
    """Memory a side takes in a fresh process, above its imports."""
    run = subprocess.run(  # noqa: S603  (this very file)
        [sys.executable, __file__, "--peak", side, str(path)],
        capture_output=True,
        check=True,
        text=True,
    )
    return float(run.stdout)


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    [line] = [s for s in Path("/proc/self/status").read_text().split("\n") if s.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def print_peak(side: str, path: Path) -> None:
    before = peak()
    kept = SIDES[side](path)
    assert kept is not None
    print(peak() - before)


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "H1L1_zerolag_1257992907_86400.xml.gz"
        size = write_zerolag(path, rows)
        found, theirs = sp.read_table(path, "postcoh"), peer(path)
        for name in ("cohsnr", "deff_H1", "end_time"):
            np.testing.assert_allclose(found[name].to_numpy(), theirs[name].to_numpy(), rtol=1e-7)
        del found, theirs
        times = race({name: partial(side, path) for name, side in SIDES.items()}, rounds=9)
        compressed = path.stat().st_size
        print(f"{rows} rows x 67 columns: {compressed / 1e6:.1f} MB, {size / 1e6:.1f} inflated")
        heads = ("", "wall ms", "cpu ms", "/ inflate", "peak MB")
        print("".join(f"{head:>10}" for head in heads) + f"{'peer / this, wall':>28}")
        for name, mine in times.items():
            print(
                f"{name:>10}{mine.best_wall * 1e3:10.1f}{mine.best_cpu * 1e3:10.1f}"
                f"{mine.best_cpu / times['inflate'].best_cpu:10.2f}"
                f"{peak_megabytes(name, path):10.1f}{times['peer'].over(mine):>28}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print_peak(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 50_000)
