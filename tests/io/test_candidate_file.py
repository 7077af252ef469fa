"""A candidate's file read for an answer gives the trigger that every other command reads."""

from pathlib import Path

import pytest

from spiir_pastro.domain import DETECTORS
from spiir_pastro.errors import PastroError, TableError
from spiir_pastro.io.candidate_file import read_candidate
from spiir_pastro.io.trigger_files import read_triggers

FILE = """<?xml version='1.0' encoding='utf-8'?>
<!DOCTYPE LIGO_LW SYSTEM "http://ldas-sw.ligo.caltech.edu/doc/ligolwAPI/html/ligolw_dtd.txt">
<LIGO_LW>
  <Table Name="sngl_inspiral:table">
    <Column Name="sngl_inspiral:ifo" Type="lstring"/>
    <Column Name="sngl_inspiral:channel" Type="lstring"/>
    <Column Name="sngl_inspiral:eff_distance" Type="real_4"/>
    <Stream Name="sngl_inspiral:table" Type="Local" Delimiter=",">
      "H1","a \\"strange, one\\\\",536.69173,
      "L1",,0,
      "V1","&lt;none&gt;",,
    </Stream>
  </Table>
  <Table Name="coinc_inspiral:table">
    <Column Name="coinc_inspiral:coinc_event_id" Type="ilwd:char"/>
    <Column Name="coinc_inspiral:combined_far" Type="real_8"/>
    <Column Name="coinc_inspiral:end_time" Type="int_4s"/>
    <Column Name="coinc_inspiral:end_time_ns" Type="int_4s"/>
    <Column Name="coinc_inspiral:ifos" Type="lstring"/>
    <Column Name="coinc_inspiral:mchirp" Type="real_8"/>
    <Column Name="coinc_inspiral:snr" Type="real_8"/>
    <Stream Name="coinc_inspiral:table" Type="Local" Delimiter=",">
      "coinc_event:coinc_event_id:1",2.5e-08,1257995031,585937500,"H1,L1",3.657364130020142,11.8
    </Stream>
  </Table>
</LIGO_LW>
"""


def require_same(path: Path) -> None:
    trigger = read_candidate(path)
    (row,) = read_triggers(path).triggers.to_dicts()
    assert (trigger.event_id, trigger.gps_ns) == (row["event_id"], row["gps_ns"])
    assert "".join(trigger.ifos) == row["ifos"]
    for name in ("far_hz", "snr", "mchirp_det", "mtotal_det"):
        assert getattr(trigger, name) == row[name]
    for ifo in DETECTORS:
        distance = row[f"eff_distance_mpc_{ifo}"]
        # The table's type is single precision, which is what the mathematics takes of a distance.
        found = trigger.eff_distance_mpc.get(ifo)
        assert found == (None if distance is None else pytest.approx(distance, rel=1e-7))


def test_a_candidates_file_gives_the_trigger_of_the_general_reader(tmp_path: Path) -> None:
    path = tmp_path / "H1L1_1.xml"
    path.write_text(FILE)
    require_same(path)


@pytest.mark.real_data
def test_real_candidates_too(real_data: Path) -> None:
    paths = sorted(real_data.glob("spiir/coinc*/*.xml"))
    assert paths
    for path in paths:
        require_same(path)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("coinc_inspiral:table", "other:table", "holds no table coinc_inspiral"),
        ("2.5e-08", "fast", "combined_far: 'fast' is no number"),
        ("2.5e-08,", "", "6 cells, which are no rows of 7 columns"),
        ("2.5e-08", "-1", "far_hz is -1"),
        ('"H1,L1"', '"Q7"', "ifos 'Q7' is no list of detectors"),
        ("</LIGO_LW>", "", "cannot be read"),
        ("3.657364130020142,11.8", '1,1,"",1,1,1,"H1",1,1', "has 2 rows"),
    ],
)
def test_what_is_no_candidates_file_is_refused_in_words(
    before: str, after: str, message: str, tmp_path: Path
) -> None:
    assert before in FILE
    path = tmp_path / "bad.xml"
    path.write_text(FILE.replace(before, after))
    with pytest.raises(PastroError, match=message):
        read_candidate(path)


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    entities = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 10}">' for n in range(12)
    )
    path = tmp_path / "laughs.xml"
    path.write_text(f"<!DOCTYPE x [{entities}]><x>&e11;</x>")
    with pytest.raises(TableError, match="cannot be read"):
        read_candidate(path)


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.xml", tmp_path, Path("a" * 5000), Path("/dev/zero")):
        with pytest.raises(TableError, match=r"no such file|cannot be read"):
            read_candidate(path)
