"""A receipt names the reader's version, so that staging is made anew when it yields other rows."""

import hashlib
from pathlib import Path

import pytest

from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw import sift_tables
from spiir_pastro.io.reader_version import READER_VERSION

_GOLDEN = Path(__file__).parents[2] / "golden" / "ligolw"

_YIELDS = {1: "2a3113cb84a3876a02c9b436c8d4910c9eebd9daae37da93493233c3b8923772"}
"""SHA-256 of what each version of the reader yields of the golden files and of the one below.

Where this test fails although no version was raised, the same files give other rows than before:
raise `READER_VERSION`, and add the new value here.
"""

_NUMBERS = ("1.5", "-0", "nan", "inf", "1e-40", "3.4028236e38", "0.1", "", "16777217", "+7", "x")
_CELLS = {
    "real_4": _NUMBERS,
    "real_8": _NUMBERS,
    "int_2s": ("1", "-32768", "32768", "", "007", "+5", "1.0", " 3 ", "-1", "0", "99"),
    "int_4s": ("2147483647", "2147483648", "-1", "", "0", "1", "2", "3", "4", "5", "6"),
    "int_8s": ("9223372036854775807", "-1", "", "0", "1", "2", "3", "4", "5", "6", "7"),
    "int_8u": ("18446744073709551615", "-1", "", "0", "1", "2", "3", "4", "5", "6", "7"),
    "ilwd:char": (*(f'"postcoh:event_id:{i}"' for i in range(9)), "7", '"other:id:8"'),
    "lstring": (
        '"plain"', '""', "", '"a,b"', '"a\\"b"', '" a "', '"&amp;"', '"é"', '"a\nb"', "bare", '"]"',
    ),
}  # fmt: skip
_LEGACY = (
    "chisq_H", "end_time_H", "end_time_ns_L", "far_h_1d", "postcoh:ifos", "pivotal_ifo", "deff_K1",
)  # fmt: skip


def _document(rows: int, mark: str) -> str:
    """Every type with odd cells, names of old files, and sets of detectors; some rows are bad."""
    columns = [*_CELLS.items(), *((name, ('"L1,H1"', '"H1L1V1"', '"H"')) for name in _LEGACY)]
    kinds = {name: name if name in _CELLS else "lstring" for name, _ in columns}
    declared = "".join(f'<Column Name="{n}" Type="{k}"/>\n' for n, k in kinds.items())
    lines = "".join(
        "\t" + "".join(f"{cells[row % len(cells)]}," for _, cells in columns) + "\n"
        for row in range(rows)
    )
    return (
        f'<?xml version="1.0"?>\n<LIGO_LW>{mark}<Table Name="postcoh:table">\n{declared}'
        f'<Stream Delimiter="," Type="Local">\n{lines}</Stream></Table></LIGO_LW>\n'
    )


def _yielded(paths: list[Path]) -> str:
    """Digest every value, type and reject that the reader gives, rules apart."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            tables = sift_tables(path)
        except TableError:
            digest.update(f"{path.name} is refused\n".encode())
            continue
        for table, (rows, rejects) in sorted(tables.items()):
            types = [(name, str(kind)) for name, kind in rows.schema.items()]
            bad = rejects.drop("rule").rows()
            digest.update(f"{path.name} {table} {types} {rows.rows()} {bad}\n".encode())
    return digest.hexdigest()


@pytest.mark.parametrize("mark", ["", "<!-- the other lane -->"])
def test_another_version_yields_other_rows(tmp_path: Path, mark: str) -> None:
    odd = tmp_path / "odd.xml"
    odd.write_text(_document(40, mark))
    assert _YIELDS.get(READER_VERSION) == _yielded([*sorted(_GOLDEN.glob("*.xml")), odd])
