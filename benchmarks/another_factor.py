"""Does another column pay as a factor of the densities? The combined chi-square, on a campaign.

::

    python benchmarks/another_factor.py PROCESSED

Each half of a processed campaign's candidates, in time, is predicted from the other: by the factors
there are, and by these and the density of ln(chi-square) given FAR, SNR and chirp mass, Student's
t about a quadratic of those. Counts are those of the half that was fitted.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logsumexp

from spiir_pastro.domain import ASTROPHYSICAL, Candidates
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.io.populations import MASS_PLANE, read_populations
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.fitting import fit_densities
from spiir_pastro.models.regression import StudentRegression
from spiir_pastro.models.source_model import SourceModel, network_reach
from spiir_pastro.pipeline.training import fitted_response, from_processed

Floats = NDArray[np.float64]

COLUMN = "combined_chisq"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("processed", type=Path)
    settings = FitSettings()
    table = from_processed(parser.parse_args().processed, settings=settings).labelled
    table = table.filter(pl.col(COLUMN) > 0)
    late = (table["gps_ns"] > table["gps_ns"].median()).to_numpy()
    halves = [held_out(table, test, settings) for test in (late, ~late)]
    without, more = (np.concatenate(columns) for columns in zip(*halves, strict=True))
    gain = without - more
    error = gain.std() / np.sqrt(gain.size)
    print(f"{gain.size} candidates, {table['is_signal'].sum()} of them signals: log loss")
    print(f"without {COLUMN} {without.mean():.4f}, with it {more.mean():.4f}")
    print(f"gain {gain.mean():.4f} +- {error:.4f}")


def held_out(
    table: pl.DataFrame, test: NDArray[np.bool_], settings: FitSettings
) -> tuple[Floats, Floats]:
    """Return the log loss of each candidate of a part, without the column and with it."""
    train = table.filter(pl.Series(~test))
    known, unseen = to_candidates(train), to_candidates(table.filter(pl.Series(test)))
    is_signal = train["is_signal"].to_numpy()
    classes = train["source_class"].fill_null("").to_numpy().astype(np.str_)
    threshold = settings.far_threshold_hz
    densities = fit_densities(
        known,
        is_signal=is_signal,
        classes=classes,
        sources=SourceModel(
            populations=read_populations(MASS_PLANE),
            response=fitted_response(train, settings.response),
        ),
        reach=network_reach(read_horizons()),
        far_threshold_hz=threshold,
    )
    counts = np.array([(classes == str(source)).sum() for source in ASTROPHYSICAL])
    factors = densities.log_bayes_factors(unseen, far_threshold_hz=threshold)
    odds = logsumexp(factors + np.log(counts / (~is_signal).sum()), axis=1)
    given = design(known, threshold), design(unseen, threshold)
    log_values = np.log(table[COLUMN].to_numpy())
    signal, noise = (
        StudentRegression.fit(log_values[~test][rows], given[0][rows])
        for rows in (is_signal, ~is_signal)
    )
    y = log_values[test]
    added = odds + signal.log_pdf(y, given[1]) - noise.log_pdf(y, given[1])
    truth = table.filter(pl.Series(test))["is_signal"].to_numpy()
    return surprise(odds, truth), surprise(added, truth)


def design(candidates: Candidates, threshold_hz: float) -> Floats:
    """Return a quadratic of what the column is given, (n, 8)."""
    x = np.maximum(np.log(candidates.far_hz / threshold_hz), -12.0)
    m, s = np.log(candidates.mchirp_det), np.log(candidates.snr)
    return np.column_stack([np.ones_like(x), x, m, m**2, s, s**2, x * s, x**2])


def surprise(log_odds: Floats, truth: NDArray[np.bool_]) -> Floats:
    return np.logaddexp(0, np.where(truth, -log_odds, log_odds))


if __name__ == "__main__":
    main()
