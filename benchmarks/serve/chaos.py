"""Two thousand events while everything is killed at random: none lost, none answered twice."""

import argparse
import tempfile
import time
from pathlib import Path

from spiir_pastro.serve.rehearsal.chaos import rehearse_chaos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        judged = rehearse_chaos(
            Path(folder),
            events=arguments.events,
            kills=arguments.kills,
            seed=arguments.seed,
            patience_s=180.0,
        )
        log = (Path(folder) / "service.log").read_text()
    print(f"chaos       {judged} after {arguments.kills} kills, ", end="")
    print(
        f"{log.count('service.started')} lives, {log.count('upload.postponed')} failed attempts, "
    )
    print(f"            {time.monotonic() - begun:.0f} s (bar: lost, doubled, unlabelled 0)")


if __name__ == "__main__":
    main()
