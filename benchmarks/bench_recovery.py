"""How clean foreground and background of a simulated campaign are, against its known truth.

Run it: ``python benchmarks/bench_recovery.py [DAYS]``. It simulates three banks, each with and
without injections, and runs extract and process. Bar: at most 0.1 % noise in the foreground and
at most 0.1 % signals in the background.
"""

import sys
import tempfile
from pathlib import Path

import polars as pl

from spiir_pastro.io.table_storage import read_frame
from spiir_pastro.pipeline.workflow import Workspace, run
from spiir_pastro.simulation import CampaignConfig


def truth(campaign: Path) -> pl.DataFrame:
    """Origin of every row of every run, under the event_id of the processed tables."""
    folder = campaign / "truth"
    return pl.concat(
        pl.read_parquet(file).select(
            pl.format(
                "{}:{}", pl.lit(str(file.relative_to(folder).with_suffix(""))), "event_id"
            ).alias("event_id"),
            "origin",
            "origin_id",
        )
        for file in sorted(folder.glob("*/*/*.parquet"))
    )


def recovered_mchirp(workspace: Workspace) -> pl.DataFrame:
    """Run and chirp mass of every staged trigger, by event_id."""
    suffix = ".postcoh.parquet"
    return pl.concat(
        pl.read_parquet(file, columns=["event_id", "mchirp"]).select(
            pl.format(
                "{}:{}",
                pl.lit(str(file.relative_to(workspace.staging)).removesuffix(suffix)),
                "event_id",
            ).alias("event_id"),
            pl.lit(file.relative_to(workspace.staging).parts[0]).alias("run"),
            "mchirp",
        )
        for file in sorted(workspace.staging.rglob(f"*{suffix}"))
    )


def main(days: float) -> None:
    """Print what each stage took, and the contamination of each table."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(root=Path(folder), workers=2)
        for done in run(workspace, simulation=CampaignConfig(days=days, seed=3)):
            print(f"{done.stage:9} {done.seconds:8.1f} s  {done.result}")
        origins = truth(workspace.campaign)
        for kind, right in (
            ("background", pl.col("origin") == "noise"),
            (
                "foreground",
                (pl.col("origin") == "injection") & (pl.col("origin_id") == pl.col("injection_id")),
            ),
        ):
            files = sorted((workspace.processed / kind).iterdir())
            rows = pl.concat([read_frame(file) for file in files])
            known = rows.join(origins, on="event_id", validate="1:1")
            wrong = known.filter(~right).height
            assert known.height == rows.height
            print(f"{kind}: {wrong} wrong of {rows.height} ({wrong / rows.height:.4%}; bar 0.1 %)")
        seen = origins.filter(origin="injection").join(recovered_mchirp(workspace), on="event_id")
        missed = pl.concat(
            [
                read_frame(file).select(
                    pl.lit(f"{file.stem.lower()}_inj").alias("run"),
                    pl.col("injection_id").alias("origin_id"),
                    pl.col("mchirp_det").alias("true"),
                )
                for file in sorted((workspace.processed / "missed").iterdir())
            ]
        )
        lost = seen.join(missed, on=["run", "origin_id"]).with_columns(
            ((pl.col("mchirp") / pl.col("true") - 1).abs() > 0.1).alias("mass_off")
        )
        lost = lost.group_by("run", "origin_id").agg(pl.col("mass_off").all())
        print(
            f"of {seen.select('run', 'origin_id').n_unique()} injections with any trigger "
            f"{lost.height} are missed, {lost['mass_off'].sum()} of them because their chirp mass "
            "is more than 10 % off"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
