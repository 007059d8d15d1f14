"""`fedbert-eval`: the group of commands, and what ends a command with which exit code."""

import shlex
import sys
from importlib import import_module
from typing import NoReturn

import click

from evaluation.cli.exit_codes import BAD_INPUT, BROKEN_PIPE, DEFECT, INTERRUPTED
from evaluation.cli.shared import examples, patient
from fedbert.errors import InputError, nearest
from reports.terminal import guard, hush, say

OURS = "a defect of the program, not of what it was given: please report the lines above"
COMMANDS = {
    "audit": "audit:audit",
    "budget": "budget:budget",
    "compare": "compare:compare",
    "completion": "completion:completion",
    "data": "data:data",
    "export": "export:export",
    "finetune": "training_commands:finetune",
    "frontier": "frontier:frontier",
    "list": "listing:list_",
    "plot": "plot:plot",
    "pretrain": "training_commands:pretrain",
    "privacy-utility": "grid_commands:privacy_utility",
    "report": "grid_commands:report",
    "schema": "listing:schema",
    "show": "show:show",
}
"""The module of `evaluation.cli` that holds each command, and its name there."""

RESUMED = ("privacy-utility", "frontier", "pretrain", "finetune")
"""Commands that go on where they were stopped."""


class LateGroup(click.Group):
    """A group that imports a command when it is asked for: the others cost nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted({*COMMANDS, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None for a name that is none."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name not in COMMANDS:
            return found
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"evaluation.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; a name that is none is refused with the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = nearest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{error.message.rstrip('.')}{near}", ctx) from None


@click.group(
    cls=LateGroup,
    epilog=examples("privacy-utility mine.toml --dry-run", "list attacks", "report runs/mine"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="fedbert-privacy")
def cli() -> None:
    """How much does a federated BERT leak, to whom, and what did the protection cost?"""


def _defect() -> NoReturn:
    """Show what nobody expected, and end with a code that stands for nothing else."""
    import traceback

    for line in [*traceback.format_exc().splitlines(), f"error: {OURS}"]:
        say(line, err=True, always=True)
    sys.exit(DEFECT)


def main() -> None:
    """Run the command line and end with one of `evaluation.cli.exit_codes`."""
    guard()
    patient()
    hush(False)
    try:
        code = cli.main(prog_name="fedbert-eval", standalone_mode=False)
    except InputError as error:
        say(f"error: {' '.join(str(error).split())}", err=True, always=True)
        code = BAD_INPUT
    except click.exceptions.NoArgsIsHelpError as error:  # its message is the whole help
        for line in error.format_message().splitlines():
            say(line, err=True, always=True)
        code = BAD_INPUT
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        more = "" if context is None else f" (see {context.command_path} --help)"
        say(f"error: {' '.join(error.format_message().split())}{more}", err=True, always=True)
        code = BAD_INPUT
    except (click.Abort, KeyboardInterrupt) as error:
        if isinstance(error.__cause__, EOFError):  # which click takes for a hand that stops it
            _defect()
        say(_stopped(sys.argv[1:]), err=True, always=True)
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        say(f"error: {_told(error)}", err=True, always=True)
        code = BAD_INPUT
    except Exception:
        _defect()
    sys.exit(code)


def _stopped(words: list[str]) -> str:
    """Return how to go on after a command was stopped by hand.

    >>> _stopped(["frontier", "my grid.toml"])
    "stopped; the same command continues where this one ended: fedbert-eval frontier 'my grid.toml'"
    >>> _stopped(["report", "runs/mine"])
    'stopped; to begin anew: fedbert-eval report runs/mine'
    """
    again = shlex.join(["fedbert-eval", *words])
    if words[:1] and words[0] in RESUMED:
        return f"stopped; the same command continues where this one ended: {again}"
    return f"stopped; to begin anew: {again}"


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
