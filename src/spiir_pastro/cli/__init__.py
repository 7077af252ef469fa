"""The command line: a command reads parameters, calls one function and writes.

Commands load when called, so ``spiir-pastro --help`` answers at once.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.cli.extras import remedy_for
from spiir_pastro.errors import ConfigError, IncompleteError, PastroError

__all__ = ["COMMANDS", "Pipeline", "app", "main"]

COMMANDS: dict[str, str] = {
    "simulate": "Write a SPIIR campaign with known truth into DIRECTORY.",
    "extract": "Turn LIGO_LW files, directories of them, or a runs file's runs into Parquet.",
    "process": "Cluster, label and decontaminate staged runs into foreground and background.",
    "distances": "Run BAYESTAR on candidates: distances to fit effective distances to.",
    "fit": "Fit a model on a processed campaign, or on uploads and known mergers.",
    "update": "Add new candidates to the counts of MODEL, as if they had been in its fit.",
    "rescale": "Scale the counts of MODEL to detectors of another sensitivity than in training.",
    "predict": "Give every trigger its probabilities BNS, NSBH, BBH, Terrestrial.",
    "explain": "Say why a candidate got its probabilities.",
    "evaluate": "Compare a model with injections, or with the known mergers among uploads.",
    "report": "Say what a change did to the model: an evaluation beside an earlier one.",
    "answer": "Answer triggers inside the pipeline: a line in, a line of p_astro.json out.",
    "listen": "Answer SPIIR's IGWN Alerts with their source probabilities on GraceDB.",
    "backfill": "Answer events on GraceDB that lack our file, through the service's spool.",
    "replay": "Feed recorded alerts through the alert service's own code.",
    "spool": "List what the alert service answered, what waits, and with which model.",
    "compare": "Say how two models, or two evaluations, differ.",
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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing them all, or a value of an option."""
        named = [
            CompletionItem(name, help=line)
            for name, line in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write what the exit codes mean."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in ExitCode])


@click.group(cls=Pipeline, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spiir-pastro")
@click.option(
    "--params",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with a section a command: values for options that are not given.",
)
@click.pass_context
def app(ctx: click.Context, params: Path | None) -> None:
    """Give every SPIIR trigger its probabilities BNS, NSBH, BBH, Terrestrial."""
    if params is not None and ctx.invoked_subcommand is not None:
        section = _section(params, ctx.invoked_subcommand, ctx)
        ctx.default_map = {ctx.invoked_subcommand: section}


def _section(path: Path, name: str, ctx: click.Context) -> dict[str, Any]:
    """Read a command's section of a parameter file; a name that is no option is a mistake."""
    import yaml  # noqa: PLC0415  (--help answers at once)

    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise ConfigError(f"{path}: no YAML: {exc}; correct it") from exc
    section = content.get(name) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: no section {name!r}; give it, with the command's options")
    command = app.get_command(ctx, name)
    options = sorted(p.name for p in command.params if p.name) if command else []
    if unknown := sorted(set(map(str, section)) - set(options)):
        raise ConfigError(
            f"{path}: {name}.{unknown[0]} is no option of {name}; keep to {', '.join(options)}"
        )
    return section


def main() -> None:
    """Run the command line; an error is one line on stderr, and ends with its `ExitCode`.

    Linear algebra keeps to one thread, unless the environment says otherwise: more win nothing, and
    the last digits would depend on how many cores there are.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        code = app(prog_name="spiir-pastro", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = ExitCode.INTERRUPTED
    except IncompleteError as error:
        click.echo(f"spiir-pastro: error: {error}", err=True)
        code = ExitCode.INCOMPLETE
    except (PastroError, OSError) as error:
        click.echo(f"spiir-pastro: error: {_message(error)}", err=True)
        code = ExitCode.REFUSED
    except ModuleNotFoundError as error:
        remedy = remedy_for(error.name or "")
        if remedy is None:
            raise
        click.echo(f"spiir-pastro: error: {remedy}", err=True)
        code = ExitCode.REFUSED
    sys.exit(code or ExitCode.DONE)


def _message(error: PastroError | OSError) -> str:
    """Say what is wrong in one line; of a disk that is full or a folder that is closed, which."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
