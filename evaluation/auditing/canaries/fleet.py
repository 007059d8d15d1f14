"""Fleet that is watched: the default one, and who looks on as parties come and are called."""

from collections.abc import Callable
from typing import Any, Protocol

from fedbert.fleet import InProcess


class Watcher(Protocol):
    """Looks on in the operator's own process, where parties are objects."""

    def met(self, name: str, party: Any) -> None:
        """Know that a party has come into being under a name."""

    def before(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Know that a party's method is about to be called."""

    def after(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Know that it was called."""


class WatchedFleet:
    """The default fleet, whose parties and calls watchers see, in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        """Hold who looks on."""
        self.inner, self.watchers = InProcess(), watchers

    def spawn(self, name: str, factory: Callable[[], Any]) -> None:
        """Make the party."""
        party = factory()
        self.inner.spawn(name, lambda: party)
        for each in self.watchers:
            each.met(name, party)

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Call the party's method."""
        for each in self.watchers:
            each.before(name, method, arguments)
        answer = self.inner.call(name, method, *arguments)
        for each in self.watchers:
            each.after(name, method, arguments)
        return answer

    def retire(self, name: str) -> None:
        """Forget the party."""
        self.inner.retire(name)

    def close(self) -> None:
        """Forget all parties."""
        self.inner.close()
