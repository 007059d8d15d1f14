"""`fedbert-eval`: the group of commands, and what ends a command with which exit code."""

import sys
import traceback
from typing import NoReturn

import click

from evaluation.cli.audit import audit
from evaluation.cli.budget import budget
from evaluation.cli.compare import compare
from evaluation.cli.data import data
from evaluation.cli.exit_codes import BAD_INPUT, BROKEN_PIPE, DEFECT, INTERRUPTED
from evaluation.cli.export import export
from evaluation.cli.frontier import frontier
from evaluation.cli.grid_commands import privacy_utility, report
from evaluation.cli.listing import list_, schema
from evaluation.cli.plot import plot
from evaluation.cli.shared import patient
from evaluation.cli.training_commands import finetune, pretrain
from fedbert.errors import InputError
from reports.terminal import guard, say

OURS = "a defect of the program, not of what it was given: please report the lines above"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fedbert-privacy")
def cli() -> None:
    """How much does a federated BERT leak, to whom, and what did the protection cost?"""


COMMANDS = (
    privacy_utility, frontier, report, plot, compare, list_, schema, budget, pretrain, finetune,
    export, audit, data,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


def _defect() -> NoReturn:
    """Show what nobody expected, and end with a code that stands for nothing else."""
    for line in [*traceback.format_exc().splitlines(), f"error: {OURS}"]:
        say(line, err=True)
    sys.exit(DEFECT)


def main() -> None:
    """Run the command line and end with one of `evaluation.cli.exit_codes`."""
    guard()
    patient()
    try:
        code = cli.main(prog_name="fedbert-eval", standalone_mode=False)
    except InputError as error:
        say(f"error: {' '.join(str(error).split())}", err=True)
        code = BAD_INPUT
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        more = "" if context is None else f" (see {context.command_path} --help)"
        say(f"error: {' '.join(error.format_message().split())}{more}", err=True)
        code = BAD_INPUT
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # which click takes for a hand that stops it
            _defect()
        say("stopped; the same command continues where this one ended", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        say(f"error: {_told(error)}", err=True)
        code = BAD_INPUT
    except Exception:
        _defect()
    sys.exit(code)


def _told(error: OSError) -> str:
    """Return in a line what became of which file.

    >>> _told(OSError(28, "No space left on device", "run/samples.json"))
    'expected to read or write run/samples.json, got: No space left on device'
    """
    if error.filename is None:
        return " ".join(str(error).split()) or type(error).__name__
    return f"expected to read or write {error.filename}, got: {error.strerror}"


if __name__ == "__main__":
    main()
