"""Fuzzed data files: rows of any form, damaged as cells and as bytes."""

import csv
import io
import json
import random
import struct
from pathlib import Path
from typing import Any

from fedbert.data.sources import load_one
from fedbert.tasks import TASKS, Task, own_task
from tests.fuzz import odd, rows
from tests.fuzz.trial import EITHER, Trial, Verdict, command, verdict_of

FORMS = ("csv", "tsv", "jsonl", "json", "txt", "parquet")
CLASSES = ((), ("neg", "pos"), ("1", "2", "3"), ("bad", "so, so", "très bon"))
TEXTS = (
    "a fine film", "naïve, they said", 'she said "no"', "two  blanks ", "日本語", "😀 yes", "it's",
    "tabs\tand\nlines", "", "NULL", "1", "x" * 3000, "one \u2028 other", "semi; colon", "100 %",
)  # fmt: skip


def make(rng: random.Random, folder: Path) -> Trial:
    """Return a file of examples that is right, or odd in one way or two."""
    form = rng.choice(FORMS)
    path = folder / f"data.{form}"
    if form == "txt":
        return _documents(rng, path)
    classes, pair = rng.choice(CLASSES), rng.random() < 0.2
    names = ["review", "other", "stars"] if pair else ["review", "stars"]
    if rng.random() < 0.3:
        names.insert(rng.randrange(len(names)), "extra")
    table = [[_cell(name, classes, rng) for name in names] for _ in range(rng.randint(1, 6))]
    told = [_changed(table, names, rng)] if rng.random() < 0.6 else []
    if form == "parquet":
        return _parquet(rng, path, names, table, classes, told)
    path.write_bytes(_written(form, names, table, rng))
    if rng.random() < 0.45:
        data, how = odd.damaged(path.read_bytes(), rng)
        path.write_bytes(data)
        told.append(how)
    task = own_task("review", "other" if pair else None, "stars", classes, _metric(classes))
    verdict = verdict_of(lambda: rows.examples(path, task.columns, "stars", classes))
    if rng.random() < 0.06:
        asked = ("data", path, "--text", "review", "--label", "stars", "--tokenizer", "generated")
        return Trial(f"{form}: {told}, as data", lambda: command(*asked), EITHER, folder)
    return Trial(f"{form}: {', '.join(told) or 'as it is'}", lambda: _read(task, path),
                 _rounded(verdict, classes), folder)  # fmt: skip


def _metric(classes: tuple[str, ...]) -> str | None:
    return None if classes else "pearson"


def _read(task: Task, path: Path) -> list[Any]:
    """Return (texts, label) of each row, as the product reads it."""
    found = load_one(task, path)
    return list(zip(found.texts, found.labels.tolist(), strict=True))


def _rounded(verdict: Verdict, classes: tuple[str, ...]) -> Verdict:
    """Return a verdict whose scores have the precision of a float32."""
    if classes or not verdict.accepted:
        return verdict
    single = [(each, struct.unpack("f", struct.pack("f", y))[0]) for each, y in verdict.rows]
    return Verdict(True, single)


def _cell(name: str, classes: tuple[str, ...], rng: random.Random) -> Any:
    if name != "stars":
        return rng.choice(TEXTS)
    if not classes:
        return rng.choice((1.5, 0.25, -3, "2.5", 1e-3))
    return rng.choice(classes)


def _changed(table: list[list[Any]], names: list[str], rng: random.Random) -> str:
    """Change cells, rows or columns in themselves; return what was done."""
    row, column = rng.choice(table), rng.randrange(len(names))
    what = rng.choice(("cell", "cell", "cell", "ragged", "names", "twice", "none", "rows"))
    if what == "cell":
        row[column] = odd.value(rng)
    elif what == "ragged":
        row.pop() if rng.random() < 0.5 else row.append("more")
    elif what == "names":
        names[column] = rng.choice((*odd.WORDS, names[column].upper(), f" {names[column]}"))
    elif what == "twice":
        names.append(names[column])
        for each in table:
            each.append(each[column] if column < len(each) else "")
    elif what == "none":
        del table[:]
    else:
        table += [list(each) for each in table] * 50
    return what


