"""`fedbert-eval data`: what lies in a data set, before anything is trained on it."""

import json
from typing import TYPE_CHECKING, Any

import click

from evaluation.cli.shared import examples, print_tables, quiet, with_options
from reports.terminal import cell, say, working

if TYPE_CHECKING:
    from fedbert.data.columns import Column
    from fedbert.data.examples import Examples
    from fedbert.tasks import Task

OPTIONS = [
    click.argument("source"),
    click.option("--task", help="Look at it as this task of GLUE, or mlm, reads it."),
    click.option("--text", help="Its column of texts [default: that of the longest]."),
    click.option("--pair", help="Its column of second texts, where texts come in pairs."),
    click.option("--label", help="Its column of labels [default: by name, or the fewest values]."),
    click.option("--labels", help="Its classes in order, as neg,neutral,pos [default: as found]."),
    click.option("--group", help="Its column of the persons that rows belong to."),
    click.option(
        "--max-length", type=click.IntRange(8, 512), default=64, show_default=True, help="Tokens."
    ),
    click.option(
        "--tokenizer", default="embedded", show_default=True, help="A directory, or a hub name."
    ),
    click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Of the run whose split is shown, where SOURCE has one split.",
    ),
]


@click.command(epilog=examples("data reviews.csv", "data reviews.csv --text review --label stars"))
@with_options(OPTIONS)
def data(source: str, task: str | None, max_length: int, tokenizer: str, **named: Any) -> None:
    """Look at the data in SOURCE before a training.

    SOURCE is a directory or a file: columns, labels, repeats, what max_length cuts. Where it holds
    one split, it is divided as a run of --seed divides it.
    """
    quiet()
    with working(f"looking at {source}"):
        from fedbert.data.places import refuse_missing

        refuse_missing(source, own=task in (None, "own"))
    with working(f"loading transformers and {source}"):
        from fedbert.config import DataConfig
        from fedbert.data.batches import encode
        from fedbert.data.sources import load
        from fedbert.data.survey import essentials, label_counts
        from fedbert.seeding import data_seed
    seed = named.pop("seed")

    if task is not None and task != "own":
        group = named["group"]
        read = task if group is None else DataConfig(task=task, group=group).chosen_task
        examples = load(read, source, seed=data_seed(seed))
        lines = [f'source = "{source}"']
        lines += [] if group is None else [f"group = {json.dumps(group, ensure_ascii=False)}"]
    else:
        examples, lines = _own(source, named, data_seed(seed))
    kind = examples["train"].task
    if kind.kind == "classification":
        print_tables([_label_table({s: label_counts(each) for s, each in examples.items()})], 100)
    reader = _tokenizer(tokenizer)
    encoded = {split: encode(each, reader, max_length) for split, each in examples.items()}
    for line in essentials(examples, encoded, max_length):
        say(line)
    if any(each.held_out for each in examples.values()):
        say(f"split as a run of seed {seed} splits it, before pool_size and hold_out (--seed)")
    for line in ["", f'tasks = ["{kind.name}"]', "", "[data]"]:
        say(line)
    for line in [*lines, f"max_length = {max_length}"]:
        say(line)


def _own(source: str, named: dict[str, Any], seed: int) -> "tuple[dict[str, Examples], list[str]]":
    """Return somebody's own examples by split, and the lines of [data] that read them so."""
    from fedbert.data import columns as of
    from fedbert.data.examples import from_tables
    from fedbert.data.sources import halves, tables_of
    from fedbert.tasks import grouped, own_task

    first = own_task("text", None, "label", (), None)
    tables = tables_of(first, source)
    every = [table for each in tables.values() for table in each]
    found = of.columns_of(every)
    print_tables([_column_table(found)], 100)
    for split, each in tables.items():
        say(f"{split}: {', '.join(table.origin for table in each)}")
    text = of.text_of(found, named["text"])
    texts = [text] if named["pair"] is None else [text, named["pair"]]
    group = None if named["group"] is None else of.known(found, named["group"])
    label = of.label_of(found, named["label"], texts if group is None else [*texts, group])
    asked = named["labels"]
    labels = of.classes_of(found, label) if asked is None else tuple(asked.split(","))
    task = own_task(text, named["pair"], label, labels, None if labels else "pearson")
    task = grouped(task, group)
    examples = {split: from_tables(task, each) for split, each in tables.items()}
    if len(examples) == 1:
        examples = halves(examples["train"], "validation", seed)
    return examples, _section(source, task)


def _section(source: str, task: "Task") -> list[str]:
    """Return the lines of [data] that read a source as a task, as TOML."""
    values: dict[str, Any] = {"source": source}
    values |= dict(zip(("text", "pair"), task.columns, strict=False))
    values |= {"label": task.label}
    values |= {"labels": list(task.label_names)} if task.label_names else {"metric": "pearson"}
    values |= {} if task.group is None else {"group": task.group}
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _column_table(columns: "list[Column]") -> Any:
    """Return what each column holds, as a table for the terminal."""
    from rich.table import Table as Shown

    shown = Shown("column", "holds", "different", "missing", "characters", "values", box=None)
    for each in columns:
        few = each.words if len(each.words) <= 10 else {}
        listed = ", ".join(f"{word!r} {count:,}" for word, count in few.items())
        length = f"{each.length:.0f}" if each.length else ""
        cells = (each.name, each.holds, f"{each.different:,}", f"{each.missing:,}", length, listed)
        shown.add_row(*map(cell, cells))
    return shown


def _label_table(counts: dict[str, dict[str, int]]) -> Any:
    """Return how often each label occurs in each split, as a table for the terminal."""
    from rich.table import Table as Shown

    shown = Shown("label", *counts, box=None)
    for name in next(iter(counts.values())):
        shown.add_row(cell(name), *(f"{each[name]:,}" for each in counts.values()))
    return shown


def _tokenizer(name: str) -> Any:
    """Return the tokenizer that says how long texts are."""
    from fedbert.config import ModelConfig
    from fedbert.model import load_tokenizer

    return load_tokenizer(ModelConfig(source="tiny", tokenizer=name))
