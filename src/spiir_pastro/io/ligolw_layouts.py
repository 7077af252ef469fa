"""The columns of SPIIR's files, in the files' own order (alphabetical) and types.

``postcoh`` rows are the triggers of a zerolag file, ``segment`` says what was analysed,
``sim_inspiral`` holds injections (the LIGO_LW schema's columns that say something). Older
files name detectors by one letter; `LEGACY_NAMES` maps today's names to theirs.
"""

import re
from collections.abc import Collection, Mapping

from spiir_pastro.domain import DETECTORS
from spiir_pastro.domain.columns import POSTCOH_TYPES

ID_OWNERS: Mapping[str, str] = {
    "process_id": "process",
    "segment_def_id": "segment_definer",
}
"""Whose id a column's values are; every other id is its own table's."""

_LEGACY_TIME = re.compile(r"(end_time|end_time_ns)_sngl_([HLV])1")
_LEGACY_FAR = re.compile(r"far(\w*)_sngl_([HLV])1")


def _columns(**columns_by_type: str) -> dict[str, str]:
    """Sort columns by name; ``__`` in a type stands for its colon."""
    kinds = {
        column: kind.replace("__", ":")
        for kind, names in columns_by_type.items()
        for column in names.split()
    }
    return {name: kinds[name] for name in sorted(kinds)}


def _legacy(name: str) -> str:
    """Name a column as older files do: the inverse of `canonical_column`."""
    if match := _LEGACY_TIME.fullmatch(name):
        return f"{match[1]}_{match[2]}"
    if match := _LEGACY_FAR.fullmatch(name):
        return f"far_{match[2].lower()}{match[1]}"
    return re.sub(r"_([HLV])1$", r"_\1", name)


PROCESS: Mapping[str, str] = _columns(
    int_4s="cvs_entry_time end_time is_online jobid start_time unix_procid",
    lstring="comment cvs_repository domain ifos node program username version",
    ilwd__char="process_id",
)


def postcoh_layout(ifos: Collection[str]) -> Mapping[str, str]:
    """Return the columns of a trigger table, and their types, of a network of detectors."""
    others = tuple(f"_{ifo}" for ifo in DETECTORS if ifo not in ifos)
    return {
        name: POSTCOH_TYPES[name] for name in sorted(POSTCOH_TYPES) if not name.endswith(others)
    }


POSTCOH: Mapping[str, str] = postcoh_layout(("H1", "L1", "V1"))

LEGACY_NAMES: Mapping[str, str] = {name: _legacy(name) for name in POSTCOH}
"""Today's name to the old one: ``far_1d_sngl_H1`` was ``far_h_1d``."""

LEGACY_POSTCOH: Mapping[str, str] = {
    old: POSTCOH[new] for new, old in sorted(LEGACY_NAMES.items(), key=lambda names: names[1])
}

SEGMENT_DEFINER: Mapping[str, str] = _columns(
    int_4s="version", lstring="comment ifos name", ilwd__char="process_id segment_def_id"
)

SEGMENT: Mapping[str, str] = _columns(
    int_4s="end_time end_time_ns start_time start_time_ns",
    ilwd__char="process_id segment_def_id segment_id",
)

SIM_INSPIRAL: Mapping[str, str] = _columns(
    int_4s="geocent_end_time geocent_end_time_ns h_end_time h_end_time_ns l_end_time l_end_time_ns "
    "v_end_time v_end_time_ns numrel_mode_min numrel_mode_max amp_order bandpass",
    real_4="mass1 mass2 mchirp eta distance longitude latitude inclination coa_phase polarization "
    "spin1x spin1y spin1z spin2x spin2y spin2z f_lower f_final eff_dist_h eff_dist_l eff_dist_v",
    real_8="end_time_gmst",
    lstring="waveform source numrel_data taper",
    ilwd__char="process_id simulation_id",
)
