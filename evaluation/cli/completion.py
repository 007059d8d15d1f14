"""`fedbert-eval completion`: the script by which a shell completes commands, options and names."""

import click

from evaluation.cli.shared import examples
from reports.terminal import say

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_FEDBERT_EVAL_COMPLETE"
WHERE = {
    "bash": '# Put into ~/.bashrc:  eval "$(fedbert-eval completion bash)"',
    "zsh": '# Put this line into ~/.zshrc, after compinit:  eval "$(fedbert-eval completion zsh)"',
    "fish": "# fedbert-eval completion fish > ~/.config/fish/completions/fedbert-eval.fish",
}


@click.command(
    epilog=examples("completion bash", "completion fish"),
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete.

    Commands, options, names of attacks and mechanisms (of `list`) and run folders are completed.
    """
    from click.shell_completion import get_completion_class

    from evaluation.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"expected one of {', '.join(SHELLS)}, got {shell}")
    made = kind(cli, {}, "fedbert-eval", VARIABLE)
    first, *rest = (made.source_template % made.source_vars()).strip().splitlines()
    own = first.startswith("#compdef")  # which zsh reads in a first line alone, of a file in fpath
    for line in [*([first, WHERE[shell]] if own else [WHERE[shell], first]), *rest]:
        say(line)
