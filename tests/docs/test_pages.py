"""What a page tells people to type does what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(page: str, language: str, *, after: str = "") -> list[str]:
    text = (DOCS / page).read_text().partition(after)[2] if after else (DOCS / page).read_text()
    return [code for kind, code in _BLOCK.findall(text) if kind == language]


def _shell(commands: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607  (whichever bash there is)
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_word_for_word(shell: dict[str, str], tmp_path: Path) -> None:
    said = [
        _shell(block, tmp_path, shell)
        for block in _blocks("tutorial.md", "sh", after="## Everything at once")
    ]
    assert "open demo/reports/report.html" in said[0]
    assert (tmp_path / "demo" / "reports" / "report.html").stat().st_size > 100_000
    probabilities = pl.read_csv(tmp_path / "probabilities.csv", infer_schema_length=None)
    assert probabilities.height > 10_000
    sums = probabilities.drop_nulls("p_astro").select(
        pl.sum_horizontal("BNS", "NSBH", "BBH", "Terrestrial")
    )
    assert sums.to_series().is_between(1 - 1e-9, 1 + 1e-9).all()
    assert "density at FAR" in said[-1]


def test_another_search_from_its_csv_to_a_model(
    uploads: tuple[Path, Path],
    distances: Path,
    shell: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pl.read_csv(uploads[0]).select(
        id="graceid",
        gps=pl.col("end_time") + pl.col("end_time_ns") * 1e-9,
        ifar_years=1 / (pl.col("far") * 31_557_600),
        network_snr="snr",
        template_mchirp="mchirp",
        detectors="ifos",
    ).write_csv("search.csv")
    (code,) = _blocks("how-to/new-pipeline.md", "python")
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102  (the page's own)
    assert pl.read_parquet("triggers.parquet").height == 1540
    lines = [line.removeprefix("$ ") for line in _blocks("how-to/new-pipeline.md", "console")]
    commands = "\n".join(lines).replace("\n$ ", "\n")
    extra = f"--known-events {uploads[1]}"
    commands = commands.replace("fit ", f"fit {extra} --distances {distances} ")
    said = _shell(commands.replace("evaluate ", f"evaluate {extra} "), tmp_path, shell)
    assert "1540 candidates, 40 of them signals" in said


def test_the_jobs_that_a_cluster_is_asked_for(shell: dict[str, str], tmp_path: Path) -> None:
    condor, slurm = _blocks("how-to/cluster.md", "python")
    recipes = [block.partition("cluster.adapt")[0] for block in (condor, slurm)]
    (tmp_path / "cluster.py").write_text("\nprint(cluster.job_script())\n".join([*recipes, ""]))
    said = _shell(f"{sys.executable} cluster.py", tmp_path, shell)
    condor, _, slurm = said.partition("#!/usr/bin/env bash")
    assert "accounting_group = your.accounting.group" in condor
    assert "#SBATCH --mem=2G" in slurm
    for job in (condor, slurm):
        assert "export POLARS_MAX_THREADS=1" in job
        assert "--nthreads 1" in job
    _shell(f"bash -n <<'JOB'\n{slurm}\nJOB", tmp_path, shell)


def test_the_mass_gap_s_share(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = _blocks("how-to/new-class.md", "python")
    exec(f"{code}\nprint(in_gap.round(2).tolist())", {})  # noqa: S102  (the page's own)
    assert capsys.readouterr().out == "[0.58, 0.27]\n"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE))
    pages = {
        str(page.relative_to(DOCS).with_suffix(""))
        for pattern in ("*.md", "*.ipynb")
        for page in DOCS.rglob(pattern)
        if "_build" not in page.parts
    }
    assert pages == {*listed, "index"}


def test_links_between_files_outside_the_site_lead_somewhere() -> None:
    root = DOCS.parent
    for page in (root / "README.md", root / "CONTRIBUTING.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())
        assert links
        assert [link for link in links if not (root / link).exists()] == []


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((DOCS.parent / "CITATION.cff").read_text())
    pyproject = (DOCS.parent / "pyproject.toml").read_text()
    assert f'version = "{citation["version"]}"' in pyproject


def test_the_messages_that_troubleshooting_explains_are_said() -> None:
    sources = sorted((DOCS.parent / "src").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", "".join(path.read_text() for path in sources))
    page = (DOCS / "how-to" / "troubleshooting.md").read_text()
    told = [
        part.strip(" ,;:")
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for message in re.findall("`([^`]+)`", row)
        for part in re.split(r"\.\.\.|\bN\b|\d+|far or far_hz \(Hz\)|data/staging", message)
    ]
    told = [part for part in told if len(part) > 8 and part != "No space left on device"]
    assert len(told) > 15
    assert [part for part in told if part not in code] == []
