"""Writer of every file: whole or not at all, private unless shared, nothing left by a kill.

What is written is drafted in a folder of its own beside its place, `.NAME.TOKEN.fedbert-tmp`, its
owner's alone and locked as long as its writer lives, and takes its place by one rename. A killed
writer's draft is nobody's: `sweep`, with which every command on a folder begins, takes it away.
"""

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".fedbert-tmp"
BEFORE = "before"  # in a draft: the folder that was there, until the new one is
DRAFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}" + re.escape(SUFFIX))
EARLIER = re.compile(r"\.(samples\.json|report\.html|[0-9a-f]+\.(npz|safetensors))\.\d+\.tmp")
"""Drafts with private content of earlier versions, which had no lock."""


def write_whole(path: Path, content: bytes, shared: bool = False) -> Path:
    """Return the path, after the whole content has taken the place of what was there."""
    with whole(path, shared) as draft:
        draft.write_bytes(content)
    return path


@contextmanager
def whole(path: Path, shared: bool = False) -> Iterator[Path]:
    """Yield a path to write a file to, which takes the place of `path` when the block ends well.

    The file is its owner's alone, unless it is shared: then as the user's umask has it.

    Raises:
        OSError: naming `path`, where it cannot be written.
    """
    with _draft(path, shared) as folder:
        draft = folder / path.name
        yield draft
        _sync(draft)
        os.replace(draft, path)
        _sync(path.parent)


@contextmanager
def whole_folder(path: Path, shared: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes the place of `path` when the block ends well.

    Raises:
        OSError: naming `path`, where it cannot be written.
    """
    with _draft(path, shared) as folder:
        made, before = folder / path.name, folder / BEFORE
        made.mkdir()
        yield made
        for each in sorted(made.rglob("*")):
            _sync(each)
        _sync(made)
        if path.exists():
            os.rename(path, before)
        try:
            os.rename(made, path)
        except OSError:
            if before.exists():
                os.rename(before, path)
            raise
        _sync(path.parent)


@contextmanager
def appending(path: Path) -> Iterator[BinaryIO]:
    """Yield a private file to read and to append to; all of it is on disk when the block ends.

    Raises:
        OSError: naming `path`, where it cannot be written.
    """
    private_folder(path.parent)
    with _naming(path), open(path, "a+b", opener=_private) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def private_folder(path: Path) -> Path:
    """Return a folder, made where it is not there: its owner's alone then."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def open_private(path: Path) -> BinaryIO:
    """Return a file to write, empty; its owner's alone where it is new."""
    return open(path, "wb", opener=_private)


def sweep(*folders: Path) -> None:
    """Take away the drafts of writers that are gone; put back a folder that one had set aside."""
    for folder in folders:
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            found = DRAFT.fullmatch(entry.name)
            if not found and not EARLIER.fullmatch(entry.name):
                continue
            status = entry.lstat()
            if status.st_uid != os.getuid():  # in a place that several share
                continue
            if found and stat.S_ISDIR(status.st_mode):
                _sweep(entry, folder / found["name"])
            elif not found and stat.S_ISREG(status.st_mode):
                entry.unlink(missing_ok=True)


def _sweep(draft: Path, place: Path) -> None:
    """Take a draft away, unless its writer lives."""
    with suppress(FileNotFoundError), _locked(draft) as free:
        if not free:
            return
        if (draft / BEFORE).exists() and not place.exists():
            os.rename(draft / BEFORE, place)
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _draft(path: Path, shared: bool) -> Iterator[Path]:
    """Yield a new, locked, private folder beside a path, which goes however the block ends."""
    if shared:
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        private_folder(path.parent)
    with _naming(path, path.with_name(f".{path.name}.")), _umask(None if shared else 0o077):
        folder, lock = claimed(path)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def claimed(path: Path) -> tuple[Path, int]:
    """Return a new private folder beside a path, and what holds its lock until it is closed."""
    while True:  # a sweep may come between making and locking
        folder = path.with_name(f".{path.name}.{os.urandom(6).hex()}{SUFFIX}")
        folder.mkdir(mode=0o700)
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Yield whether a folder's lock was free; then it is held for the block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextmanager
def _umask(mask: int | None) -> Iterator[None]:
    """Let what a library creates in the block be its owner's alone, from its first byte on."""
    if mask is None:
        yield
        return
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _naming(path: Path, drafts: Path | None = None) -> Iterator[None]:
    """Let an OSError name the path: a full disk names none, and drafts are known to nobody."""
    try:
        yield
    except OSError as error:
        named = error.filename
        ours = named is None or (drafts is not None and str(named).startswith(str(drafts)))
        if ours and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
