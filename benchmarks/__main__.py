"""Run every benchmark of speed and write their page: ``python benchmarks docs/explanation``."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_HERE = Path(__file__).parent
_PEERS = ("igwn-ligolw", "pandas", "pyarrow", "pycbc", "p-astro", "polars", "isal", "numpy")
_PREFACE = """# Benchmarks

`make bench` runs the scripts of `benchmarks/`, with `PYTHONPATH=tools`, and writes this page. Each
figure stands beside its peer's, on the same input in the same run, the sides taking turns. Ratios
are what counts, seconds depend on the machine: a ratio is the median over the rounds, with their
range.

{machine}
"""
_SECTION = """
## {title}

{about}

```text
$ python benchmarks/{command}
{output}
```
"""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A script to run, and its heading."""

    title: str
    script: str
    arguments: tuple[str, ...] = ()
    plot: str | None = None

    @property
    def about(self) -> str:
        """First sentence of the script's own description."""
        opening = (_HERE / self.script).read_text().split('"""')[1]
        return " ".join(opening.split("\n\n")[0].split())

    def run(self, folder: Path) -> str:
        """Run the script and return its section of the page."""
        plot = (str(folder / self.plot),) if self.plot else ()
        done = subprocess.run(  # noqa: S603  (our own scripts)
            [sys.executable, str(_HERE / self.script), *self.arguments, *plot],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        section = _SECTION.format(
            title=self.title,
            about=self.about,
            command=" ".join((self.script, *self.arguments)),
            output=done.stdout.strip("\n"),
        )
        return section + (f"\n![{self.title}]({self.plot}.svg)\n" if self.plot else "")


BENCHMARKS = (
    Benchmark(title="Reading LIGO_LW", script="bench_ligolw.py"),
    Benchmark(title="Extraction", script="bench_extract.py"),
    Benchmark(title="Writing LIGO_LW, and simulated campaigns", script="bench_simulate.py"),
    Benchmark(title="Matching and clustering", script="bench_matching.py"),
    Benchmark(title="Processing a campaign", script="bench_process.py"),
    Benchmark(title="Predicting", script="bench_predict.py"),
    Benchmark(title="Mass contour", script="bench_mass_contour.py"),
    Benchmark(title="Counting", script="bench_counts.py"),
    Benchmark(title="Counting, beside ligo.p_astro and PyCBC", script="compare_counts.py"),
    Benchmark(title="Evaluation and report of a million candidates", script="bench_report.py"),
    Benchmark(title="The alert service", script="serve/latency.py"),
    Benchmark(title="Answering inside the pipeline", script="bench_answer.py"),
    Benchmark(title="How the cost grows", script="scaling.py", plot="scaling"),
    Benchmark(title="How the cost grows with the rows", script="growth.py", plot="growth"),
    Benchmark(title="A campaign of four weeks", script="bench_campaign.py"),
)


def machine() -> str:
    """Say what the figures were measured on, and beside which versions."""
    with Path("/proc/cpuinfo").open() as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    peers = ", ".join(f"{name} {metadata.version(name)}" for name in _PEERS)
    return (
        f"Measured with {len(os.sched_getaffinity(0))} cores ({names[0]}), "
        f"Python {platform.python_version()}, {peers}."
    )


def main(folder: Path) -> None:
    sections = []
    for benchmark in BENCHMARKS:
        print(f"{benchmark.title} ...", file=sys.stderr, flush=True)
        sections.append(benchmark.run(folder))
    page = _PREFACE.format(machine=machine()) + "".join(sections)
    (folder / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
