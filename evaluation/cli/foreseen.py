"""Foresight of a whole grid, without training: claims by view, refusals, and what is lacking."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evaluation.attacking.foresight import Foresight
from evaluation.cli.budget_text import refusing
from evaluation.grid.defence import facts_of, faint_places, make_defence
from evaluation.grid.preflight import Found, preflight
from evaluation.grid.spec import Cell, Grid
from fedbert.config import Config
from fedbert.errors import within
from fedbert.prepare import Prepared, prepare
from privacy.accounting import ledger
from privacy.defence import refuse
from privacy.users import further_claims
from reports.alike import over_views
from reports.checks import VIEWS
from reports.frontier.claims import without_claim
from reports.frontier.wish import PRIVATE
from reports.labels import further_labels, phrase
from reports.noise_mode import CLAIMS, note_of
from reports.rows import guarantee_cell, round_up
from reports.wording import ABSENT

if TYPE_CHECKING:
    from rich.table import Table

FULL = "`--full` says what each claim holds for, and what it does not cover."

SEEDS = (
    "Claims are those of each setting's first seed; where clients differ in size, so do rates and "
    "claims from seed to seed."
)


@dataclass
class Setting:
    """Cells that differ in their seed alone, and what is known of them before they run.

    refused: why none of them will run; "" where they will. claims: as records hold them.
    """

    first: Cell
    cells: list[Cell] = field(default_factory=list)
    refused: str = ""
    claims: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Defence, level, and what a sweep set."""
        labels = self.first.labels
        level = "" if self.first.level == "-" else f", {self.first.level}"
        return f"{labels['defence']}{level}{phrase(further_labels(labels))}"

    @property
    def said(self) -> list[str]:
        """Refusal, or claims in full, views that say the same told once."""
        if self.refused:
            return [f"refused: {self.refused}"]
        told = [(claim["view"], claim["sentence"]) for claim in self.claims]
        return [f"{views}: {sentence}" for views, sentence in over_views(told)]

    @property
    def caveat(self) -> str:
        """What claims of noise that can be made again are to be read with; "" for none."""
        claiming = any(claim["kind"] in CLAIMS for claim in self.claims)
        return note_of([self.first.config.noise] if claiming else [])

    def to_json(self) -> dict[str, Any]:
        """The setting for machines."""
        labels = {name: text for name, text in self.first.labels.items() if name != "seed"}
        return {
            **labels,
            "refused": self.refused or None,
            "claims": self.claims,
            "claims_of_seed": self.first.config.seed,
            "noise": self.first.config.noise,
            "caveat": self.caveat or None,
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class Foreseen:
    """The settings of a grid in its order, and what else there is to say.

    lines: which attacks will lack something. found: what the preflight check found. inputs: returns
    those of a training, loaded once.
    """

    settings: list[Setting]
    lines: list[str]
    found: Found
    inputs: Callable[[Config], Prepared]


def foreseen(grid: Grid) -> Foreseen:
    """Return what is known of a grid before it runs; data and models are loaded for it.

    Raises:
        InputError: for all that the grid would be refused for, in the same words.
    """
    loaded: dict[Config, Prepared] = {}

    def make(config: Config) -> Prepared:
        if config not in loaded:  # clients and rates follow from strategy and batch size, too
            loaded[config] = prepare(config, coin=True)
        return loaded[config]

    found = preflight(grid, make=make)
    foresight = Foresight()
    settings: dict[Cell, Setting] = {}
    private = grid.frontier is not None and grid.frontier["data"] == PRIVATE
    for cell in grid.cells:
        key = replace(cell, config=replace(cell.config, seed=0))
        new = key not in settings
        setting = settings.setdefault(key, Setting(cell))
        setting.cells.append(cell)
        if new:
            with refusing(), within(grid.where):
                _look(setting, make(cell.config), foresight)
                if private:
                    setting.claims = [without_claim(claim) for claim in setting.claims]
    return Foreseen(list(settings.values()), foresight.lines(), found, make)


def _look(setting: Setting, prepared: Prepared, foresight: Foresight) -> None:
    """Fill in what is known of a setting."""
    cell = setting.first
    facts = facts_of(cell.config, prepared, cell.defence, cell.delta)
    defence = make_defence(cell.defence, facts)
    setting.refused = refuse(defence, facts) or ""
    if setting.refused:
        return
    claims = [*ledger(defence, facts).values(), *further_claims(defence, facts)]
    setting.claims = [claim.to_json() for claim in claims]
    setting.warnings = list(faint_places(defence))
    foresight.look(cell, prepared, defence)


def in_full(settings: Sequence[Setting]) -> Iterator[str]:
    """Yield every claim's sentence, tasks of which the same is said together."""
    told: dict[tuple[str, ...], tuple[Setting, list[str]]] = {}
    for each in settings:
        said = (each.name, each.first.labels["strategy"], *each.said, *each.warnings)
        told.setdefault(said, (each, []))[1].append(each.first.labels["task"])
    for each, tasks in told.values():
        yield f"{each.name} ({each.first.labels['strategy']}; {', '.join(tasks)})"
        yield from (f"  {line}" for line in each.said)
        yield from (f"  Warning: {words}" for words in each.warnings)


def notes(settings: Sequence[Setting]) -> Iterator[str]:
    """Yield why settings are refused, and what is to be feared of others."""
    for each in settings:
        if each.refused:
            yield f"refused: {each.name} ({each.first.labels['strategy']}): {each.refused}"
        yield from (f"Warning: {each.name}: {words}" for words in each.warnings)
    if any(len(each.cells) > 1 and each.claims for each in settings):
        yield SEEDS
    yield from dict.fromkeys(each.caveat for each in settings if each.caveat)


def table(settings: Sequence[Setting]) -> "Table":
    """Return one table: a row for each setting, a column for each view."""
    from rich.table import Table

    from reports.terminal import cell

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for head in ("setting", "strategy", "task", *VIEWS):
        shown.add_column(head)
    rows: dict[tuple[str, ...], list[str]] = {}
    for each in settings:
        labels = each.first.labels
        views = ["refused"] * 5 if each.refused else [short(each, view) for view in VIEWS]
        rows.setdefault((each.name, labels["strategy"], *views), []).append(labels["task"])
    for (name, strategy, *views), tasks in rows.items():
        shown.add_row(*map(cell, (name, strategy, ", ".join(tasks), *views)))
    return shown


def short(setting: Setting, view: str) -> str:
    """Return what is claimed about a view in a few words, with unit and delta."""
    told = []
    for claim in setting.claims:
        if claim["view"] != view:
            continue
        if claim["kind"] == "guarantee":
            delta = f", delta {claim['delta']:g}" if claim["delta"] else ", delta 0"
            told.append(f"eps {round_up(claim['epsilon'])}{delta} ({claim['unit']})")
        elif claim["kind"] == "metric guarantee":
            told.append(guarantee_cell(claim).short)
        else:
            told.append("none" if claim["kind"] == "no guarantee" else claim["kind"])
    claimed = [each for each in told if each != "none"]
    bare = ", none for the text" if claimed and len(claimed) < len(told) else ""
    return "; ".join(claimed or told[:1]) + bare or ABSENT
