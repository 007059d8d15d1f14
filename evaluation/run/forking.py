"""Forking of workers: the process that they come from, its temporaries, and Ctrl-C held back."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from functools import cache
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import ForkServerContext

from fedbert.disk.temporary import temporary_folder

ROOM = 60
"""Bytes of a folder in which the address of a socket, of at most 108, has room."""


def context(preload: str) -> ForkServerContext:
    """Return where processes come from that have imported a module."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([preload])
    _settle_temporaries()
    return found


def start(preload: str) -> None:
    """Start the process that workers are forked from, unless it is there; it imports by itself."""
    context(preload)
    resource_tracker.ensure_running()
    with sheltered():
        forkserver.ensure_running()


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """Hold Ctrl-C back for the block: this process hears it thereafter, those it starts never."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _settle_temporaries() -> None:
    """Have the sockets of this process' workers where a kill leaves nothing for long."""
    folder = temporary_folder()
    if len(os.fsencode(folder)) > ROOM:
        return
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        util.get_temp_dir()  # it stays where it is made
    finally:
        tempfile.tempdir = before
