"""LIGO_LW documents for tests: columns, rows of cells as text, and how they are laid out."""

from dataclasses import dataclass

import polars as pl
from hypothesis import strategies as st

from spiir_pastro.io.ligolw.layout import DTYPES

__all__ = ["INTEGERS", "Document", "documents"]

INTEGERS = {"int_2s": 16, "int_4s": 32, "int_8s": 64, "int_4u": 32, "int_8u": 64}
KINDS = sorted(set(DTYPES) - {"int", "int_2u"})
TEXT = st.text(
    st.one_of(
        st.characters(min_codepoint=32, max_codepoint=126),
        st.sampled_from(list(",\"'\\&<>\t\n] é😀")),
    ),
    max_size=12,
)
NUMBERS = st.one_of(
    st.floats(width=32).map(repr),
    st.floats().map("{:.16g}".format),
    st.floats(allow_nan=False, allow_infinity=False).map("{:+.8e}".format),
    st.integers(-99, 99).map(str),
    st.sampled_from(
        [
            "nan",
            "NaN",
            "-nan",
            "inf",
            "-inf",
            "+inf",
            "INF",
            "Infinity",
            "1e400",
            "-1e400",
            "1e-400",
            "3.4028236e38",
            "1.",
            ".5",
            "-0",
            "+5",
            "007",
            "1E+5",
            "16777217.0000000000000001",
            "0.1",
            "1e22",
        ]
    ),
)


def written(text: str) -> str:
    """Write a string as LIGO_LW does, before XML."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def integers(kind: str) -> st.SearchStrategy[str]:
    bits = INTEGERS[kind]
    low = 0 if kind.endswith("u") else -(2 ** (bits - 1))
    return st.integers(low, low + 2**bits - 1).map(str)


def cells(kind: str) -> st.SearchStrategy[str]:
    """Any good cell of a type, as text before XML."""
    if kind in INTEGERS:
        good = integers(kind)
    elif kind == "ilwd:char":
        good = st.integers(0, 2**63 - 1).map(lambda i: f'"postcoh:event_id:{i}"')
    elif DTYPES[kind] == pl.String:
        good = TEXT.map(written)
    else:
        good = NUMBERS
    return st.one_of(good, good, good, st.just(""))


@dataclass(frozen=True)
class Document:
    """A table's columns, its rows as text, and how they are laid out."""

    kinds: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    indent: str = "\t\t\t"
    gap: str = ""  # around each cell
    row_end: str = "\n"
    delimiter: str = ","
    last_delimiter: bool = True
    cdata: bool = False
    comment: str = ""

    @property
    def names(self) -> list[str]:
        return [f"c{i}" for i in range(len(self.kinds))]

    @property
    def xml(self) -> bytes:
        columns = "".join(
            f'\t\t<Column Name="t:{name}" Type="{kind}"/>\n'
            for name, kind in zip(self.names, self.kinds, strict=True)
        )
        cell = f"{self.gap}{{}}{self.gap}{self.delimiter}"
        rows = ("".join(cell.format(c) for c in row) for row in self.rows)
        text = "".join(self.indent + row + self.row_end for row in rows)
        if not self.last_delimiter and self.rows and self.rows[-1][-1]:
            text = text.rstrip("\n\t ").removesuffix(self.delimiter)
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = f"<![CDATA[{text}]]>" if self.cdata and "]]>" not in text else escaped
        return (
            "<?xml version='1.0' encoding='utf-8'?>\n"
            '<!DOCTYPE LIGO_LW SYSTEM "http://x/dtd.txt">\n'
            f'<LIGO_LW>\n{self.comment}\t<Table Name="t:table">\n{columns}'
            f'\t\t<Stream Delimiter="{self.delimiter}" Name="t:table" Type="Local">\n{body}\n'
            "\t\t</Stream>\n\t</Table>\n</LIGO_LW>\n"
        ).encode()


@st.composite
def documents(draw: st.DrawFn, *, ordinary: bool = False) -> Document:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6))
    rows = draw(st.lists(st.tuples(*map(cells, kinds)), max_size=8))
    last = draw(st.booleans())
    if ordinary:
        return Document(tuple(kinds), tuple(rows), last_delimiter=last)
    return Document(
        tuple(kinds),
        tuple(rows),
        indent=draw(st.sampled_from(["\t\t\t", "", "  ", "\n\t"])),
        gap=draw(st.sampled_from(["", " ", "\n", "\t"])),
        row_end=draw(st.sampled_from(["\n", "", "\n\n", " \n"])),
        delimiter=draw(st.sampled_from([",", ",", ";", "|"])),
        last_delimiter=last,
        cdata=draw(st.booleans()),
        comment=draw(st.sampled_from(["", "<!-- <Table Name='t:table'> -->"])),
    )
