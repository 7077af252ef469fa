"""The command line: a command reads parameters, calls one function and writes.

Commands load when called, so ``spiir-pastro --help`` answers at once.
"""

import sys
from importlib import import_module

import click

from spiir_pastro.errors import PastroError

__all__ = ["COMMANDS", "Pipeline", "app", "main"]

COMMANDS: dict[str, str] = {
    "simulate": "Write a SPIIR campaign with known truth into DIRECTORY.",
    "extract": "Turn LIGO_LW files, directories of them, or a runs file's runs into Parquet.",
    "process": "Cluster, label and decontaminate staged runs into foreground and background.",
    "fit": "Fit a model on a processed campaign, or on uploads and known mergers.",
    "predict": "Give every trigger its probabilities BNS, NSBH, BBH, Terrestrial.",
    "explain": "Say why a candidate got its probabilities.",
    "evaluate": "Compare a model with injections, or with the known mergers among uploads.",
    "listen": "Answer SPIIR's IGWN Alerts with their source probabilities on GraceDB.",
    "replay": "Feed recorded alerts through the alert service's own code.",
    "run": "Run every stage on a runs file, or on a simulated campaign if none is given.",
}
"""Command name to the line ``--help`` shows, in pipeline order.

The command lives in the module ``spiir_pastro.cli.<name>`` as ``command``.
"""


class Pipeline(click.Group):
    """A group that lists its commands in pipeline order and imports only the one called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """Return the names in pipeline order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command called."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Pipeline, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spiir-pastro")
def app() -> None:
    """Give every SPIIR trigger its probabilities BNS, NSBH, BBH, Terrestrial."""


def main() -> None:
    """Run the command line; one of our errors is one line on stderr and exit code 1."""
    try:
        app(prog_name="spiir-pastro")
    except PastroError as error:
        click.echo(f"spiir-pastro: error: {error}", err=True)
        sys.exit(1)
