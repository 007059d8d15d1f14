"""Foreign classes: imported by leave alone, and nothing is called before the class is checked."""

import sys
from pathlib import Path

import pytest

from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import FAMILIES, MECHANISMS, VERBS
from evaluation.grid.defence import VALUES, make_defence
from evaluation.grid.defence import VERBS as MECHANISM_VERBS
from evaluation.grid.foreign import check_members, foreign_class
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import DefenceSpec, Spec
from evaluation.run.training_file import read_training
from fedbert.errors import InputError
from privacy.facts import TrainingFacts

OUTSIDER = """
import functools, pathlib
HERE = pathlib.Path(__file__).parent
(HERE / "imported").touch()

def ran(*values, **named):
    (HERE / "called").touch()

class Eager:
    def __init__(self, **named):
        ran()

class Meta(type):
    def __call__(cls, *values, **named):
        ran()

class Called(metaclass=Meta):
    pass

class HalfAnAttack:
    name, view = "half", "forward"
    def __init__(self):
        ran()
    def missing(self, knowledge):
        return None

class Talker:
    name = view = unit = clip_norm = noise_std = "said"
    missing = reconstruct = score = clip = add_noise = noise_model = cost = "no method"
    def __init__(self, **named):
        ran()

class Attack:
    name, view = "theirs", "forward"
    def missing(self, knowledge):
        return None
    def reconstruct(self, messages, knowledge, generator):
        return []

part = functools.partial(ran)
"""
NAMES = ("ran", "part", "Eager", "Called", "HalfAnAttack", "Talker", "HERE", "Nobody")
FACTS = TrainingFacts("parallel", releases=1, rounds=1, steps=1)


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stranger.py").write_text(OUTSIDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return tmp_path


def test_no_reader_imports_without_leave(small_grid: Path, outsider: Path) -> None:
    text = small_grid.read_text()
    grids = {
        "attack": text.replace("[attacks]", '[attacks]\npooled = ["stranger:Attack"]'),
        "parameters": text.replace(
            "[attacks]", '[attacks]\nupdates = [{ attack = "stranger:Eager", x = 1 }]'
        ),
        "mechanism": text.replace('"gaussian", clip_norm', '"stranger:Eager", clip_norm'),
    }
    for name, grid in grids.items():
        assert grid != text, name
        small_grid.write_text(grid)
        with pytest.raises(InputError, match=r"expected --allow-code, since 'stranger:"):
            read_grid(small_grid)
    training = outsider / "training.toml"
    training.write_text(
        '[defence]\nname = "d"\nsmashed = { mechanism = "stranger:Eager" }\n[data]\ntask = "sst2"\n'
    )
    with pytest.raises(InputError, match="expected --allow-code"):
        read_training(training, pretraining=False)
    for spec in (Spec("stranger:Eager"), "stranger:Eager"):
        with pytest.raises(InputError, match="expected --allow-code"):
            make_attack(spec, FAMILIES["inversion"], "reconstruct")
    assert not (outsider / "imported").exists()


def test_leave_travels_with_what_was_read_and_changes_no_id(
    small_grid: Path, outsider: Path
) -> None:
    text = small_grid.read_text().replace(
        "[attacks]", '[attacks]\ninversion = ["stranger:Attack", "nearest_token"]'
    )
    small_grid.write_text(text)
    grid = read_grid(small_grid, allow_code=True)
    assert not (outsider / "imported").exists()  # reading alone imports nothing
    theirs, ours = grid.cells[0].attacks.inversion
    assert theirs.code and not ours.code and theirs == Spec("stranger:Attack")
    assert "'code'" not in str(grid.cells[0].spec())
    made = make_attack(theirs, FAMILIES["inversion"], "reconstruct")
    assert made.name == "theirs" and (outsider / "imported").exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_no_attack_is_refused_before_it_is_called(
    name: str, family: str, outsider: Path
) -> None:
    if (name, VERBS[family]) == ("HalfAnAttack", "missing"):
        return  # where any of several verbs will do, half is whole
    with pytest.raises(InputError, match=f"attacks: expected .*'stranger:{name}'"):
        make_attack(Spec(f"stranger:{name}", code=True), FAMILIES[family], VERBS[family])
    assert not (outsider / "called").exists()


@pytest.mark.parametrize("name", [*NAMES, "Attack"])
@pytest.mark.parametrize("place", ["smashed", "update", "labels", "training", "penalty"])
def test_what_is_no_mechanism_is_refused_before_it_is_called(
    name: str, place: str, outsider: Path
) -> None:
    spec = DefenceSpec("d", **{place: Spec(f"stranger:{name}", code=True)})
    with pytest.raises(InputError, match=f"{place}: expected .*'stranger:{name}'"):
        make_defence(spec, FACTS)
    assert not (outsider / "called").exists()


@pytest.mark.parametrize(
    "name", ["subprocess:Popen", "builtins:exec", "os:system", "unittest.mock:MagicMock"]
)
def test_the_standard_library_is_no_attack(name: str) -> None:
    for family, catalogue in FAMILIES.items():
        with pytest.raises(InputError, match="expected a class"):
            make_attack(Spec(name, (("args", "true"),), code=True), catalogue, VERBS[family])


@pytest.mark.parametrize("name", ["a b:C", ":C", "os:", "os:path:x", ".os:path", "os:path.join"])
def test_what_is_no_name_of_a_class_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected a name or module:Class"):
        foreign_class(Spec(name, code=True), "here")


def test_a_module_that_raises_is_one_line(outsider: Path) -> None:
    (outsider / "raising.py").write_text("raise SystemExit('gone')")
    (outsider / "unfinished.py").write_text("def (")
    for module in ("raising", "unfinished", "nowhere"):
        with pytest.raises(InputError, match=f"expected an importable '{module}:C'"):
            foreign_class(Spec(f"{module}:C", code=True), "here")


def test_every_mechanism_of_the_catalogue_passes_its_own_check() -> None:
    for name, entry in MECHANISMS.items():
        kind = foreign_class(Spec(entry.target, code=True), name)
        if "noise_model" in vars(kind):
            check_members(kind, VALUES, MECHANISM_VERBS, name, name)
