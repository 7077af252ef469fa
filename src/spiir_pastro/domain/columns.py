"""What SPIIR's trigger columns are called, and of which LIGO_LW type they are.

SPIIR's ``postcoh`` table names single-detector columns ``<quantity>_<detector>`` today. Older files
write ``chisq_H``, ``end_time_H`` or ``far_h_1d`` for ``chisq_H1``, ``end_time_sngl_H1`` and
``far_1d_sngl_H1``, and columns come with or without a ``postcoh:`` prefix.
"""

import re
from types import MappingProxyType

from spiir_pastro.domain.detectors import DETECTORS

__all__ = ["POSTCOH_TYPES", "canonical_column"]

_PER_DETECTOR = {
    "chisq": "real_4",
    "coaphase": "real_4",
    "deff": "real_8",
    "end_time_ns_sngl": "int_4s",
    "end_time_sngl": "int_4s",
    "far_1d_sngl": "real_4",
    "far_1w_sngl": "real_4",
    "far_2h_sngl": "real_4",
    "far_sngl": "real_4",
    "snglsnr": "real_4",
}
_COHERENT = {
    "int_4s": "bankid end_time end_time_ns is_background livetime pix_idx tmplt_idx",
    "real_4": (
        "cmbchisq cohsnr eta f_final fap far far_1d far_1w far_2h mass1 mass2 mchirp mtotal "
        "nullsnr spearman_pval spin1x spin1y spin1z spin2x spin2y spin2z"
    ),
    "real_8": "dec ra rank template_duration",
    "lstring": "ifos pivotal_ifo skymap_fname",
    "ilwd:char": "event_id process_id",
}

POSTCOH_TYPES = MappingProxyType(
    {f"{name}_{ifo}": kind for name, kind in _PER_DETECTOR.items() for ifo in DETECTORS}
    | {name: kind for kind, names in _COHERENT.items() for name in names.split()}
)
"""LIGO_LW type of every column a ``postcoh`` table may have, by canonical name."""

_LETTER = {ifo[0]: ifo for ifo in DETECTORS}
_LEGACY_TIME = re.compile(r"(end_time|end_time_ns)_([HLVK])1?")
_LEGACY_FAR = re.compile(r"far_([hlvk])(_\w+)?")
_LEGACY = re.compile(r"(.+)_([HLVK])")


def canonical_column(name: str, *, table: str = "postcoh") -> str:
    """Give a column's name as today's SPIIR writes it.

    Parameters
    ----------
    name
        The name in the file, with or without ``table:`` before it.
    table
        The table it stands in; only ``postcoh`` has legacy names.

    Examples
    --------
    >>> canonical_column("postcoh:chisq_H")
    'chisq_H1'
    >>> canonical_column("far_h_1d"), canonical_column("end_time_ns_L")
    ('far_1d_sngl_H1', 'end_time_ns_sngl_L1')
    """
    bare = name.rpartition(":")[2]
    if table != "postcoh" or bare in POSTCOH_TYPES:
        return bare
    if match := _LEGACY_TIME.fullmatch(bare):
        return f"{match[1]}_sngl_{_LETTER[match[2]]}"
    if match := _LEGACY_FAR.fullmatch(bare):
        return f"far{match[2] or ''}_sngl_{_LETTER[match[1].upper()]}"
    if match := _LEGACY.fullmatch(bare):
        return f"{match[1]}_{_LETTER[match[2]]}"
    return bare
