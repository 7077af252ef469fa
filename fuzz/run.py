"""Fuzz a target for a while, then keep what is worth keeping: see README.md.

Usage: ``run.py ligolw|alerts SECONDS``.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
FOUND = "found-"
"""Begins the names of inputs that once failed; they are kept whatever they cover."""


def main(target: str, seconds: int) -> int:
    """Fuzz from the kept corpus on; merge and pack if nothing is found."""
    kept, work = HERE / "corpus" / f"{target}.zip", HERE.parent / "build" / "fuzz" / target
    corpus, merged = work / "corpus", work / f"merged-{os.getpid()}"
    corpus.mkdir(parents=True, exist_ok=True)
    merged.mkdir()
    with zipfile.ZipFile(kept) as archive:
        archive.extractall(corpus)
        archive.extractall(merged, [n for n in archive.namelist() if n.startswith(FOUND)])
    limits = ["-max_len=8192", "-timeout=20", "-rss_limit_mb=4096", f"-artifact_prefix={work}/"]
    failed = _fuzz(target, corpus, f"-max_total_time={seconds}", "-print_final_stats=1", *limits)
    if failed:
        return failed  # what was found stands in the work folder
    _fuzz(target, "-merge=1", merged, corpus, *limits)
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(merged.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return 0


def _fuzz(target: str, *arguments: str | Path) -> int:
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    # To merge, libFuzzer starts the script again by its first line.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [HERE / f"fuzz_{target}.py", *arguments]
    environment = os.environ | one_core | {"PATH": path}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
