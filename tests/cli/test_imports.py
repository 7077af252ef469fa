"""What each command that answers about one candidate may import, and that its answer is the same.

A library that is not needed is what a person waits for: NumPy takes a tenth of a second to load,
SciPy and Polars two each.
"""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.io.answers import Prediction, as_csv
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.predictions import predict_read
from spiir_pastro.io.trigger_files import read_triggers

COINC = """<?xml version='1.0' encoding='utf-8'?>
<!DOCTYPE LIGO_LW SYSTEM "http://ldas-sw.ligo.caltech.edu/doc/ligolwAPI/html/ligolw_dtd.txt">
<LIGO_LW>
  <Table Name="sngl_inspiral:table">
    <Column Name="sngl_inspiral:ifo" Type="lstring"/>
    <Column Name="sngl_inspiral:eff_distance" Type="real_4"/>
    <Stream Name="sngl_inspiral:table" Type="Local" Delimiter=",">
      "H1",536.69173,
      "L1",498.3
    </Stream>
  </Table>
  <Table Name="coinc_inspiral:table">
    <Column Name="coinc_inspiral:combined_far" Type="real_8"/>
    <Column Name="coinc_inspiral:end_time" Type="int_4s"/>
    <Column Name="coinc_inspiral:end_time_ns" Type="int_4s"/>
    <Column Name="coinc_inspiral:ifos" Type="lstring"/>
    <Column Name="coinc_inspiral:mass" Type="real_8"/>
    <Column Name="coinc_inspiral:mchirp" Type="real_8"/>
    <Column Name="coinc_inspiral:snr" Type="real_8"/>
    <Stream Name="coinc_inspiral:table" Type="Local" Delimiter=",">
      FAR,1257995031,585937500,"H1,L1",9.1,3.657364130020142,11.8
    </Stream>
  </Table>
</LIGO_LW>
"""

SERIES = f"""
  <LIGO_LW Name="COMPLEX8TimeSeries">
    <Array Name="snr:array" Type="complex_8"><Stream Type="Local" Delimiter=" ">
      {"1257995030.51 4.3218765 -3.1415926 " * 55_000}
    </Stream></Array>
  </LIGO_LW>
</LIGO_LW>
"""
"""As SPIIR's uploads carry it for BAYESTAR: 1.9 MB, as much as in SPIIR's file of GW170817."""

MAY_IMPORT: dict[str, set[str]] = {
    "--help": {"click"},
    "--version": {"click"},
    "predict": {"click", "msgspec", "numpy", "typing_extensions"},
    "explain": {"click", "msgspec", "numpy", "typing_extensions"},
    "answer": {"click", "msgspec", "numpy", "typing_extensions"},
    "extract": {"click", "isal", "msgspec", "numpy", "typing_extensions"},
}
"""Of what is not Python's own or ours, by command."""


@pytest.fixture
def coinc(tmp_path: Path) -> Path:
    path = tmp_path / "H1L1_1.xml"
    path.write_text(COINC.replace("FAR", "2.5e-08"))
    return path


def run(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "spiir_pastro", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, input="").stdout


