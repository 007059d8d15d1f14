"""Defence as a file writes it: mechanisms at their places, levels, and what is to be searched."""

from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Any

from pydantic import AfterValidator

from evaluation.grid.frontier import check_ends
from evaluation.grid.spec import PLACES, DefenceSpec, Spec
from fedbert.errors import InputError
from fedbert.setting_types import Text
from fedbert.settings import Plain, distinct, refused, settings
from privacy.selection import Selection

RISKS = {"target_tpr_at_1pct": "TPR at 1 %", "target_advantage": "advantage"}
LEVEL = 'level = {"smashed.KEY" = [..]}'


def _mechanism(value: dict[str, Any]) -> dict[str, Any]:
    name = value.get("mechanism")
    if not isinstance(name, str) or not name:
        raise refused("a mechanism by its name: { mechanism = ... }")
    return value


def _different(level: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Return levels; one that stands there twice is refused, several parameters taken together."""
    distinct(tuple(zip(*level.values(), strict=False)) if len(level) > 1 else _only(level))
    return level


def _only(level: dict[str, tuple[Any, ...]]) -> tuple[Any, ...]:
    return next(iter(level.values()), ())


def _selection(value: dict[str, float]) -> dict[str, float]:
    selection_of(value)
    return value


def selection_of(value: dict[str, float]) -> Selection:
    """Return how many trainings a model was chosen among, as a file says it."""
    if not {"mean"} <= value.keys() <= {"mean", "shape"}:
        raise refused("chosen_among = { mean = 10.0, shape = 1.0 }")
    return Selection(**value)


Mechanism = Annotated[dict[str, Plain], AfterValidator(_mechanism)]


Chosen = Annotated[dict[str, float], AfterValidator(_selection)]


@settings
class DefenceSettings:
    """A defence: a name for the tables, and a mechanism with its parameters at each place.

    name: how the tables call it.
    smashed: acts on what clients send forward (A), at the client.
    hidden: acts on the hidden states (Z) that come back, at the server.
    hidden_gradient: acts on the gradients that clients send (G_Z), at the client.
    smashed_gradient: acts on the gradients that come back (G_A), at the server.
    update: acts on whole client updates.
    labels: randomises every class label once, before training.
    training: DP-SGD over all parameters together.
    penalty: a term of the clients' loss.
    chosen_among: its settings were chosen as the best of so many trainings on the same records,
        their number drawn at random beforehand: { mean = 10.0, shape = 1.0 }.
    level: one parameter at one place, over several values: {"smashed.target_epsilon" = [1.0, 8.0]};
        of several parameters the first values belong together, then the second.
    set: settings in place of the grid's, for this defence alone: {"training.batch_size" = 256}.
    search: of `fedbert-eval frontier`: parameters, each from its most private value to its most
        useful one: {"smashed.noise_multiplier" = [4.0, 0.1]}.
    epsilon: the same for the target_epsilon of a single mechanism: [0.5, 16.0].
    """

    name: Text
    smashed: Mechanism | None = None
    hidden: Mechanism | None = None
    hidden_gradient: Mechanism | None = None
    smashed_gradient: Mechanism | None = None
    update: Mechanism | None = None
    labels: Mechanism | None = None
    training: Mechanism | None = None
    penalty: Mechanism | None = None
    chosen_among: Chosen | None = None
    level: Annotated[dict[str, tuple[Plain, ...]], AfterValidator(_different)] = field(
        default_factory=dict
    )
    set: dict[str, Plain] = field(default_factory=dict)
    search: dict[str, tuple[Plain, ...]] = field(default_factory=dict)
    epsilon: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check levels, settings and what is searched."""
        for key, values in self.level.items():
            place, _, parameter = key.partition(".")
            if place not in PLACES or not parameter or not values:
                raise InputError(f"expected {LEVEL}, got level={self.level}")
            if getattr(self, place) is None:
                raise InputError(f"expected a mechanism at {place}, got a level alone")
        if len({*map(len, self.level.values())}) > 1:
            raise InputError(f"expected as many values of each key, got level={self.level}")
        for key, ends in self.searched.items():
            check_ends(key, ends)
            place = key.partition(".")[0]
            if place not in PLACES or getattr(self, place) is None:
                raise InputError(f"search: expected a mechanism at {place}, got {key} alone")

    @property
    def searched(self) -> dict[str, tuple[Any, ...]]:
        """What `frontier` searches: each parameter's most private value and its most useful one."""
        if self.epsilon is None:
            return self.search
        places = [place for place in PLACES if getattr(self, place) is not None]
        if self.search or len(places) != 1:
            found = f"mechanisms at {', '.join(places) or 'no place'}"
            found = "a search as well" if self.search else found
            raise InputError(f"epsilon: expected one mechanism, and no search, got {found}")
        return {f"{places[0]}.target_epsilon": self.epsilon}

    @property
    def chosen(self) -> Selection | None:
        """How many trainings it was chosen among; None where it is the only one."""
        return None if self.chosen_among is None else selection_of(self.chosen_among)

    def levels(self) -> Iterator[tuple[DefenceSpec, str]]:
        """Yield the defence at every one of its levels, with the level's label."""
        if not self.level:
            yield self.spec(), "-"
        for values in zip(*self.level.values(), strict=True):
            level = dict(zip(self.level, values, strict=True))
            yield self.spec(level), level_label(level)

    def spec(self, level: dict[str, Any] | None = None) -> DefenceSpec:
        """Return the defence, with some parameters, "place.name", put in."""
        specs = {}
        for place in PLACES:
            written = getattr(self, place)
            if written is not None:
                own = {
                    key.partition(".")[2]: value
                    for key, value in (level or {}).items()
                    if key.partition(".")[0] == place
                }
                params = {**written, **own}
                specs[place] = Spec(params.pop("mechanism"), tuple(sorted(params.items())))
        return DefenceSpec(self.name, **specs, chosen=self.chosen)


def level_label(level: dict[str, Any]) -> str:
    """Return how tables call a level: the place is named only where several parameters differ.

    >>> level_label({"smashed.target_epsilon": 8.0})
    'target_epsilon=8.0'
    >>> level_label({"training.target_tpr_at_1pct": 0.05, "labels.epsilon": 1.0})
    'training TPR at 1 % <= 0.05, labels.epsilon=1.0'
    """
    alone = len(level) == 1
    return ", ".join(_label(*key.partition(".")[::2], value, alone) for key, value in level.items())


def _label(place: str, parameter: str, value: Any, alone: bool) -> str:
    risk = RISKS.get(parameter)
    if risk is None:
        return f"{parameter}={value}" if alone else f"{place}.{parameter}={value}"
    return f"{'' if alone else f'{place} '}{risk} <= {value}"
