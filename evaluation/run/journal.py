"""Journal of a training's launches, in a file beside its checkpoint: one that was killed counts."""

import json
from dataclasses import dataclass
from pathlib import Path

from evaluation.grid.launches import Launches
from fedbert.disk.writer import write_whole
from fedbert.errors import InputError


@dataclass(frozen=True)
class Journal:
    """The launches of one training, by hashes of what is trained; others' launches are none.

    of: the keyed hash that is written. earlier: the plain one, as earlier versions wrote it.
    """

    path: Path
    of: str
    earlier: str = ""

    def read(self) -> Launches:
        """Return the launches so far.

        Raises:
            InputError: for a file that holds something else.
        """
        if not self.path.exists():
            return Launches()
        try:
            held = json.loads(self.path.read_text())
            of, launches = held["of"], held["launches"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"expected launches, got {error} in {self.path}") from None
        if of not in (self.of, self.earlier):
            return Launches()
        return Launches.from_json(launches, str(self.path))

    def write(self, launches: Launches) -> None:
        """Write the launches, whole or not at all."""
        text = json.dumps({"of": self.of, "launches": launches.to_json()}) + "\n"
        write_whole(self.path, text.encode())
