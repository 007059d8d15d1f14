"""Data sources of a task's examples: the package, a generator, a directory or the hub."""

from collections.abc import Callable
from pathlib import Path

from fedbert.data.examples import Examples, from_tables
from fedbert.data.folders import load_folder
from fedbert.data.tables import Table
from fedbert.errors import InputError, nearest
from fedbert.tasks import TASKS, Task

__all__ = ["Examples", "load"]


def load(
    task: str,
    source: str,
    pool_size: int | None = None,
    evaluation: int | None = None,
    seed: int = 0,
) -> dict[str, Examples]:
    """Return the examples of "train" and of the task's evaluation splits, headline split first.

    source: "embedded" (Rotten Tomatoes sentences of the `demo` extra; sst2 and mlm), "generated"
        (any task), a directory of parquet, CSV, JSON Lines or text files or of the official GLUE
        folders, or the name of a hub data set, with ":configuration" where that is not the task's
        name.
    pool_size, evaluation: at most so many examples of "train" and of each evaluation split
        (documents for masked-LM); a seeded choice, of which a larger one contains the smaller.
        "generated" makes exactly as many as asked for.

    Raises:
        InputError: one line naming what is wrong and where: file, column and data row.
    """
    chosen = TASKS.get(task)
    if chosen is None:
        raise InputError(f"expected task to be one of {', '.join(TASKS)}, got {task=}")
    for name, limit in (("pool_size", pool_size), ("evaluation", evaluation)):
        if limit is not None and limit < 1:
            raise InputError(f"expected {name} >= 1, got {name}={limit}")
    tables = _loader(chosen, source, pool_size, evaluation, seed)()
    found = {split: from_tables(chosen, tables[split]) for split in tables}
    return {
        split: _limited(examples, pool_size if split == "train" else evaluation, seed, split)
        for split, examples in found.items()
    }


def _loader(
    task: Task, source: str, pool_size: int | None, evaluation: int | None, seed: int
) -> Callable[[], dict[str, list[Table]]]:
    """Return the function that reads the source."""
    if source == "embedded":
        from fedbert.data.embedded import load_embedded
        from fedbert.seeding import numpy_rng

        return lambda: load_embedded(task, numpy_rng(seed, "data", "split"))
    if source == "generated":
        from fedbert.data.synthetic import load_generated
        from fedbert.seeding import numpy_rng

        rng = numpy_rng(seed, "data", "generated", task.name)
        return lambda: load_generated(task, pool_size, evaluation, rng)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return lambda: load_folder(task, folder)
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1 or not source:
        raise InputError(f"expected a directory that exists, got {source=}")
    here = [] if "/" in source else [path.name for path in Path().iterdir() if path.is_dir()]
    near = nearest(source, here)
    if near:  # a slip of the pen rather than a data set of the hub
        raise InputError(f"expected a directory that exists, got {source=}{near}")
    from fedbert.data.hub import load_hub

    return lambda: load_hub(task, source)


def _limited(examples: Examples, limit: int | None, seed: int, split: str) -> Examples:
    """Return at most `limit` examples, drawn without replacement, in their original order."""
    if limit is None or limit >= len(examples):
        return examples
    from fedbert.seeding import numpy_rng

    order = numpy_rng(seed, "data", "limit", split).permutation(len(examples))
    return examples.take(sorted(order[:limit]))