def imported(*arguments: str | Path) -> set[str]:
    """Return the packages that a command adds to those an interpreter has when it starts."""
    script = (
        "import atexit, sys; before = set(sys.modules)\n"
        "atexit.register(lambda: print(*set(sys.modules) - before, file=sys.stderr))\n"
        f"from spiir_pastro.cli import main; sys.argv[1:] = {[*map(str, arguments)]!r}; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, input=""
    )
    packages = {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}
    return packages - set(sys.stdlib_module_names) - {"spiir_pastro", "__mp_main__"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_no_mathematics(option: str) -> None:
    assert imported(option) <= MAY_IMPORT[option]


@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_predict_of_one_candidate_needs_no_data_frames(
    model: Path, coinc: Path, style: str
) -> None:
    used = imported("predict", coinc, "--model", model, "--format", style)
    assert used <= MAY_IMPORT["predict"]


@pytest.mark.parametrize("far", ["2.5e-08", "0"])
@pytest.mark.parametrize("command", ["predict", "explain"])
def test_nor_does_one_with_its_snr_series(
    model: Path, tmp_path: Path, command: str, far: str
) -> None:
    path = tmp_path / "H1L1_1.xml"
    path.write_text(COINC.replace("FAR", far).replace("</LIGO_LW>\n", SERIES))
    assert path.stat().st_size > 1_800_000
    assert imported(command, path, "--model", model) <= MAY_IMPORT[command]


@pytest.mark.real_data
def test_nor_do_real_ones(model: Path, real_data: Path) -> None:
    paths = sorted(real_data.glob("spiir/coinc*/*.xml"), key=lambda path: path.stat().st_size)
    for path in (paths[0], paths[-1]):
        for command in ("predict", "explain"):
            assert imported(command, path, "--model", model) <= MAY_IMPORT[command]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_explain_of_one_candidate_needs_no_data_frames(
    model: Path, coinc: Path, options: tuple[str, ...]
) -> None:
    assert imported("explain", coinc, "--model", model, *options) <= MAY_IMPORT["explain"]


def test_answer_needs_no_data_frames(model: Path) -> None:
    assert imported("answer", "--model", model) <= MAY_IMPORT["answer"]


def test_extract_leaves_the_reading_to_its_workers(coinc: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["--staging", tmp_path / "staging", "--workers", "2"]
    assert imported("extract", coinc, *options) <= MAY_IMPORT["extract"]
    assert (tmp_path / "staging" / "manifest.json").exists()


@pytest.mark.parametrize("far", ["2.5e-08", "0", "2.5e-5"])
@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_one_candidate_is_told_what_it_is_told_among_many(
    model: Path, coinc: Path, far: str, style: str
) -> None:
    """A file of its own goes without data frames, a folder of one file through them."""
    coinc.write_text(COINC.replace("FAR", far))
    alone, among = (
        run("predict", path, "--model", model, "--format", style) for path in (coinc, coinc.parent)
    )
    assert alone == among


def test_explain_says_of_one_candidate_what_it_says_with_its_page(
    model: Path, coinc: Path, tmp_path: Path
) -> None:
    alone = json.loads(run("explain", coinc, "--model", model, "--json"))
    page = tmp_path / "page.html"
    among = json.loads(run("explain", coinc, "--model", model, "--json", "--html", page))
    assert alone == among
    assert list(alone["candidate"]) == list(among["candidate"])


def test_a_file_that_is_no_single_candidates_is_refused_by_the_general_reader(
    model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.xml"
    path.write_text("<LIGO_LW/>")
    command = [sys.executable, "-m", "spiir_pastro", "predict", path, "--model", model]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds no triggers" in done.stderr


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1, width=64) | st.none(),
            st.floats(1e-320, 1e-3) | st.floats(1e-6, 1e-3),
            st.text('aé, "\n', max_size=5) | st.none(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_csv_is_polars_own(rows: list[tuple[float | None, float, str | None]]) -> None:
    names = ("p_astro", "p_astro_low", "note")
    types = {"p_astro": pl.Float64, "p_astro_low": pl.Float64, "note": pl.String}
    table = pl.DataFrame(rows, schema=types, orient="row")
    filled = table.select(
        table[name] if name in names else pl.lit(None).alias(name)
        for name in Prediction.__struct_fields__
    )
    predictions = msgspec.convert(filled.to_dicts(), list[Prediction])
    assert as_csv(predictions) == filled.write_csv()


def test_the_tables_path_gives_the_same_numbers(model: Path, coinc: Path) -> None:
    said = predict_read(load_model(model).model, read_triggers(coinc))
    assert run("predict", coinc, "--model", model, "--format", "csv") == said.write_csv()
