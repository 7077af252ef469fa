"""Show the service at work: ``python -m rehearsal [FOLDER]``, in tools/; ``make demo-alerts``.

Starts a broker, a stand-in for GraceDB and the service on loopback, sends the sample alerts and
prints what arrived. The status page stays up until Ctrl-C, or for ``--seconds``.
"""

import json
import tempfile
import time
from pathlib import Path

import click

from rehearsal.sample_alerts import other_alerts, sample_alerts
from rehearsal.stage import GROUP, TOPICS, Stage
from rehearsal.stand_in import read_journal

EVENTS = 12


@click.command(help=__doc__)
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--seconds", type=float, help="End by itself after so long.")
def main(folder: Path | None, seconds: float | None) -> None:
    """Run the show."""
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        stage = Stage(place)
        try:
            _show(stage)
            click.echo(f"\nstatus page {stage.status_url}   (Ctrl-C to end)")
            time.sleep(seconds if seconds is not None else 1e9)
        except KeyboardInterrupt:
            click.echo()
        finally:
            stage.close()


def _show(stage: Stage) -> None:
    stage.wait_until_up()
    click.echo(f"broker      {stage.broker.address}, topics {', '.join(TOPICS)}")
    click.echo(f"settings    {stage.config}")
    alerts = list(sample_alerts(EVENTS))
    stage.publish(alerts)
    stage.broker.publish(f"{GROUP}.{TOPICS[0]}", other_alerts())
    judged = stage.wait_for({str(alert["uid"]) for alert in alerts}, 30.0)
    click.echo(
        f"alerts      {EVENTS} events on each of {len(TOPICS)} topics, "
        f"{len(other_alerts())} that get no answer\n"
    )
    for entry in filter(lambda entry: entry.filename, read_journal(stage.journal)):
        probabilities = json.loads(entry.content)
        shares = "  ".join(f"{name} {p:.3f}" for name, p in probabilities.items())
        click.echo(f"{entry.event_id:>4}  {entry.filename}  {entry.label}   {shares}")
    click.echo(
        f"\n{judged.events} events: {judged.lost} lost, {judged.doubled} doubled, "
        f"{judged.unlabelled} without label"
    )


if __name__ == "__main__":
    main()
