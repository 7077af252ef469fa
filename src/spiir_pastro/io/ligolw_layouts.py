"""The columns of SPIIR's files, in the files' own order (alphabetical) and types.

``postcoh`` rows are the triggers of a zerolag file, ``segment`` says what was analysed,
``sim_inspiral`` holds injections (the LIGO_LW schema's columns that say something). Files of
before 2021 or so name detectors by one letter; `LEGACY_NAMES` maps today's names to theirs.
"""

from collections.abc import Mapping

__all__ = [
    "ID_OWNERS",
    "LEGACY_NAMES",
    "LEGACY_POSTCOH",
    "POSTCOH",
    "PROCESS",
    "SEGMENT",
    "SEGMENT_DEFINER",
    "SIM_INSPIRAL",
]

_IFOS = ("H1", "L1", "V1")

ID_OWNERS: Mapping[str, str] = {
    "process_id": "process",
    "segment_def_id": "segment_definer",
}
"""Whose id a column's values are; every other id is its own table's."""


def _columns(**columns_by_type: str) -> dict[str, str]:
    """Sort columns by name; ``ifo`` in a name stands for one column a detector."""
    found = {
        column.replace("ifo*", ifo): kind
        for kind, names in columns_by_type.items()
        for column in names.split()
        for ifo in (_IFOS if "ifo*" in column else ("",))
    }
    return {name: found[name].replace("__", ":") for name in sorted(found)}


PROCESS: Mapping[str, str] = _columns(
    int_4s="cvs_entry_time end_time is_online jobid start_time unix_procid",
    lstring="comment cvs_repository domain ifos node program username version",
    ilwd__char="process_id",
)

POSTCOH: Mapping[str, str] = _columns(
    int_4s="bankid end_time end_time_ns end_time_sngl_ifo* end_time_ns_sngl_ifo* is_background "
    "livetime pix_idx tmplt_idx",
    real_4="chisq_ifo* cmbchisq coaphase_ifo* cohsnr eta f_final fap far far_1d far_1w far_2h "
    "far_1d_sngl_ifo* far_1w_sngl_ifo* far_2h_sngl_ifo* far_sngl_ifo* mass1 mass2 mchirp mtotal "
    "nullsnr snglsnr_ifo* spearman_pval spin1x spin1y spin1z spin2x spin2y spin2z",
    real_8="dec deff_ifo* ra rank template_duration",
    lstring="ifos pivotal_ifo skymap_fname",
    ilwd__char="event_id process_id",
)


def _legacy(name: str) -> str:
    for ifo in _IFOS:
        if name.endswith(f"_sngl_{ifo}"):
            stem, letter = name.removesuffix(f"_sngl_{ifo}"), ifo[0]
            if stem.startswith("far"):
                return f"far_{letter.lower()}{stem.removeprefix('far')}"
            return f"{stem}_{letter}"
        if name.endswith(f"_{ifo}"):
            return name[:-1]
    return name


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
