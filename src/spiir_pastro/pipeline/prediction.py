"""Give triggers, of files or of a table, their probabilities, block after block, on every core.

Blocks come out in the order they went in, and are the same for any number of workers.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from spiir_pastro.errors import NoTriggersError, TableError
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.io.predictions import as_table, predict_read
from spiir_pastro.io.trigger_files import trigger_blocks
from spiir_pastro.io.trigger_tables import TriggerRead, to_candidates
from spiir_pastro.models.blocks import in_order, row_blocks
from spiir_pastro.models.pastro import PastroModel

TRIGGER_SUFFIXES = (".xml", ".xml.gz", ".csv", ".parquet", ".json")
"""Of files that may hold triggers."""


def blocks_of(paths: Sequence[Path], left_out: Callable[[str], None]) -> Iterator[TriggerRead]:
    """Read files, and of folders all files below that hold triggers, by name.

    Parameters
    ----------
    paths
        Files and folders.
    left_out
        Told why a file below a folder holds no triggers: segments and statistics lie beside them.

    Raises
    ------
    TableError
        If a file cannot be read, or a folder holds no file of triggers.
    """
    for path in paths:
        if not path.is_dir():
            yield from trigger_blocks(path)
            continue
        held, reason = False, f", none ends in {', '.join(TRIGGER_SUFFIXES)}"
        for file in sorted(path.rglob("*")):
            if not (file.is_file() and file.name.endswith(TRIGGER_SUFFIXES)):
                continue
            try:
                yield from trigger_blocks(file)
                held = True
            except NoTriggersError as exc:
                reason = f": {exc}"
                left_out(str(exc))
        if not held:
            raise TableError(f"{path} holds no file of triggers{reason}")


def predict_files(
    model: PastroModel,
    paths: Sequence[Path],
    *,
    left_out: Callable[[str], None] = lambda _reason: None,
    intervals: bool = True,
    properties: bool = False,
    workers: int | None = None,
) -> Iterator[tuple[TriggerRead, pl.DataFrame]]:
    """Yield blocks of triggers and their predictions, a row for each row of the source.

    Parameters
    ----------
    model
        What says it.
    paths
        Files, see `spiir_pastro.io.trigger_files.read_triggers`, and folders of them.
    left_out
        Told why a file below a folder holds no triggers.
    intervals
        Whether p_astro gets its interval, which takes most of the time.
    properties
        Whether HasNS, HasMassGap, HasRemnant and the source-frame chirp mass are worked out, half
        a millisecond a row.
    workers
        Threads; one for each core if not given.

    Raises
    ------
    TableError, AlertError
        If a file cannot be read.
    """
    reach = model.sources.reach(read_horizons()) if properties else None
    predict = partial(predict_read, model, intervals=intervals, reach=reach)
    return in_order(predict, blocks_of(paths, left_out), workers=workers)


def predict_rows(
    model: PastroModel,
    triggers: pl.DataFrame,
    *,
    intervals: bool = True,
    workers: int | None = None,
) -> pl.DataFrame:
    """Return the predictions of canonical triggers, a row each; see `predict_files`."""

    def predict(block: pl.DataFrame) -> pl.DataFrame:
        return as_table(model.predict(to_candidates(block), intervals=intervals))

    blocks = (triggers[rows] for rows in row_blocks(triggers.height))
    return pl.concat([block for _, block in in_order(predict, blocks, workers=workers)])
