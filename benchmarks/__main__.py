"""Benchmarks of the training core against the plain loop: `python -m benchmarks [--only NAME]`."""

import argparse
from collections.abc import Callable

import torch

from benchmarks import attacks, beside, dp_sgd, frozen, noise, precision, rounds, shadows, steps
from benchmarks.measure import Row, table

BENCHMARKS: dict[str, Callable[[int], list[Row]]] = {
    "16-clients": rounds.sixteen,
    "32-clients": rounds.thirty_two,
    "single-client": steps.single,
    "few-tokens": steps.few_tokens,
    "mlm-head": steps.mlm_head,
    "dp-sgd": dp_sgd.compare,
    "precision": precision.compare,
    "nearest-token": attacks.nearest,
    "shadows": shadows.sixteen,
    "noise": noise.drawn,
    "beside": beside.beside,
    "frozen": frozen.five_epochs,
    "absent": frozen.absent,
}
NOTES: dict[str, Callable[[], list[str]]] = {
    "memory": rounds.memory,
    "absent-memory": frozen.memory,
    "dp-sgd-memory": dp_sgd.memory,
    "attack-costs": attacks.costs,
}


def main() -> None:
    """Run what was asked for and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=[*BENCHMARKS, *NOTES], help="one benchmark; else all")
    parser.add_argument("--repeats", type=int, default=5, help="measured pairs of each (5)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, measure in BENCHMARKS.items():
        if options.only in (None, name):
            rows += measure(options.repeats)
    if rows:
        print(table(rows))
    for name, notes in NOTES.items():
        if options.only in (None, name):
            print("\n".join(notes()))


if __name__ == "__main__":
    main()
