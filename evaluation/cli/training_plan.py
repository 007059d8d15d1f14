"""Dry run of a training: its settings, its data, its claims; refused is what it would be."""

from pathlib import Path
from typing import Any

from evaluation.cli.shared import say_json
from evaluation.run.training_file import TrainingFile
from evaluation.run.training_plan import TrainingPlan, plan_training
from privacy.guarantee import Entry
from reports.alike import over_views
from reports.noise_mode import CLAIMS, note_of
from reports.one_cell import flat
from reports.rows import round_up
from reports.terminal import say

SCHEMA = 1


def tell_training(settings: TrainingFile, out: Path, every: int, as_json: bool) -> None:
    """Print what a training would be.

    Raises:
        InputError: for all that it would be refused for.
    """
    plan = plan_training(settings, out, every)
    if as_json:
        say_json("dry run", to_json(plan, out), SCHEMA)
        return
    for title, lines in (
        ("settings", [f"{key} = {value}" for key, value in flat(plan.settings_json())]),
        ("data", [*plan.notes, *(f"Warning: {each}" for each in plan.warnings), held(plan)]),
        ("claims", claims(plan)),
    ):
        say(title)
        for line in lines:
            say(f"  {line}")
        say("")
    say(sentence(plan, out))


def held(plan: TrainingPlan) -> str:
    """Return how many examples the clients have, and how many are judged on."""
    rows = plan.rows
    span = f"{rows[0]:,}" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,}"
    judged = sum(len(each) for each in plan.prepared.evaluation.values())
    of = "client" if len(rows) == 1 else "clients"
    return f"{len(rows):,} {of} with {span} examples, {sum(rows):,} in all; {judged:,} to judge on"


def claims(plan: TrainingPlan) -> list[str]:
    """Return what would be claimed at the end, and the epsilons on the way there."""
    told = [f"{views}: {text}" for views, text in over_views(_said(plan.claims))]
    rounds, first = plan.settings.config.training.rounds, plan.first + 1
    if first < rounds:
        for one, all_ in zip(plan.claims_of_one, plan.claims, strict=True):
            a, b = (each.to_json().get("epsilon") for each in (one, all_))
            if a is not None and b is not None:
                told.append(
                    f"{one.view}: epsilon {round_up(a)} after round {first}, {round_up(b)} after "
                    f"round {rounds}"
                )
    return [*told, *([note] if (note := caveat(plan)) else [])]


def caveat(plan: TrainingPlan) -> str:
    """Return what claims of noise that can be made again are to be read with; "" for none."""
    claiming = any(each.to_json()["kind"] in CLAIMS for each in plan.claims)
    return note_of([plan.settings.config.noise] if claiming else [])


def sentence(plan: TrainingPlan, out: Path) -> str:
    """Return what would become of it, in a line."""
    rounds, where = plan.settings.config.training.rounds, f"into {out}; nothing was written"
    if plan.ended is not None:
        return f"dry run: no round would be trained: {plan.ended}; {where}"
    after = f", from round {plan.first} on" if plan.first else ""
    before = f"; it stopped before: {plan.before}" if plan.before else ""
    audited = "; watched by its audit" if plan.settings.audit.asked else ""
    return f"dry run: {rounds} rounds would be trained{after}{audited}{before}; {where}"


def to_json(plan: TrainingPlan, out: Path) -> dict[str, Any]:
    """Return a plan for machines."""
    return {
        "directory": str(out),
        "settings": plan.settings_json(),
        "rounds_done": plan.first,
        "ended": plan.ended,
        "clients": plan.rows,
        "judged": {name: len(each) for name, each in plan.prepared.evaluation.items()},
        "claims": [each.to_json() for each in plan.claims],
        "claims_after_one_round": [each.to_json() for each in plan.claims_of_one],
        "noise": plan.settings.config.noise,
        "caveat": caveat(plan) or None,
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
    }


def _said(entries: tuple[Entry, ...]) -> list[tuple[str, str]]:
    return [(entry.view, entry.sentence()) for entry in entries]