def _written(form: str, names: list[str], table: list[list[Any]], rng: random.Random) -> bytes:
    """Return a table in a form; what a form has no word for is written as Python would."""
    if form == "csv":
        text = io.StringIO()
        quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
        end = rng.choice(("\n", "\r\n"))
        csv.writer(text, quoting=quoting, lineterminator=end).writerows([names, *_short(table)])
        return text.getvalue().encode("utf-8", "surrogatepass")
    if form == "tsv":
        lines = ["\t".join(map(str, each)) for each in [names, *_short(table)]]
        return "\n".join([*lines, ""]).encode("utf-8", "surrogatepass")
    objects = ["{" + ", ".join(_pair(*each) for each in zip(names, row, strict=False)) + "}"
               for row in table]  # fmt: skip
    newline = ",\n"
    if form == "json" and rng.random() < 0.7:
        return f"[{rng.choice((', ', newline)).join(objects)}]".encode()
    return "".join(f"{each}\n" for each in objects).encode()


def _short(table: list[list[Any]]) -> list[list[Any]]:
    """Return a table without numbers that Python will not write."""
    return [[0 if type(x) is int and abs(x) > 10**300 else x for x in row] for row in table]


def _pair(name: str, cell: Any) -> str:
    return f"{json.dumps(name)}: {json.dumps(cell)}"


def _documents(rng: random.Random, path: Path) -> Trial:
    """Return a text file for masked-LM."""
    lines = [rng.choice(TEXTS) for _ in range(rng.randint(0, 6))]
    data = "\n".join(lines).encode()
    told = "as it is"
    if rng.random() < 0.6:
        data, told = odd.damaged(data, rng)
    path.write_bytes(data)
    verdict = verdict_of(lambda: rows.documents(path))
    call = lambda: [text for (text,) in load_one(TASKS["mlm"], path).texts]  # noqa: E731
    return Trial(f"txt: {told}", call, verdict, path.parent)


def _parquet(
    rng: random.Random, path: Path, names: list[str], table: list[list[Any]],
    classes: tuple[str, ...], told: list[str],
) -> Trial:  # fmt: skip
    """Return a parquet file: whole, or cut short (refused), or with a bit changed (either)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [[row[i] if i < len(row) else None for row in table] for i in range(len(names))]
    arrays, used = [], []
    for name, cells in zip(names, columns, strict=True):
        try:
            arrays.append(pa.array(cells))
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            arrays.append(pa.array([str(each)[:50] for each in cells]))
        used.append(name)
    try:
        pq.write_table(pa.Table.from_arrays(arrays, names=used), path)
    except pa.ArrowException:  # what parquet has no form for
        plain = [pa.array([str(each)[:50] for each in cells]) for cells in columns]
        pq.write_table(pa.Table.from_arrays(plain, names=used), path)
    whole = path.read_bytes()
    verdict = EITHER
    how = rng.choice(("whole", "cut", "flip", "whole"))
    if how == "cut":
        path.write_bytes(whole[: rng.randrange(len(whole))])
        verdict = Verdict(False, why="it is cut short")
    elif how == "flip":
        path.write_bytes(odd.flip(whole, rng))
    texts = ("review", "other") if "other" in names else ("review",)
    task = own_task(*(*texts, None)[:2], "stars", classes, _metric(classes))
    if how == "whole" and not told:
        read = [[c.as_py() for c in each] for each in arrays]
        if classes:
            place = {name: i for i, name in enumerate(names)}
            found = [
                (
                    tuple(read[place[t]][i] for t in texts),
                    classes.index(str(read[place["stars"]][i])),
                )
                for i in range(len(table))
            ]
            whole_texts = all(first.strip() for (first, *_), _ in found)
            verdict = Verdict(True, found) if whole_texts else Verdict(False, why="a blank text")
    return Trial(f"parquet: {told}, {how}", lambda: _read(task, path), verdict, path.parent)
