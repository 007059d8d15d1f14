"""`fedbert-eval budget`: noise for an epsilon, epsilon of a noise, claims of a grid."""

from pathlib import Path
from typing import Any

import click

from evaluation.cli.shared import (
    ALLOW_CODE,
    AS_JSON,
    FILE,
    both_or_none,
    examples,
    print_tables,
    quiet,
    say_json,
    with_options,
)
from evaluation.cli.told import tell
from fedbert.errors import InputError
from reports.terminal import say, working

ACCOUNTANT = click.Choice(["pld", "rdp", "prv"])
REMOVE = "add-or-remove-one"
SPENDING = [
    click.option("--delta", type=float, required=True, help="Of the claim, between 0 and 1."),
    click.option("--releases", type=int, help="Of one unit, without sampling [default: 1]."),
    click.option("--label-epsilon", type=float, help="Of a label beside each message."),
    click.option("--sample-rate", type=float, help="DP-SGD: chance of a record at a step."),
    click.option("--steps", type=int, help="DP-SGD: how many."),
    click.option("--records", type=int, help="Of a client: warns of a delta too large."),
    AS_JSON,
]
"""What is released how often."""


@click.group(epilog=examples("budget noise --epsilon 8 --delta 1e-5", "budget views mine.toml"))
def budget() -> None:
    """Privacy budgets, without training: noise, epsilon, claims."""


@budget.command(
    "noise",
    epilog=examples(
        "budget noise --epsilon 8 --delta 1e-5",
        "budget noise --epsilon 2 --delta 1e-6 --sample-rate .01 --steps 1000 --json",
        "budget noise --tpr-at-1pct .05 --delta 1e-5",
    ),
)
@click.option("--epsilon", type=float, help="The target, at --delta.")
@click.option("--tpr-at-1pct", type=float, help="In its place: an attack's TPR at 1 % FPR.")
@click.option("--advantage", type=float, help="In its place: an attack's TPR less its FPR.")
@with_options(SPENDING)
@click.option("--clip-norm", type=float, default=1.0, show_default=True, help="The L2 clip.")
@click.option("--accountant", type=ACCOUNTANT, default="pld", show_default=True, help="For DP-SGD.")
@click.option(
    "--relation",
    type=click.Choice(["replace-one", "add-or-remove-one"]),
    help="Neighbours [default: replace-one; DP-SGD: add-or-remove-one].",
)
def budget_noise(
    epsilon: float | None,
    tpr_at_1pct: float | None,
    advantage: float | None,
    delta: float,
    clip_norm: float,
    accountant: Any,
    relation: str | None,
    **spent: Any,
) -> None:
    """The least noise for a target: an epsilon, or what an attack may reach."""
    with working("loading the accountants"):
        from evaluation.cli import budget_message
        from evaluation.cli.budget_text import noise_lines

    target = _target(epsilon=epsilon, tpr_at_1pct=tpr_at_1pct, advantage=advantage)
    releases, sampling = _sampling(spent)
    label, records = spent["label_epsilon"], spent["records"]
    if label is not None:
        _alone(sampling, clip_norm=clip_norm not in (None, 1.0), relation=relation == REMOVE)
        count = 1 if releases is None else releases
        lines = budget_message.noise_lines(target, delta, label, count, records)
    else:
        lines = noise_lines(
            target, delta, clip_norm, releases, sampling, accountant, relation, records
        )
    tell(lines, spent["as_json"], "budget noise")


@budget.command(
    "epsilon",
    epilog=examples(
        "budget epsilon --noise-multiplier 1.1 --delta 1e-5 --sample-rate .01 --steps 1000",
        "budget epsilon --noise-multiplier 4 --delta 1e-5 --releases 10",
    ),
)
@click.option(
    "--noise-multiplier", type=float, required=True, help="Standard deviation over sensitivity."
)
@with_options(SPENDING)
@click.option("--accountant", type=ACCOUNTANT, help="One alone [default: all, side by side].")
@click.option("--records-per-user", type=int, help="Tell users with as many from each other, too.")
def budget_epsilon(
    noise_multiplier: float,
    delta: float,
    accountant: Any,
    records_per_user: int | None,
    **spent: Any,
) -> None:
    """The epsilon of a noise multiplier."""
    with working("loading the accountants"):
        from evaluation.cli import budget_message
        from evaluation.cli.budget_text import epsilon_lines

    releases, sampling = _sampling(spent)
    label, records = spent["label_epsilon"], spent["records"]
    if label is not None:
        _alone(sampling, accountant=accountant is not None)
        count = 1 if releases is None else releases
        lines = budget_message.epsilon_lines(
            noise_multiplier, delta, label, count, records, records_per_user
        )
    else:
        lines = epsilon_lines(
            noise_multiplier, delta, releases, sampling, accountant, records, records_per_user
        )
    tell(lines, spent["as_json"], "budget epsilon")


