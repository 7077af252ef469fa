"""Answers inside the pipeline, a line in and a line out: when the first comes, how long one takes.

Run it: ``python benchmarks/bench_answer.py [ANSWERS]``. Bars: the first within a second, then less
than 2 ms each.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_predict import write_model_and_rows

_LINE = b'{"far": 1e-9, "snr": 9.1, "mchirp": 1.2, "ifos": "H1L1", "end_time": 1264316116.5}\n'


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model, _ = write_model_and_rows(Path(folder), 1)
        command = [sys.executable, "-m", "spiir_pastro", "answer", "--model", str(model)]
        begun = time.perf_counter()
        with subprocess.Popen(  # noqa: S603  (our own command)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            ticks = [begun]
            for _ in range(count + 1):
                process.stdin.write(_LINE)
                process.stdin.flush()
                process.stdout.readline()
                ticks.append(time.perf_counter())
            process.stdin.close()
    first_s, *others_s = np.diff(ticks)
    median, high = 1e3 * np.percentile(others_s, [50, 99])
    print(f"first answer after {first_s:.2f} s; ", end="")
    print(f"then {count}, median {median:.2f} ms, 99 % {high:.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)
