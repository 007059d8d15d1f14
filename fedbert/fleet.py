"""Fleet: the trainer reaches the parties by name, through calls with messages in and out."""

from collections.abc import Callable
from typing import Any, Protocol


class Fleet(Protocol):
    """The parties of one training, wherever they live."""

    def spawn(self, name: str, factory: Callable[[], Any]) -> None:
        """Bring a party into being under a name."""

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Return what the party's method answers."""

    def retire(self, name: str) -> None:
        """Let a party go; it may be spawned again."""

    def close(self) -> None:
        """Let all parties go."""


class InProcess:
    """The default fleet: parties are objects of this process, called one after another."""

    def __init__(self) -> None:
        """Make an empty fleet."""
        self._parties: dict[str, Any] = {}

    def spawn(self, name: str, factory: Callable[[], Any]) -> None:
        """Make the party."""
        self._parties[name] = factory()

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Call the party's method."""
        return getattr(self._parties[name], method)(*arguments)

    def retire(self, name: str) -> None:
        """Forget the party."""
        del self._parties[name]

    def close(self) -> None:
        """Forget all parties."""
        self._parties.clear()
