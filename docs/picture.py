"""Draw the pictures of the documentation from what ``make demo`` left.

::

    python docs/picture.py demo

``overview.png`` is the README's. ``report.png`` is the first screen of the report, as Chromium
shows it; without Chromium it stays as it is.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from overview_figure import overview_figure

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
INTO = Path(__file__).parent / "_static"


def main(demo: Path) -> None:
    """Draw both pictures."""
    candidates = pl.read_csv(demo / "reports" / "candidates.csv", infer_schema_length=None)
    drawing = overview_figure(candidates)
    drawing.savefig(INTO / "overview.png", dpi=130, metadata={"Software": None})
    photograph(demo / "reports" / "report.html", INTO / "report.png")


def photograph(page: Path, into: Path) -> None:
    """Take a picture of a page's first screen."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"no Chromium here, so {into} stays as it is")
    with TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={profile}", "--window-size=1400,900", "--virtual-time-budget=5000",
            f"--screenshot={into.resolve()}", page.resolve().as_uri(),
        ]  # fmt: skip
        subprocess.run(  # noqa: S603  (no shell; our own page)
            command, check=True, capture_output=True, timeout=120
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
