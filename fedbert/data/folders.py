"""Folders of data files: finding the splits of a task."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedbert.data.files import read_table, readable
from fedbert.data.glue_zip import is_old_mrpc, read_old_mrpc
from fedbert.data.tables import Table
from fedbert.errors import InputError
from fedbert.tasks import Task

_SHARD = re.compile(
    r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})(?:-(?:[0-9a-f]{8,64}))?", re.ASCII
)
_SHORTER: dict[str, tuple[str, ...]] = {"validation": ("dev", "valid", "val")}
_DISK, _STATE, _INSIDE = "dataset_dict.json", "state.json", "data"
_LISTED = 12


def load_folder(task: Task, source: Path) -> dict[str, list[Table]]:
    """Return the tables of "train" and of the splits to judge on, by split.

    The files may lie in `source` itself, in a folder of it named after the task ("sst2") or as in
    the official archive ("SST-2"), or in the `data` of one of these, as in a data-set repository. A
    file belongs to a split when its stem is the split's name ("validation_matched"), a common
    shorter form ("dev_matched"), or else begins with it and an underscore or hyphen
    ("validation_from_train"); numbered shards ("train-00000-of-00002", with a hash or without) are
    joined. A folder that `save_to_disk` wrote has the splits that it names. Of several evaluation
    splits (MNLI) those that are there are returned. Outside of GLUE a test split stands in for a
    validation split, and a single split is returned as "train".

    Raises:
        InputError: when no file or more than one fits a split, the message names what was found; or
            for a link that leads out of `source`.
    """
    folders = _folders(task, source)
    for folder in folders:
        if is_old_mrpc(folder, task) and not (folder / "train.tsv").is_file():
            return read_old_mrpc(folder, task)
        files = found_in(folder)
        if matching(files, "train"):
            return _read_splits(task, source, folder, files)
        if len(files) == 1 and task.tsv is None:
            return _read_splits(task, source, folder, {"train": next(iter(files.values()))})
    wanted = "train.parquet, train.csv, train.jsonl or train.tsv"
    raise InputError(f"expected {wanted} for task {task.name}, got {_found(folders)}")


def load_split(task: Task, source: Path, split: str = "") -> list[Table]:
    """Return the tables of one split of a folder: the one that is named, or the only one.

    Raises:
        InputError: as `load_folder`, or for one split of several where none is named.
    """
    folders = _folders(task, source)
    for folder in folders:
        files = found_in(folder)
        names = matching(files, split) if split else list(files)
        if files and len(names) != 1:
            told, one = ", ".join(files), f"{source}:{next(iter(files))}"
            raise InputError(f"expected one split, as {one}, got splits={told} in {folder}")
        if files:
            return _read(task, source, split, files[names[0]])
    raise InputError(f"expected files of examples, got {_found(folders)}")


def _folders(task: Task, source: Path) -> list[Path]:
    """Return the folders of a source in which its files may lie, `source` itself first."""
    tops = [source, *_task_folders(source, task)]
    found = [each for top in tops for each in (top, top / _INSIDE) if each.is_dir()]
    for folder in found:
        check_within(source, folder)
    return found


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


def check_within(source: Path, path: Path) -> None:
    """Raise InputError for a path that a link leads out of the folder that was named."""
    if not path.resolve().is_relative_to(source.resolve()):
        raise InputError(f"expected files within {source}, got a link out of it at {path}")


def found_in(folder: Path) -> dict[str, list[Path]]:
    """Return the readable files by stem, shards under their common stem, in order."""
    if (folder / _DISK).is_file():
        return {name: _saved(folder / name) for name in _names(folder / _DISK, "splits")}
    if (folder / _STATE).is_file():
        return {"train": _saved(folder)}
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if readable(path) and path.is_file():
            shard = _SHARD.fullmatch(path.stem)
            groups.setdefault(shard["stem"] if shard else path.stem, []).append(path)
    return {stem: paths for stem, paths in groups.items() if _is_data(stem, paths)}


def _is_data(stem: str, paths: Sequence[Path]) -> bool:
    """Return whether files hold rows: a data set's own description of itself does not."""
    return not (stem in ("dataset_info", "dataset_infos") and paths[0].suffix == ".json")


def _saved(folder: Path) -> list[Path]:
    """Return the files of one split as `save_to_disk` names them, in their order."""
    if _names(folder / _STATE, "_indices_data_files", needed=False):
        raise InputError(f"expected a data set saved with its rows in order, got one in {folder}")
    return [folder / name for name in _names(folder / _STATE, "_data_files")]


def _names(path: Path, key: str, needed: bool = True) -> list[str]:
    """Return the names that a file of `save_to_disk` lists: of things in its own folder."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        listed = found[key] if needed else found.get(key) or []
        names = [each if isinstance(each, str) else each["filename"] for each in listed]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        told = f"expected {key} as save_to_disk writes them, got none in {path}"
        raise InputError(told) from None
    for name in names:
        plain = isinstance(name, str) and Path(name).name == name and name.isprintable()
        if not plain or name in ("", ".", ".."):
            raise InputError(f"expected {key} in the folder itself, got {name!r} in {path}")
    return names


def matching(names: Iterable[str], split: str) -> list[str]:
    """Return the names that fit a split, the best kind of match only.

    >>> matching(["dev", "validation_small"], "validation")
    ['dev']
    >>> matching(["train", "validation_matched_sample"], "validation_matched")
    ['validation_matched_sample']
    """
    known = list(names)
    base, _, rest = split.partition("_")
    for start in (base, *_SHORTER.get(base, ())):
        exact = f"{start}_{rest}" if rest else start
        if exact in known:
            return [exact]
    return [name for name in known if name.startswith((f"{split}_", f"{split}-"))]


def chosen(names: Iterable[str], task: Task) -> dict[str, list[str]]:
    """Return the names that fit each split of a task; outside of GLUE a test split may judge.

    >>> from fedbert.tasks import TASKS
    >>> chosen(["test", "train"], TASKS["mlm"]), chosen(["test", "train"], TASKS["sst2"])
    ({'train': ['train'], 'test': ['test']}, {'train': ['train']})
    """
    known = list(names)
    found = {split: matching(known, split) for split in ("train", *task.evaluation)}
    if task.tsv is None and not any(found[split] for split in task.evaluation):
        found["test"] = matching(known, "test")
    return {split: fitting for split, fitting in found.items() if fitting}


def _read_splits(
    task: Task, source: Path, folder: Path, files: dict[str, list[Path]]
) -> dict[str, list[Table]]:
    """Return the tables of every split found in one folder."""
    found: dict[str, list[Table]] = {}
    for split, stems in chosen(files, task).items():
        if len(stems) > 1:
            raise InputError(
                f"expected one file for {split}, got files={', '.join(stems)} in {folder}"
            )
        found[split] = _read(task, source, split, files[stems[0]])
    if len(found) == 1 and task.tsv is not None:
        wanted = " or ".join(task.evaluation)
        raise InputError(f"expected a file for {wanted}, got {_found([folder])}")
    return found


def _read(task: Task, source: Path, split: str, files: Sequence[Path]) -> list[Table]:
    """Return the tables of one split's files, all of them within the source."""
    paths = _complete(split, files)
    for path in paths:
        check_within(source, path)
    return [read_table(path, task) for path in paths]


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
