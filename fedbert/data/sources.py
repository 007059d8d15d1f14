"""Data sources of a task's examples: the package, a generator, a directory or the hub."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fedbert.data.examples import Examples, from_tables
from fedbert.data.files import read_table
from fedbert.data.folders import check_within, load_folder, load_split
from fedbert.data.people import linked, numbers
from fedbert.data.personal import PERSONAL, load_personal
from fedbert.data.places import refuse_missing
from fedbert.data.tables import Table
from fedbert.errors import InputError, nearest_place
from fedbert.tasks import OWN, TASKS, Task

__all__ = ["Examples", "load"]

HELD_OUT = 0.2
"""Of a single split's texts: those that are kept to judge on."""


def load(
    task: str | Task,
    source: str,
    pool_size: int | None = None,
    evaluation: int | None = None,
    seed: int = 0,
) -> dict[str, Examples]:
    """Return the examples of "train" and of the task's evaluation splits, headline split first.

    source: "embedded" (Rotten Tomatoes sentences of the `demo` extra; sst2 and mlm), "generated"
        (any task but one's own), "generated:personal" (sst2; see `fedbert.data.personal`), a
        directory of data files, of a data-set repository, of
        `save_to_disk` or of the official GLUE folders, a single file, or the name of a hub data
        set, with ":configuration" where that is not the task's name. No code in them is run.
    pool_size, evaluation: at most so many examples of "train" and of each evaluation split
        (documents for masked-LM); a seeded choice, of which a larger one contains the smaller.
        "generated" makes exactly as many as asked for.

    A file, and outside of GLUE a directory too, may hold a single split. Then a seeded `HELD_OUT`
    of its texts is kept to judge on, equal texts on one side, or of its persons: `halves`.

    Raises:
        InputError: one line naming what is wrong and where: file, column and data row.
    """
    chosen = TASKS.get(task) if isinstance(task, str) else task
    if chosen is None:
        raise InputError(f"expected task to be one of {', '.join(TASKS)}, got {task=}")
    for name, limit in (("pool_size", pool_size), ("evaluation", evaluation)):
        if limit is not None and limit < 1:
            raise InputError(f"expected {name} >= 1, got {name}={limit}")
    tables = tables_of(chosen, source, pool_size, evaluation, seed)
    found = {split: from_tables(chosen, tables[split]) for split in tables}
    if len(found) == 1:
        found = halves(found["train"], chosen.evaluation[0], seed)
    return {
        split: _limited(examples, pool_size if split == "train" else evaluation, seed, split)
        for split, examples in found.items()
    }


def tables_of(
    task: Task,
    source: str,
    pool_size: int | None = None,
    evaluation: int | None = None,
    seed: int = 0,
) -> dict[str, list[Table]]:
    """Return the tables of a source by split, as they were read; see `load`."""
    if source == "embedded":
        from fedbert.data.embedded import load_embedded
        from fedbert.seeding import numpy_rng

        return load_embedded(task, numpy_rng(seed, "data", "split"))
    if source == "generated" and task.name != OWN:
        from fedbert.data.structure import with_structure
        from fedbert.data.synthetic import load_generated
        from fedbert.seeding import numpy_rng

        rng = numpy_rng(seed, "data", "generated", task.name)
        return with_structure(task, load_generated(task, pool_size, evaluation, rng))
    if source == PERSONAL:
        from fedbert.seeding import numpy_rng

        rng = numpy_rng(seed, "data", "generated", "personal")
        return load_personal(task, pool_size, evaluation, rng)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return load_folder(task, folder)
    if folder.is_file():
        return {"train": [read_table(folder, task)]}
    above, _, inside = source.rpartition(":")
    if above and inside and Path(above).expanduser().is_dir():  # never handed to `datasets`
        folder = Path(above).expanduser() / inside
        if folder.is_dir():
            check_within(Path(above).expanduser(), folder)
            return load_folder(task, folder)
    refuse_missing(source, own=task.name == OWN)
    from fedbert.data.hub import load_hub

    return load_hub(task, source)


def load_one(task: Task, place: Path) -> Examples:
    """Return the examples of a file, or of one split of a folder: FOLDER, or FOLDER:SPLIT.

    Raises:
        InputError: for a place that is not there, or that does not fit the task.
    """
    if place.is_file():
        return from_tables(task, [read_table(place, task)])
    folder, _, split = str(place).rpartition(":")
    if place.is_dir():
        folder, split = str(place), ""
    if not folder or not Path(folder).is_dir():
        raise InputError(f"expected a file of examples, got none at {place}{nearest_place(place)}")
    return from_tables(task, load_split(task, Path(folder), split))


def halves(examples: Examples, name: str, seed: int) -> dict[str, Examples]:
    """Return one split as two: "train", and a seeded `HELD_OUT` of the different texts to judge on.

    Where rows belong to persons it is a `HELD_OUT` of these, those that share a text taken as one.

    Raises:
        InputError: for fewer than two texts, or than two persons without a text in common.
    """
    from fedbert.seeding import numpy_rng

    number: dict[tuple[str, ...], int] = {}
    unit = np.array([number.setdefault(each, len(number)) for each in examples.texts])
    what = "texts"
    if examples.people:
        what = "persons without a text in common"
        unit = np.unique(linked(unit, numbers(examples.people)), return_inverse=True)[1]
    count = int(unit.max()) + 1
    if count < 2:
        raise InputError(f"expected two {what} to split, got {count} in {examples.origin}")
    order = numpy_rng(seed, "data", "split", "own").permutation(count)
    kept = np.isin(unit, order[: max(1, round(HELD_OUT * count))])
    train, judged = (examples.take(np.flatnonzero(side)) for side in (~kept, kept))
    return {"train": train, name: replace(judged, held_out=True)}


def bounded(examples: Examples, most: int | None, seed: int) -> Examples:
    """Return at most so many rows of each person, in their original order; None: all.

    Which of a person's rows are chosen depends on nobody else's.
    """
    if most is None:
        return examples
    from fedbert.seeding import numpy_rng

    rows: dict[str, list[int]] = {}
    for position, person in enumerate(examples.people):
        rows.setdefault(person, []).append(position)
    kept: list[int] = []
    for person, own in rows.items():
        if len(own) > most:
            order = numpy_rng(seed, "data", "group rows", person).permutation(len(own))
            own = [own[place] for place in order[:most]]
        kept += own
    return examples.take(sorted(kept))


def _limited(examples: Examples, limit: int | None, seed: int, split: str) -> Examples:
    """Return at most `limit` examples, drawn without replacement, in their original order."""
    if limit is None or limit >= len(examples):
        return examples
    from fedbert.seeding import numpy_rng

    order = numpy_rng(seed, "data", "limit", split).permutation(len(examples))
    return examples.take(sorted(order[:limit]))
