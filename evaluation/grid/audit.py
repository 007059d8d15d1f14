"""Audit of a training while it goes on: what is asked of it."""

from typing import Annotated, Any

from pydantic import Field

from fedbert.errors import expect
from fedbert.settings import settings

CANARIES = 10_000
"""The most canaries of a training."""
LEAST = 10


@settings
class AuditSettings:
    """How a training is audited while it goes on, and stopped when its claim cannot stand.

    canaries: planted beside the training's own: records under DP-SGD, clients under DP-FedAvg and
        its relatives, texts else. None are planted at 0; at the least 10.
    noise: the noise itself is looked at in every release: its size, values without it, and whether
        it was used before. With canaries under such a defence in any case.
    """

    canaries: Annotated[int, Field(ge=0, le=CANARIES)] = 0
    noise: bool = False

    def __post_init__(self) -> None:
        """Refuse a handful of canaries."""
        fine = self.canaries == 0 or self.canaries >= LEAST
        expect(fine, f"0 or at least {LEAST} canaries", "canaries", self.canaries)

    @property
    def asked(self) -> bool:
        """Whether anything is asked for."""
        return self.canaries > 0 or self.noise

    def keyed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return a defence as repeatable noise goes by it: with canaries the data is another."""
        return asked | ({"canaries": self.canaries} if self.canaries else {})

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in a file."""
        return dict(vars(self))


NO_AUDIT = AuditSettings()
