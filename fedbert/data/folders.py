"""Folders of data files: finding the splits of a task."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedbert.data.glue_zip import is_glue_folder, read_glue_folder
from fedbert.data.tables import READABLE, Table, read_table
from fedbert.errors import InputError
from fedbert.tasks import Task

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})")
_SHORTER: dict[str, tuple[str, ...]] = {"validation": ("dev", "valid", "val"), "train": ()}
_LISTED = 12


def load_folder(task: Task, source: Path) -> dict[str, list[Table]]:
    """Return the tables of "train" and of the task's evaluation splits, by split.

    The files may lie in `source` itself or in a folder of it named after the task ("sst2") or as in
    the official archive ("SST-2"). A file belongs to a split when its stem is the split's name
    ("validation_matched"), a common shorter form ("dev_matched"), or else begins with it and an
    underscore or hyphen ("validation_from_train"); numbered shards ("train-00000-of-00002") are
    joined. Of several evaluation splits (MNLI) those that are there are returned.

    Raises:
        InputError: when no file or more than one fits a split; the message names what was found.
    """
    folders = [source, *_task_folders(source, task)]
    for folder in folders:
        if is_glue_folder(folder) and task.tsv is not None:
            return read_glue_folder(folder, task)
        files = _grouped(folder)
        if matching(files, "train"):
            return _read_splits(task, folder, files)
    wanted = "train.parquet, train.csv, train.jsonl or train.tsv"
    raise InputError(f"expected {wanted} for task {task.name}, got {_found(folders)}")


def _task_folders(source: Path, task: Task) -> list[Path]:
    """Return the folders of `source` that bear the task's name."""
    names = {task.name} | ({task.tsv.folder.lower()} if task.tsv else set())
    return sorted(p for p in source.iterdir() if p.is_dir() and p.name.lower() in names)


def _found(folders: Iterable[Path]) -> str:
    """Return what lies in the folders, for a message."""
    return "; ".join(f"{folder} with {_listing(folder)}" for folder in folders)


def _listing(folder: Path) -> str:
    """Return the names in a folder, shortened."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    if not names:
        return "nothing"
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _grouped(folder: Path) -> dict[str, list[Path]]:
    """Return the readable files by stem, shards under their common stem, in order."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in READABLE and path.is_file():
            shard = _SHARD.fullmatch(path.stem)
            groups.setdefault(shard["stem"] if shard else path.stem, []).append(path)
    return groups


def matching(names: Iterable[str], split: str) -> list[str]:
    """Return the names that fit a split, the best kind of match only.

    >>> matching(["dev", "validation_small"], "validation")
    ['dev']
    >>> matching(["train", "validation_matched_sample"], "validation_matched")
    ['validation_matched_sample']
    """
    known = list(names)
    base, _, rest = split.partition("_")
    for start in (base, *_SHORTER[base]):
        exact = f"{start}_{rest}" if rest else start
        if exact in known:
            return [exact]
    return [name for name in known if name.startswith((f"{split}_", f"{split}-"))]


def _read_splits(task: Task, folder: Path, files: dict[str, list[Path]]) -> dict[str, list[Table]]:
    """Return the tables of every split found in one folder."""
    found: dict[str, list[Table]] = {}
    for split in ("train", *task.evaluation):
        stems = matching(files, split)
        if len(stems) > 1:
            raise InputError(
                f"expected one file for {split}, got files={', '.join(stems)} in {folder}"
            )
        if stems:
            paths = _complete(split, files[stems[0]])
            found[split] = [read_table(path) for path in paths]
    if len(found) == 1:
        wanted = " or ".join(task.evaluation)
        raise InputError(f"expected a file for {wanted}, got {_found([folder])}")
    return found


def _complete(split: str, paths: Sequence[Path]) -> Sequence[Path]:
    """Return the files of one split: a single one, or all of its shards."""
    shards = [_SHARD.fullmatch(path.stem) for path in paths]
    totals = {int(shard["total"]) if shard else 0 for shard in shards}
    if totals == {0} and len(paths) == 1:
        return paths
    numbers = [int(shard["number"]) for shard in shards if shard]
    if 0 not in totals and len(totals) == 1 and numbers == list(range(max(totals))):
        return paths
    names = ", ".join(path.name for path in paths)
    raise InputError(
        f"expected one file or all shards for {split}, got files={names} in {paths[0].parent}"
    )
