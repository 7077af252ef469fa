"""Zerolag files for benchmarks: 67 columns, digits and strings as SPIIR writes them.

A real row of O3b early is varied: each number that is not zero is drawn anew and printed by the
format SPIIR uses, so that file size, compression and parsing cost are those of real files.
"""

import gzip
from pathlib import Path

import numpy as np

__all__ = ["write_zerolag"]

_ROW = {
    "int_4s": (
        "bankid=387 end_time=1257994429 end_time_ns=537597656 end_time_ns_sngl_H1=537597656 "
        "end_time_ns_sngl_L1=536621094 end_time_ns_sngl_V1=537597656 end_time_sngl_H1=1257994429 "
        "end_time_sngl_L1=1257994429 end_time_sngl_V1=1257994429 is_background=0 livetime=1522 "
        "pix_idx=10344 tmplt_idx=373"
    ),
    "real_4": (
        "chisq_H1=.667 chisq_L1=.866 chisq_V1=0 cmbchisq=.767 coaphase_H1=-.855 coaphase_L1=2.13 "
        "coaphase_V1=0 cohsnr=9.44 eta=.25 f_final=1024 fap=0 far=5.8e-7 far_1d=5e-10 "
        "far_1d_sngl_H1=5.2e-5 far_1d_sngl_L1=1.3e-7 far_1d_sngl_V1=0 far_1w=7.3e-8 "
        "far_1w_sngl_H1=1.3e-4 far_1w_sngl_L1=3.6e-7 far_1w_sngl_V1=0 far_2h=0 far_2h_sngl_H1=0 "
        "far_2h_sngl_L1=0 far_2h_sngl_V1=0 far_sngl_H1=.001 far_sngl_L1=2.9e-6 far_sngl_V1=0 "
        "mass1=4.56 mass2=4.45 mchirp=3.92 mtotal=9 nullsnr=0 snglsnr_H1=5.9 snglsnr_L1=7.3 "
        "snglsnr_V1=0 spearman_pval=0 spin1x=0 spin1y=0 spin1z=.862 spin2x=0 spin2y=0 spin2z=.538"
    ),
    "real_8": (
        "dec=-67.9 deff_H1=882.8 deff_L1=793.1 deff_V1=0 ra=231 rank=0 template_duration=55.6"
    ),
    "lstring": "ifos=H1L1 pivotal_ifo=H1 skymap_fname=",
    "ilwd:char": "event_id=event_id process_id=process_id",
}
_HEAD = """<?xml version='1.0' encoding='utf-8'?>
<!DOCTYPE LIGO_LW SYSTEM "http://ldas-sw.ligo.caltech.edu/doc/ligolwAPI/html/ligolw_dtd.txt">
<LIGO_LW>
"""


def write_zerolag(path: Path, rows: int, *, seed: int = 1) -> int:
    """Write a gzipped zerolag file; return its size before compression."""
    rng = np.random.default_rng(seed)
    columns = sorted(
        (*cell.split("="), kind) for kind, cells in _ROW.items() for cell in cells.split()
    )
    cells = [_cells(name, value, kind, rows, rng) for name, value, kind in columns]
    declared = "".join(f'\t\t<Column Name="postcoh:{n}" Type="{k}"/>\n' for n, _, k in columns)
    body = ",\n".join("\t\t\t" + ",".join(row) for row in zip(*cells, strict=True))
    text = (
        f'{_HEAD}\t<Table Name="postcoh:table">\n{declared}'
        f'\t\t<Stream Delimiter="," Name="postcoh:table" Type="Local">\n{body}\n'
        "\t\t</Stream>\n\t</Table>\n</LIGO_LW>\n"
    ).encode()
    path.write_bytes(gzip.compress(text, 6, mtime=0))
    return len(text)


def _cells(name: str, value: str, kind: str, rows: int, rng: np.random.Generator) -> list[str]:
    """Vary one column's cell over the rows."""
    if kind == "ilwd:char":
        step = 1 if name == "event_id" else 0
        return [f'"postcoh:{name}:{i * step}"' for i in range(rows)]
    if kind == "lstring":
        return [f'"{value}"'] * rows
    number = float(value)
    if number == 0:
        return ["0"] * rows
    if kind == "int_4s":
        low, high = (number, number + 5e4) if number > 1e9 else (0, 2 * number)
        return [str(i) for i in rng.integers(int(low), int(high), rows)]
    varied = number * np.exp(rng.normal(0, 0.5, rows))
    return [("%.8g" if kind == "real_4" else "%.16g") % x for x in varied]
