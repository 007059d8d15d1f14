"""`python -m tests.fuzz`: seeded odd inputs of every kind, and a table of what became of them.

Each case has a number; `--only` with that number and the same seed makes it again.
"""

import argparse
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table

from tests.fuzz.cases import KINDS, kind_of, run_case
from tests.fuzz.trial import Outcome

Told = tuple[int, str, str, Outcome]
"""A case's number, its kind, what was done, what became of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 where there is a fault, else 0."""
    asked = _options().parse_args(arguments)
    numbers = [asked.only] if asked.only is not None else range(asked.count)
    kinds = asked.kind or list(KINDS)
    numbers = [number for number in numbers if asked.only is not None or kind_of(number) in kinds]
    console = Console(file=sys.stdout)  # of now: calls of the product have another
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(
        *columns, console=console, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        bar = progress.add_task("cases", total=len(numbers))
        found = run(asked.seed, numbers, lambda: progress.advance(bar))
    console.print(summary(found))
    faults = [each for each in found if each[3].fault]
    for number, kind, told, outcome in faults:
        line = f"--seed {asked.seed} --only {number}: {kind}, {told}: {outcome.fault}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if asked.only is not None and not faults:
        console.print(f"{found[0][2]}: {found[0][3]}", markup=False)
    return 1 if faults else 0


def run(seed: int, numbers: Sequence[int], done: Callable[[], None] = lambda: None) -> list[Told]:
    """Return what became of the cases of these numbers."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            told, outcome = run_case(seed, number, Path(folder))
            found.append((number, kind_of(number), told, outcome))
            done()
    return found


def summary(found: Sequence[Told]) -> Table:
    """Return how many cases of each kind were accepted, refused and at fault."""
    table = Table("kind", "cases", "accepted", "refused", "faults", box=None)
    for kind in [*KINDS, "all"]:
        own = [each for _, name, _, each in found if kind in (name, "all")]
        counts = Counter(
            "faults" if x.fault else "accepted" if x.accepted else "refused" for x in own
        )
        cells = (counts[name] for name in ("accepted", "refused", "faults"))
        table.add_row(kind, str(len(own)), *map(str, cells))
    return table


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="cases, of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one case")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="of these kinds alone")
    return parser


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