@budget.command(
    "tuning", epilog=examples("budget tuning --epsilon 8 --delta 1e-5 --mean 10 --draw")
)
@click.option("--epsilon", type=float, help="A target: how much noise each training needs.")
@click.option("--noise-multiplier", type=float, help="Of each training: what choosing costs.")
@with_options(SPENDING)
@click.option("--mean", type=float, required=True, help="How many trainings, on average.")
@click.option("--shape", type=float, default=1.0, show_default=True, help="1: geometric.")
@click.option("--draw", is_flag=True, help="Draw their number, now and in secret.")
def budget_tuning(
    epsilon: float | None,
    noise_multiplier: float | None,
    delta: float,
    mean: float,
    shape: float,
    draw: bool,
    **spent: Any,
) -> None:
    """What it costs to choose the best of several trainings on the same records."""
    with working("loading the accountants"):
        from evaluation.cli.budget_tuning import tuning_lines

    releases, sampling = _sampling(spent)
    if spent["label_epsilon"] is not None:
        raise InputError("expected no --label-epsilon: what is made of messages sent once is free")
    if (epsilon is None) == (noise_multiplier is None):
        found = "neither" if epsilon is None else "both"
        raise InputError(f"expected --epsilon or --noise-multiplier, got {found}")
    rate, count = sampling or (None, 1 if releases is None else releases)
    asked = epsilon, noise_multiplier
    lines = tuning_lines(asked, delta, (rate, count), (mean, shape), draw, spent["records"])
    tell(lines, spent["as_json"], "budget tuning")


@budget.command("views", epilog=examples("budget views mine.toml", "budget views mine.toml --json"))
@click.argument("grid", type=FILE)
@ALLOW_CODE
@click.option("--full", is_flag=True, help="Each claim's whole sentence in place of the table.")
@AS_JSON
def budget_views(grid: Path, allow_code: bool, full: bool, as_json: bool) -> None:
    """What each view of every defence of GRID will be guaranteed.

    Loads data and models, as the number of releases depends on them. Whatever the grid would be
    refused for is refused here.
    """
    quiet()
    with working(f"reading {grid}"):
        from evaluation.grid.early import check_cells
        from evaluation.grid.parse import read_grid

        asked = read_grid(grid, allow_code)
        check_cells(asked.cells, asked.where)
    with working("loading torch, transformers, model and data"):
        from evaluation.cli import foreseen

        seen = foreseen.foreseen(asked)
    if as_json:
        settings = [each.to_json() for each in seen.settings]
        say_json("budget views", {"settings": settings, "notes": seen.lines})
        return
    if not full:
        print_tables([foreseen.table(seen.settings)], 140)
    told = foreseen.in_full(seen.settings) if full else foreseen.notes(seen.settings)
    for line in (*told, *seen.lines, *([] if full else [foreseen.FULL])):
        say(line)


@budget.command(
    "compose", epilog=examples("budget compose ft/checkpoint runs/mine:8f3a --delta 1e-5")
)
@click.argument("trainings", nargs=-1, required=True, metavar="A B [C]...")
@click.option("--delta", type=float, help="Of the whole [default: the claims' largest].")
@AS_JSON
def budget_compose(trainings: tuple[str, ...], delta: float | None, as_json: bool) -> None:
    """What several trainings on the same records allow together.

    Each is a checkpoint, an export or a run of one cell; RUN:CELL of a run with more.
    """
    quiet()
    with working("reading the trainings"):
        from evaluation.cli.budget_compose import compose_lines

        lines = list(compose_lines(trainings, delta))
    tell(lines, as_json, "budget compose")


def _target(**asked: float | None) -> Any:
    """Return the one target of several options: an epsilon, or a risk."""
    from privacy.risk import Risk

    given = {name: value for name, value in asked.items() if value is not None}
    if len(given) != 1:
        options = [f"--{name.replace('_', '-')}" for name in given or asked]
        got = f"got {' and '.join(options)}" if given else "got none"
        known = ", ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise InputError(f"expected one of {known}, {got}")
    ((name, value),) = given.items()
    if name == "epsilon":
        return value
    try:
        return Risk(name, value)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(str(error)) from None


def _alone(sampling: tuple[float, int] | None, **others: bool) -> None:
    """Refuse what a message with its label has no room for: it lies in the unit ball, once."""
    asked = {"sample_rate": sampling is not None, **others}
    wrong = next((name for name, given in asked.items() if given), None)
    if wrong is not None:
        option = wrong.replace("_", "-")
        raise InputError(f"expected --label-epsilon without --{option}, got both")


def _sampling(spent: dict[str, Any]) -> tuple[int | None, tuple[float, int] | None]:
    """Return the releases, or the sample rate and steps of DP-SGD."""
    releases, sampling = spent["releases"], both_or_none(spent["sample_rate"], spent["steps"])
    if releases is not None and sampling is not None:
        steps = sampling[1]
        raise InputError(f"expected releases or steps, got releases={releases}, steps={steps}")
    return releases, sampling
