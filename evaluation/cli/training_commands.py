"""`fedbert-eval pretrain` and `finetune`: one training, saved round by round."""

from pathlib import Path

import click

from evaluation.cli.exit_codes import FAILED
from evaluation.cli.shared import ALLOW_CODE, FILE, quiet, with_options
from reports.terminal import say, working

TRAINING = [
    click.argument("config", required=False, type=FILE),
    click.option("--out", type=FILE, required=True, help="Where the checkpoint goes."),
    click.option(
        "--every",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Save after so many rounds.",
    ),
    click.option(
        "--canaries",
        type=click.IntRange(0),
        help="Plant so many, watch the training, and stop it when its claim cannot stand.",
    ),
    ALLOW_CODE,
]


@click.command()
@with_options(TRAINING)
def pretrain(
    config: Path | None, out: Path, every: int, canaries: int | None, allow_code: bool
) -> None:
    """Pre-train by masked-LM over clients.

    CONFIG is a TOML file with [model], [data], [training] and [defence].

    The same command continues from the last saved round.
    """
    _train(config, out, every, canaries, allow_code, pretraining=True)


@click.command()
@with_options(TRAINING)
def finetune(
    config: Path | None, out: Path, every: int, canaries: int | None, allow_code: bool
) -> None:
    """Fine-tune on a task with labels over clients.

    CONFIG as for pretrain; [model] source may be the `model` folder of a checkpoint.
    """
    _train(config, out, every, canaries, allow_code, pretraining=False)


def _train(
    config: Path | None,
    out: Path,
    every: int,
    canaries: int | None,
    allow_code: bool,
    pretraining: bool,
) -> None:
    quiet()
    with working("loading torch and transformers"):
        from evaluation.auditing.live.audit import FaultError
        from evaluation.run.training import run_training
        from evaluation.run.training_file import read_training

    settings = read_training(config, pretraining, allow_code, canaries)
    rounds = settings.config.training.rounds

    def on_round(round_: int, loss: float | None, left: float) -> None:
        if loss is None:
            say("every record was sent once, and the head was made from the messages", err=True)
            return
        say(f"round {round_}/{rounds}: loss {loss:.4f}, about {left:.0f} s left", err=True)

    def tell(line: str) -> None:
        say(line, err=True)

    try:
        lines = run_training(settings, out, every, on_round, tell)
    except FaultError as fault:
        say(f"{fault.line}: the claim cannot stand", err=True)
        raise SystemExit(FAILED) from fault
    for line in lines:
        say(line)
