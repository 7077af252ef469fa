"""Options that several commands have: which candidates to work on, and files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

T = TypeVar("T")

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
"""What is there, to be read."""

NEW_FILE = click.Path(path_type=Path, dir_okay=False)
NEW_FOLDER = click.Path(path_type=Path, file_okay=False)
"""What is to be written."""

POSITIVE = click.FloatRange(min=0, min_open=True)
NOT_NEGATIVE = click.FloatRange(min=0)

setting = partial(click.option, show_default=True)
"""An option whose default ``--help`` shows."""

model_option = click.option("--model", type=FILE, required=True, help="Model file that fit wrote.")

known_events_option = click.option(
    "--known-events",
    type=FILE,
    help="Known mergers (name, gps, ...), or GWOSC's own CSV or JSON; default: GWTC-1 to GWTC-4.0.",
)


def candidate_options(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command ``--triggers``, ``--processed`` and ``--known-events``; see `from_either`."""
    triggers = click.option("--triggers", type=FILE, help="Uploaded triggers, CSV or Parquet.")
    processed = click.option(
        "--processed", type=FOLDER, help="A processed campaign, in place of uploads."
    )
    return triggers(processed(known_events_option(command)))


def from_either(
    processed: Path | None,
    triggers: Path | None,
    *,
    of_campaign: Callable[[Path], T],
    of_uploads: Callable[[Path], T],
) -> T:
    """Begin with a processed campaign or with uploads; UsageError unless one of them is given."""
    match (processed, triggers):
        case (Path(), None):
            return of_campaign(processed)
        case (None, Path()):
            return of_uploads(triggers)
    raise click.UsageError("give either --processed DIR or --triggers FILE")
