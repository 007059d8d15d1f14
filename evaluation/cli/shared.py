"""Parts that several commands share: quiet libraries, complaints as one line."""

import logging
import os
from collections.abc import Callable
from typing import Any

from fedbert.config import InputError


def or_refuse(call: Callable[[], Any]) -> Any:
    """Return what a function of `reports` returns; its complaints are the user's input."""
    try:
        return call()
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(str(error)) from None


def quiet() -> None:
    """Keep libraries from talking over the progress."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
