"""Help texts: every command has examples, each of which parses; shells complete what there is."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from evaluation.cli.completion import SHELLS, VARIABLE
from evaluation.cli.main import COMMANDS, cli


def every(command: click.Command, words: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """Each command below one, with its epilog."""
    found = [(words, command.epilog or "")]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += every(below, (*words, name))
    return found


EPILOGS = every(cli, ())


def parse(words: list[str]) -> None:
    """Parse a command as click does, down to the last option; run nothing."""
    command, context = cli, None
    while isinstance(command, click.Group):
        context = command.make_context(command.name, list(words), parent=context)
        words = [*context._protected_args, *context.args]
        name, below, words = command.resolve_command(context, words)
        assert below is not None, name
        command = below
    command.make_context(command.name, list(words), parent=context)


@pytest.mark.parametrize(("words", "epilog"), EPILOGS, ids=lambda each: " ".join(each)[:30])
def test_every_example_parses(words: tuple[str, ...], epilog: str) -> None:
    told = [line.split() for line in epilog.splitlines() if line.startswith("  fedbert-eval ")]
    assert told, f"no example of {' '.join(words)}"
    for _, *example in told:
        parse(example)


def test_an_example_that_does_not_parse_is_seen() -> None:
    for wrong in ("list atacks", "report", "budget noise --epsilon 8", "show a b c"):
        with pytest.raises(click.UsageError):
            parse(wrong.split())


def test_commands_are_what_there_is() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None and command.name == name and command.get_short_help_str()
    assert cli.get_command(context, "lst") is None


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_how_to_complete(here, shell: str) -> None:
    done = here("completion", shell)
    *first, _ = script = done.stdout.splitlines()
    assert done.returncode == 0 and any("fedbert-eval completion" in each for each in first[:2])
    assert (first[0] == "#compdef fedbert-eval") is (shell == "zsh")
    assert VARIABLE in "\n".join(script) and f"{shell}_complete" in "\n".join(script)


def test_commands_names_and_run_folders_are_completed(tmp_path, monkeypatch) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "records.jsonl").touch()
    (tmp_path / "runs" / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    made = ShellComplete(cli, {}, "fedbert-eval", VARIABLE)

    def complete(*words: str, begun: str = "") -> list[str]:
        return [each.value for each in made.get_completions(list(words), begun)]

    assert complete(begun="pr") == ["pretrain", "privacy-utility"]
    assert complete("list", begun="a") == ["attacks"]
    assert complete("list", "attacks", begun="lira") == ["lira_offline", "lira_online"]
    assert complete("list", "mechanisms", begun="dp_s") == ["dp_sgd"]
    assert complete("show", begun="runs/") == ["runs/mine"] == complete("report", begun="runs/m")


ASKED = {"plot": "fedbert-eval pl", "gaussian": "fedbert-eval list mechanisms gau",
         "--for": "fedbert-eval report --f"}  # fmt: skip
"""What each line is completed to."""
ZSH = """
autoload -Uz compinit; compinit -D -u
source "$1"
_describe() { local name=$4; [[ $1 == -V ]] && name=$3; print -rl -- "${(@P)name}" }
compadd() { print -rl -- "${(@P)@[-1]}" }
for line in "${@:2}"; do words=(${=line}); CURRENT=$#words; _fedbert_eval_completion; done
"""
FISH = "source $argv[1]; for line in $argv[2..-1]; complete -C $line; end"


@pytest.mark.parametrize(
    ("shell", "call"),
    [("zsh", ["-f", "-c", ZSH, "zsh"]), ("fish", ["--no-config", "-c", FISH])],
)
def test_the_shell_itself_completes(
    here, tmp_path: Path, environment: dict[str, str], shell: str, call: list[str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    script, command = tmp_path / "script", tmp_path / "bin" / "fedbert-eval"
    script.write_text(here("completion", shell).stdout)
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m evaluation.cli.main "$@"\n')
    command.chmod(0o755)
    own = environment | {"PATH": f"{command.parent}:{environment['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [shell, *call, str(script), *ASKED.values()], env=own, capture_output=True, text=True
    )
    told = [re.split(r"[:\t]", line)[0] for line in done.stdout.splitlines() if line.strip()]
    assert told == [*ASKED], done.stdout + done.stderr
