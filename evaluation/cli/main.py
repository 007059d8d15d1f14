"""`fedbert-eval`: the group of commands, and what ends a command with which exit code."""

import sys

import click

from evaluation.cli.audit import audit
from evaluation.cli.budget import budget
from evaluation.cli.data import data
from evaluation.cli.exit_codes import BAD_INPUT, BROKEN_PIPE, INTERRUPTED
from evaluation.cli.grid_commands import plot, privacy_utility, report
from evaluation.cli.listing import list_, schema
from evaluation.cli.training_commands import finetune, pretrain
from fedbert.errors import InputError
from reports.terminal import guard, say


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fedbert-privacy")
def cli() -> None:
    """How much does a federated BERT leak, to whom, and what did the protection cost?"""


for command in (
    privacy_utility, report, plot, list_, schema, budget, pretrain, finetune, audit, data,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line and end with one of `evaluation.cli.exit_codes`."""
    guard()
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
    except (click.Abort, KeyboardInterrupt):
        say("stopped; the same command continues where this one ended", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        say(f"error: {error}", err=True)
        code = BAD_INPUT
    sys.exit(code)


if __name__ == "__main__":
    main()
