"""`fedbert-eval compare`: what changed between two runs, or by each defence of one."""

from pathlib import Path

import click

from evaluation.cli.shared import FILE, RUNS, examples, or_refuse
from reports.terminal import say


@click.command(epilog=examples("compare runs/before runs/after", "compare runs/mine"))
@click.argument("first", type=FILE)
@click.argument("second", required=False, type=FILE)
@click.option(
    "--out", type=FILE, default=RUNS / "compare", show_default=True,
    help="Where comparison.md and comparison.csv go.",
)  # fmt: skip
def compare(first: Path, second: Path | None, out: Path) -> None:
    """Compare two runs, setting by setting.

    Of one run each defence is compared with the undefended setting. Differences are paired by seed,
    and by candidate where scores are kept; each has its interval, and counts as one only where it
    stands among all that were compared. What else tells the two apart, such as data or code, is
    told first.
    """
    from fedbert.disk.writer import sweep, write_whole
    from reports.differences.matched import compare as compared
    from reports.differences.words import csv_of, lines, markdown

    found = or_refuse(lambda: compared([first] if second is None else [first, second]))
    for line in lines(found):
        say(line)
    sweep(out)
    for name, text in (("comparison.md", markdown(found)), ("comparison.csv", csv_of(found))):
        path = write_whole(out / name, text.encode("utf-8", "backslashreplace"), shared=True)
        say(str(path))
