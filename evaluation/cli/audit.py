"""`fedbert-eval audit`: the claims of a model, how many canaries a claim takes, bounds on trial."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluation.cli.exit_codes import BAD_INPUT, FAILED, OK, TOO_WEAK, meanings
from evaluation.cli.shared import (
    AS_JSON,
    FILE,
    QUIET,
    both_or_none,
    examples,
    print_markdown,
    print_tables,
    quiet,
    say_json,
    with_options,
)
from fedbert.errors import InputError, nearest_place, within
from reports.terminal import hush, say, working

if TYPE_CHECKING:
    from evaluation.auditing.request import Request
    from reports.card.content import Card

MOVED = {"--plan": "plan", "--self-test": "self-test"}
CODES = f"Exit codes. {meanings(OK, FAILED, BAD_INPUT, TOO_WEAK)} No verdict proves privacy."


class AuditGroup(click.Group):
    """The commands of `audit`; where none is named, `run`: `audit CHECKPOINT` audits it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what remains after the options, with `run` put before anything but a command.

        Raises:
            InputError: for what was once an option and is a command now.
        """
        for flag, command in MOVED.items():
            if flag in args:
                raise InputError(f"expected `fedbert-eval audit {command}`, got {flag}")
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(
    "audit",
    cls=AuditGroup,
    epilog=examples("audit ft", "audit plan --epsilon 8 --delta 1e-5") + f"\n\n{CODES}",
)
def audit() -> None:
    """Test whether the privacy claims of a model can stand.

    `audit CHECKPOINT` is short for `audit run CHECKPOINT`.
    """


RUN = [
    click.argument("checkpoint", type=FILE),
    click.option("--claim", help="EPSILON,DELTA for each record, against whoever has the model."),
    click.option("--members", type=FILE, help="Examples trained on: a file, DIR or DIR:SPLIT."),
    click.option("--non-members", type=FILE, help="Examples not trained on."),
    click.option("--text", help="Their column of texts [default: the task's]."),
    click.option("--pair", help="Their column of second texts, where texts come in pairs."),
    click.option("--label", help="Their column of labels [default: the task's]."),
    click.option("--fair-coin", is_flag=True, help="A fair coin chose the members in these files."),
    click.option("--shadows", type=int, default=0, help="Models that the adversary trains, as 16."),
    click.option(
        "--reference", "references", multiple=True, type=FILE, help="A model that saw nobody."
    ),
    click.option(
        "--task", help="What a foreign model was made for [default: from its config.json]."
    ),
    click.option("--data", help="The training's data, where that is a folder or on the hub."),
    click.option("--public", help="The public text of one_message, as --data."),
    click.option("--start", help="The model that it began from, where that is one (--shadows)."),
    click.option("--max-auc", type=float, help="The most that membership may reach."),
    click.option("--max-tpr-at-1pct", type=float, help="The same, at 1 % of false alarms."),
    click.option(
        "--max-token-recovery", type=float, help="The most tokens that may be read off A."
    ),
    click.option("--records", type=FILE, help="Write whom it puts most at risk there."),
    click.option("--out", type=FILE, help="Write audit.json, audit.xml (JUnit), audit.html there."),
    QUIET,
    AS_JSON,
]


@audit.command(
    "run",
    epilog=examples(
        "audit ft",
        "audit ft/checkpoint --shadows 16 --out card",
        "audit model --members in.csv --non-members out.csv --claim 8,1e-5 --json",
    )
    + f"\n\n{CODES}",
)
@with_options(RUN)
def run(checkpoint: Path, out: Path | None, **asked: Any) -> None:
    """Test whether the privacy claims of CHECKPOINT can stand.

    CHECKPOINT is one of ours, the folder of a training that holds one, or a transformers directory
    with --members and --non-members.
    """
    as_json = asked.pop("as_json")
    hush(asked.pop("silent") or as_json)
    quiet()
    with working(f"looking at {checkpoint}"):
        from evaluation.auditing.run_folder import checkpoint_of

        checkpoint = checkpoint_of(checkpoint)
        _check_places(checkpoint, out, asked)
    with working("loading torch and transformers"):
        request = _request(out, asked)
        from evaluation.auditing.card import audit as card_of
        from evaluation.run.utility import as_json as judge

    if request.means.shadows:
        told = f"training {request.means.shadows} models as the checkpoint's was trained ..."
        say(told, err=True)
    with working(f"auditing {checkpoint}"):
        card = card_of(checkpoint, request, judge)
        from reports.card.content import COMMAND, SCHEMA
        from reports.card.files import content, tables, write
        from reports.card.summary import in_short, weak

    # written before anything is printed: whoever reads may close the pipe
    paths = [] if out is None else [*write(card, out), *_disclosure(checkpoint, card, out)]
    if as_json:
        say_json(COMMAND, content(card), SCHEMA)
    for name, value in card.subject.items():
        say(f"{name}: {value}")
    print_tables(tables(card), 120)
    for sentence in in_short(card):
        say(sentence)
    say(f"verdict: {card.verdict}")
    for line in weak(card):
        say(line)
    for path in paths:
        say(str(path))
    if card.code != OK:
        raise SystemExit(card.code)


@audit.command(
    "plan", epilog=examples("audit plan --epsilon 8 --delta 1e-5 --sample-rate .01 --steps 1000")
)
@click.option("--epsilon", type=float, required=True, help="Of the claim.")
@click.option("--delta", type=float, required=True, help="Of the claim, between 0 and 1.")
@click.option(
    "--canaries",
    type=click.IntRange(4),
    default=1000,
    show_default=True,
    help="Whose reach is told: the largest epsilon that so many can show.",
)
@click.option("--sample-rate", type=float, help="Of DP-SGD: chance of a record at a step.")
@click.option("--steps", type=int, help="Of DP-SGD: how many.")
@click.option("--label-epsilon", type=float, help="Of one_message: of a label beside a message.")
@AS_JSON
def plan(
    epsilon: float,
    delta: float,
    canaries: int,
    sample_rate: float | None,
    steps: int | None,
    label_epsilon: float | None,
    as_json: bool,
) -> None:
    """How many canaries it takes to contradict a claim.

    Ask before you train. Of DP-SGD, and of a message with its label, by its own trade-off curve;
    else it is taken to be Gaussian.
    """
    with working("loading the bounds"):
        from dataclasses import asdict

        from evaluation.auditing.plan import SIGNIFICANCE, as_lines
        from evaluation.auditing.plan import plan as methods_for

    drawn = both_or_none(sample_rate, steps)
    if drawn is not None and label_epsilon is not None:
        raise InputError("expected --label-epsilon without --sample-rate, got both")
    sampling = label_epsilon if drawn is None else drawn
    methods = methods_for(epsilon, delta, canaries, SIGNIFICANCE, sampling)
    if as_json:
        claim = {"epsilon": epsilon, "delta": delta, "canaries": canaries}
        found = {"significance": SIGNIFICANCE, "methods": [asdict(each) for each in methods]}
        say_json("audit plan", claim | found)
        return
    print_markdown(as_lines(methods, epsilon, delta, canaries, SIGNIFICANCE, sampling))


@audit.command("self-test", epilog=examples("audit self-test --repeats 100"))
@click.option(
    "--repeats",
    type=click.IntRange(10),
    default=1000,
    show_default=True,
    help="Draws of scores for each estimator.",
)
def self_test(repeats: int) -> None:
    """Try every bound on scores of known epsilon.

    Ends with 1 where a bound is above the truth more often than its confidence allows.
    """
    from evaluation.auditing import self_test as bounds
    from evaluation.auditing import sequential_self_test as bets

    outcomes = bounds.self_test(repeats)
    print_markdown(bounds.as_lines(outcomes))
    sequential = bets.sequential_test(repeats)
    print_markdown(["", *bets.as_lines(sequential)])
    if not all(each.good for each in outcomes) or not all(each.good for each in sequential):
        raise SystemExit(FAILED)


def _check_places(checkpoint: Path, out: Path | None, asked: dict[str, Any]) -> None:
    """Refuse what is not there, or is in the way, before anything is loaded."""
    if asked["records"] is not None:
        from evaluation.auditing.record_list import check_place

        check_place(asked["records"], (checkpoint,) if out is None else (checkpoint, out))
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"expected a folder for --out, got the file {out}")
    _check_sources(asked)
    for name in ("members", "non_members"):
        place = asked[name]
        if place is None or place.exists():
            continue
        folder, _, split = str(place).rpartition(":")
        if not (folder and split and Path(folder).is_dir()):
            raise InputError(
                f"expected a file of examples, got none at {place}{nearest_place(place)}"
            )


def _disclosure(checkpoint: Path, card: "Card", out: Path) -> list[Path]:
    """Write what an officer asks of a model of ours beside its card, unless a fault was found."""
    from evaluation.auditing.disclosed import of_training
    from evaluation.auditing.run_folder import is_training
    from fedbert.manifest import FAULT, read_manifest
    from reports.card.files import told
    from reports.disclosure.written import write

    if not is_training(checkpoint) or FAULT in read_manifest(checkpoint):
        return []
    return write(of_training(checkpoint, told(card)), "officer", out)


def _check_sources(asked: dict[str, Any]) -> None:
    """Refuse data and models that can be seen not to be there."""
    from fedbert.data.places import refuse_missing
    from fedbert.model_places import refuse_no_model

    for name in ("data", "public"):
        if asked[name] is not None:
            with within(f"--{name}"):
                refuse_missing(asked[name])
    alone = [] if asked["shadows"] else asked["references"]  # together they are refused
    for name, place in (("start", asked["start"]), *(("reference", each) for each in alone)):
        if place is not None:
            with within(f"--{name}"):
                refuse_no_model(str(place))


def _request(out: Path | None, asked: dict[str, Any]) -> "Request":
    """Return the options of `run` as one value; shadows are kept where the card goes."""
    from evaluation.auditing.adversary import Means
    from evaluation.auditing.request import Request

    kept = None if out is None else out / "shadows"
    means = Means(asked.pop("shadows"), asked.pop("references"), kept, asked.pop("start"))
    return Request(claim=_claim(asked.pop("claim")), means=means, **asked)


def _claim(text: str | None) -> tuple[float, float] | None:
    """Return epsilon and delta of "EPSILON,DELTA"."""
    if text is None:
        return None
    try:
        epsilon, delta = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"expected EPSILON,DELTA as in 8,1e-5, got claim={text!r}") from None
    return epsilon, delta
