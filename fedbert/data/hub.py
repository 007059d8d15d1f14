"""Hub data sets (Hugging Face) by name, or a local data set that `datasets` understands."""

from typing import Any

from fedbert.data.folders import chosen
from fedbert.data.tables import Table, one_line
from fedbert.errors import InputError
from fedbert.tasks import Task


def load_hub(task: Task, source: str) -> dict[str, list[Table]]:
    """Return the splits of a data set by its hub name, such as "nyu-mll/glue".

    The configuration is the one named like the task, else the only one; "name:configuration"
    names it outright ("Salesforce/wikitext:wikitext-2-raw-v1"). Where the data set brings label
    names, they decide over its numbers.

    Raises:
        InputError: when the data set cannot be loaded, or does not have the splits.
    """
    name, _, configuration = source.partition(":")
    try:
        import datasets

        configuration = configuration or _configuration(datasets, name, task)
        found = datasets.load_dataset(name, configuration)
    except InputError:
        raise
    except Exception as error:  # the library lets through whatever network and files raise
        reason = one_line(f"{type(error).__name__}: {error}", 200)
        raise InputError(
            "expected 'embedded', 'generated', a directory or a hub data set, "
            f"got source={source!r}: {reason}"
        ) from error
    tables: dict[str, list[Table]] = {}
    for split, names in chosen(found, task).items():
        if len(names) == 1:
            tables[split] = [_table(found[names[0]], f"{name}/{configuration} ({names[0]})")]
    if "train" not in tables or (len(tables) == 1 and task.tsv is not None):
        wanted = " or ".join(task.evaluation)
        raise InputError(f"expected splits train and {wanted}, got {', '.join(found)} in {source}")
    return tables


def _configuration(datasets: Any, name: str, task: Task) -> str:
    """Return the configuration of a data set that serves a task."""
    names: list[str] = datasets.get_dataset_config_names(name)
    if task.name in names:
        return task.name
    if len(names) == 1:
        return names[0]
    listed = ", ".join(names)
    raise InputError(
        f"expected a configuration for task {task.name} (as {name}:configuration), got {listed}"
    )


def _table(split: Any, origin: str) -> Table:
    """Return one split as a table, with its label names."""
    names = {column: getattr(each, "names", None) for column, each in split.features.items()}
    named = {column: tuple(found) for column, found in names.items() if found}
    return Table(origin, dict(split.to_dict()), named)
