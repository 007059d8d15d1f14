"""`fedbert-eval pretrain` and `finetune`: one training, saved round by round."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluation.cli.exit_codes import FAILED
from evaluation.cli.shared import (
    ALLOW_CODE,
    AS_JSON,
    FILE,
    QUIET,
    duration,
    examples,
    quiet,
    with_options,
)
from fedbert.errors import InputError, within
from reports.terminal import hush, say, working

if TYPE_CHECKING:
    from evaluation.run.training import MakeFleet
    from evaluation.run.training_file import TrainingFile
    from fedbert.fleet import Fleet

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
    click.option("--dry-run", is_flag=True, help="Say what would be trained and claimed; stop."),
    click.option(
        "--fleet",
        type=click.Choice(("ray",)),
        help="Have server and clients in processes of their own [default: in one].",
    ),
    click.option(
        "--groups",
        type=click.IntRange(1),
        help="Of the fleet: how many processes the clients live in [default: 1].",
    ),
    click.option(
        "--address",
        help="Of Ray: local (a cluster of this machine's), auto or HOST:PORT [default: local].",
    ),
    ALLOW_CODE,
    QUIET,
    AS_JSON,
]


@click.command(epilog=examples("pretrain --out pre", "pretrain pre.toml --out pre --dry-run"))
@with_options(TRAINING)
def pretrain(config: Path | None, out: Path, **asked: Any) -> None:
    """Pre-train by masked-LM over clients.

    CONFIG is a TOML file with [model], [data], [training] and [defence].

    The same command continues from the last saved round.
    """
    _train(config, out, pretraining=True, **asked)


@click.command(
    epilog=examples(
        "finetune --out ft",
        "finetune ft.toml --out ft --dry-run",
        "finetune ft.toml --out ft --canaries 100",
    )
)
@with_options(TRAINING)
def finetune(config: Path | None, out: Path, **asked: Any) -> None:
    """Fine-tune on a task with labels over clients.

    CONFIG as for pretrain; [model] source may be the `model` folder of a checkpoint.
    """
    _train(config, out, pretraining=False, **asked)


def _train(
    config: Path | None,
    out: Path,
    every: int,
    canaries: int | None,
    allow_code: bool,
    pretraining: bool,
    **how: Any,
) -> None:
    """Train, or say what would be trained; how: silent, dry_run, as_json, and fleet's options."""
    parties = {name: how[name] for name in ("fleet", "groups", "address")}
    hush(how["silent"])
    if how["as_json"] and not how["dry_run"]:
        raise InputError("expected --json with --dry-run, got it alone")
    quiet()
    with working(f"reading {config or 'the embedded default'}"):
        from evaluation.run.log import RunLog

        make = _fleet(**parties)
        settings = _settings(config, out, pretraining, allow_code, canaries)
    if how["dry_run"]:
        with working("loading torch, transformers, model and data"):
            from evaluation.cli.training_plan import tell_training
        tell_training(settings, out, every, how["as_json"])
        return
    with working("loading torch and transformers"):
        from evaluation.auditing.live.audit import FaultError
        from evaluation.run.training import run_training
        from fedbert.provenance import provenance

    rounds = settings.config.training.rounds

    def noted(line: str) -> None:
        log.open(out)
        log.note(line)

    def on_round(round_: int, loss: float | None, left: float) -> None:
        noted("one message each" if loss is None else f"round {round_} of {rounds} ended")
        if loss is None:
            say("every record was sent once, and the head was made from the messages", err=True)
            return
        told = f"about {duration(left)} left"
        say(f"round {round_}/{rounds}: loss {loss:.4f}, {told}", err=True)

    def tell(line: str) -> None:
        say(line, err=True)

    with RunLog(sys.argv[1:]) as log:
        log.versions = provenance()["versions"]
        try:
            lines = run_training(settings, out, every, on_round, tell, make)
        except FaultError as fault:
            say(f"{fault.line}: the claim cannot stand", err=True, always=True)
            raise SystemExit(FAILED) from fault
        for line in lines:
            say(line)


def _settings(
    config: Path | None, out: Path, pretraining: bool, allow_code: bool, canaries: int | None
) -> "TrainingFile":
    """Return what is to be trained; what can be seen to be wrong is refused, nothing loaded."""
    from evaluation.grid.early import check_training
    from evaluation.run.files import TRAINING as KIND
    from evaluation.run.files import check_place
    from evaluation.run.training_file import read_training

    settings = read_training(config, pretraining, allow_code, canaries)
    check_place(out, KIND)
    with within(settings.where):
        check_training(settings.config, settings.defence)
    return settings


def _fleet(fleet: str | None, groups: int | None, address: str | None) -> "MakeFleet | None":
    """Return what makes a fleet, where one is asked for.

    Raises:
        InputError: for settings of it without it, or where Ray is not installed.
    """
    for name, value in (("--groups", groups), ("--address", address)):
        if fleet is None and value is not None:
            raise InputError(f"expected {name} with --fleet ray, got it without")
    if fleet is None:
        return None
    from evaluation.run.on_ray.engine import LOCAL, require_ray

    require_ray()

    def make(told: dict[str, Any]) -> "Fleet":
        from evaluation.run.on_ray.fleet import RayFleet

        return RayFleet(told, groups or 1, address or LOCAL)

    return make
