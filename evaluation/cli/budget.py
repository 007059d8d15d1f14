"""`fedbert-eval budget`: noise for an epsilon, epsilon of a noise, claims of a grid."""

from pathlib import Path
from typing import Any

import click

from evaluation.cli.shared import ALLOW_CODE, FILE, both_or_none, quiet, with_options
from fedbert.errors import InputError
from reports.terminal import say

ACCOUNTANT = click.Choice(["pld", "rdp", "prv"])
REMOVE = "add-or-remove-one"
SPENDING = [
    click.option("--delta", type=float, required=True, help="Of the claim, between 0 and 1."),
    click.option("--releases", type=int, help="Of one unit, without sampling [default: 1]."),
    click.option("--label-epsilon", type=float, help="Of a label beside each message."),
    click.option("--sample-rate", type=float, help="DP-SGD: chance of a record at a step."),
    click.option("--steps", type=int, help="DP-SGD: how many."),
    click.option("--records", type=int, help="Of a client: warns of a delta too large."),
]
"""What is released how often."""


@click.group()
def budget() -> None:
    """Privacy budgets, without training: noise, epsilon, claims."""


@budget.command("noise")
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
    for line in lines:
        say(line)


@budget.command("epsilon")
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
    for line in lines:
        say(line)


@budget.command("tuning")
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
    from evaluation.cli.budget_tuning import tuning_lines

    releases, sampling = _sampling(spent)
    if spent["label_epsilon"] is not None:
        raise InputError("expected no --label-epsilon: what is made of messages sent once is free")
    if (epsilon is None) == (noise_multiplier is None):
        found = "neither" if epsilon is None else "both"
        raise InputError(f"expected --epsilon or --noise-multiplier, got {found}")
    rate, count = sampling or (None, 1 if releases is None else releases)
    asked = epsilon, noise_multiplier
    for line in tuning_lines(asked, delta, (rate, count), (mean, shape), draw, spent["records"]):
        say(line)


@budget.command("views")
@click.argument("grid", type=FILE)
@ALLOW_CODE
def budget_views(grid: Path, allow_code: bool) -> None:
    """What each view of every defence of GRID will be guaranteed.

    Loads data and models, as the number of releases depends on them.
    """
    quiet()
    from evaluation.cli.budget_text import view_lines

    for line in view_lines(grid, allow_code):
        say(line)


@budget.command("compose")
@click.argument("trainings", nargs=-1, required=True, metavar="A B [C]...")
@click.option("--delta", type=float, help="Of the whole [default: the claims' largest].")
def budget_compose(trainings: tuple[str, ...], delta: float | None) -> None:
    """What several trainings on the same records allow together.

    Each is a checkpoint, an export or a run of one cell; RUN:CELL of a run with more.
    """
    quiet()
    from evaluation.cli.budget_compose import compose_lines

    for line in list(compose_lines(trainings, delta)):
        say(line)


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
