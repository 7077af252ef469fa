"""Read LIGO_LW files: tables into Polars, binned arrays into NumPy.

Files of the ordinary layout take a fast lane that proves, block by block, that it applies
(:mod:`~spiir_pastro.io.ligolw.lines` says how); anything else is read by expat and igwn-ligolw's
tokenizer, with the same result. Both lanes stream, so memory does not grow with the file.
"""

from spiir_pastro.io.ligolw.arrays import read_arrays, read_params
from spiir_pastro.io.ligolw.inflate import MAX_BYTES, Fingerprint
from spiir_pastro.io.ligolw.layout import Batch
from spiir_pastro.io.ligolw.tables import Sifted, consume, read_table, read_tables, sift_tables

__all__ = [
    "MAX_BYTES",
    "Batch",
    "Fingerprint",
    "Sifted",
    "consume",
    "read_arrays",
    "read_params",
    "read_table",
    "read_tables",
    "sift_tables",
]
