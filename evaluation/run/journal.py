"""Journal of a training's launches, in a file beside its checkpoint: one that was killed counts."""

import json
from dataclasses import dataclass
from pathlib import Path

from evaluation.grid.launches import Launches
from fedbert.errors import InputError
from reports.whole import whole


@dataclass(frozen=True)
class Journal:
    """The launches of one training. of: the hash of what is trained; others' launches are none."""

    path: Path
    of: str

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
        return Launches.from_json(launches, str(self.path)) if of == self.of else Launches()

    def write(self, launches: Launches) -> None:
        """Write the launches, whole or not at all."""
        with whole(self.path) as draft:
            draft.write_text(json.dumps({"of": self.of, "launches": launches.to_json()}) + "\n")
