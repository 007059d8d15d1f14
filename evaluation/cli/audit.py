"""`fedbert-eval audit`: options in, one function called, text out. Heavy imports wait."""

import sys
from pathlib import Path

import click

from fedbert.config import InputError

FILE = click.Path(path_type=Path)


@click.command("audit")
@click.argument("checkpoint", required=False, type=FILE)
@click.option("--claim", help="EPSILON,DELTA for each record, against whoever has the model.")
@click.option("--members", type=FILE, help="Examples trained on: CSV, JSON Lines or parquet.")
@click.option("--non-members", type=FILE, help="Examples not trained on.")
@click.option("--fair-coin", is_flag=True, help="A fair coin chose the members in these files.")
@click.option("--shadows", type=int, default=0, help="Models that the adversary trains, as 16.")
@click.option(
    "--reference", "references", multiple=True, type=FILE, help="A model that saw nobody."
)
@click.option("--task", help="What a foreign model was made for [default: from its config.json].")
@click.option("--max-auc", type=float, help="The most that membership may reach.")
@click.option("--max-tpr-at-1pct", type=float, help="The same, at 1 % of false alarms.")
@click.option("--max-token-recovery", type=float, help="The most tokens that may be read off A.")
@click.option("--out", type=FILE, help="Write audit.json, audit.xml (JUnit) and audit.html there.")
@click.option("--self-test", "testing", is_flag=True, help="Try every estimator on known scores.")
@click.option("--repeats", type=click.IntRange(10), default=1000, show_default=True, hidden=True)
@click.option("--plan", "planning", is_flag=True, help="How many canaries a claim would take.")
@click.option("--epsilon", type=float, help="With --plan.")
@click.option("--delta", type=float, help="With --plan.")
@click.option("--canaries", type=click.IntRange(4), default=1000, show_default=True, hidden=True)
def audit(
    checkpoint: Path | None,
    claim: str | None,
    members: Path | None,
    non_members: Path | None,
    fair_coin: bool,
    shadows: int,
    references: tuple[Path, ...],
    task: str | None,
    max_auc: float | None,
    max_tpr_at_1pct: float | None,
    max_token_recovery: float | None,
    out: Path | None,
    testing: bool,
    repeats: int,
    planning: bool,
    epsilon: float | None,
    delta: float | None,
    canaries: int,
) -> None:
    """Test whether the privacy claims of CHECKPOINT can stand.

    CHECKPOINT is one of ours, or a transformers directory with --members and --non-members.

    Exit code 0: consistent; 1: a claim is violated or a limit passed; 2: bad input; 3: too weak to
    say. No verdict proves privacy.
    """
    if sum((checkpoint is not None, testing, planning)) != 1:
        raise InputError("expected one of CHECKPOINT, --self-test and --plan, got none or several")
    if testing:
        return _self_test(repeats)
    if planning:
        return _plan(epsilon, delta, canaries)
    from evaluation.cli.shared import quiet

    quiet()
    from evaluation.auditing.adversary import Means
    from evaluation.auditing.card import Request
    from evaluation.auditing.card import audit as run

    means = Means(shadows, references, None if out is None else out / "shadows")
    request = Request(
        _claim(claim), members, non_members, fair_coin, task,
        max_auc, max_tpr_at_1pct, max_token_recovery, means,
    )  # fmt: skip
    if shadows:
        click.echo(f"training {shadows} models as the checkpoint's was trained ...", err=True)
    card = run(Path(str(checkpoint)), request)
    from rich.console import Console

    from reports.card.files import tables, write

    console = Console(width=None if sys.stdout.isatty() else 120)
    for name, value in card.subject.items():
        click.echo(f"{name}: {value}")
    for table in tables(card):
        console.print(table)
    click.echo(f"verdict: {card.verdict}")
    if out is not None:
        for path in write(card, out):
            click.echo(path)
    if card.code:
        raise SystemExit(card.code)


def _self_test(repeats: int) -> None:
    from evaluation.auditing.self_test import as_lines, self_test

    outcomes = self_test(repeats)
    for line in as_lines(outcomes):
        click.echo(line)
    if not all(each.good for each in outcomes):
        raise SystemExit(1)


def _plan(epsilon: float | None, delta: float | None, canaries: int) -> None:
    if epsilon is None or delta is None:
        raise InputError(f"expected --epsilon and --delta, got epsilon={epsilon}, delta={delta}")
    from evaluation.auditing.plan import SIGNIFICANCE, as_lines, plan

    methods = plan(epsilon, delta, canaries)
    for line in as_lines(methods, epsilon, delta, canaries, SIGNIFICANCE):
        click.echo(line)


def _claim(text: str | None) -> tuple[float, float] | None:
    """Return epsilon and delta of "EPSILON,DELTA"."""
    if text is None:
        return None
    try:
        epsilon, delta = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"expected EPSILON,DELTA as in 8,1e-5, got claim={text!r}") from None
    return epsilon, delta
