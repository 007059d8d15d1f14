"""Synthetic tasks: small, closed vocabulary, learnable, with nothing to license.

Each GLUE task has a generator of its shape. All describe little scenes (who does what to which
thing, where, when) and can be told from the words, and better from how the words of a pair relate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedbert.data.tables import Table
from fedbert.errors import InputError
from fedbert.tasks import Task

TRAIN, EVALUATION = 2000, 500  # examples per split where the user names no number

_PATIENCE = 500  # texts seen before, one after the other, until there seem to be no new ones


def _list(words: str) -> list[str]:
    """Return the words."""
    return words.split()


AGENTS = _list("cook guard nurse pilot farmer singer painter tailor baker sailor teacher miner")
_VERBS = [  # each row one concept, in two words
    _list("cleaned washed"),
    _list("found discovered"),
    _list("bought purchased"),
    _list("fixed repaired"),
    _list("took grabbed"),
    _list("dropped spilled"),
    _list("hid concealed"),
    _list("carried hauled"),
]
_OBJECTS = [
    _list("cup mug"),
    _list("lamp lantern"),
    _list("bag sack"),
    _list("coat jacket"),
    _list("picture image"),
    _list("stone rock"),
    _list("rug carpet"),
    _list("basket hamper"),
]
PLACES = _list("garden kitchen harbour market station library forest castle")
TIMES = _list("today yesterday tonight again early late")
_GOOD = _list("bright lovely clever warm funny brilliant charming fresh")
_BAD = _list("dull ugly clumsy cold boring dreadful tedious stale")
TOPICS = _list("story plot cast music dialogue ending pace script film scene")
_MOODS = _list("tired ready happy hungry")
_OTHER = _list(
    "the another a in and not he they was were because who where when "
    "called helped watched with friend truly rather quite . ?"
)


def _closed_list() -> tuple[str, ...]:
    """Return every word that a generator can use, sorted."""
    pairs = [word for pair in (*_VERBS, *_OBJECTS) for word in pair]
    plural = [f"{agent}s" for agent in AGENTS]
    plain = AGENTS + PLACES + TIMES + _GOOD + _BAD + TOPICS + _MOODS + _OTHER
    return tuple(sorted({*pairs, *plural, *plain}))


WORDS: tuple[str, ...] = _closed_list()
"""The closed word list, sorted: a tokenizer that splits on spaces and knows these knows it all."""


@dataclass(frozen=True)
class Scene:
    """Who did what to which thing, where and when; verb and thing are concepts with two words."""

    agent: str
    verb: int
    thing: int
    place: str
    time: str


Made = tuple[tuple[str, ...], float]


def load_generated(
    task: Task, pool_size: int | None, evaluation: int | None, rng: np.random.Generator
) -> dict[str, list[Table]]:
    """Return "train" and the task's evaluation splits, with no text twice among all of them.

    Raises:
        InputError: when more examples are asked for than the vocabulary makes readily.
    """
    sizes = {"train": pool_size or TRAIN} | dict.fromkeys(task.evaluation, evaluation or EVALUATION)
    seen: set[tuple[str, ...]] = set()
    return {split: [_table(task, split, n, seen, rng)] for split, n in sizes.items()}


def _table(
    task: Task, split: str, n: int, seen: set[tuple[str, ...]], rng: np.random.Generator
) -> Table:
    """Return n examples with texts not yet seen."""
    made: list[Made] = []
    misses = 0
    while len(made) < n:
        texts, label = _MAKERS[task.name](rng)
        misses = misses + 1 if texts in seen else 0
        if misses == _PATIENCE:
            raise InputError(
                f"expected at most {len(made)} {split} examples of generated {task.name}, got {n}"
            )
        if misses == 0:
            seen.add(texts)
            made.append((texts, label))
    columns: dict[str, list[str] | list[float]] = {
        name: [texts[i] for texts, _ in made] for i, name in enumerate(task.columns)
    }
    columns["label"] = [label for _, label in made]
    return Table(f"generated {task.name} ({split})", dict(columns))


def _pick(rng: np.random.Generator, options: Sequence[str], besides: str = "") -> str:
    """Return one of the options, other than `besides`."""
    left = [option for option in options if option != besides]
    return left[int(rng.integers(len(left)))]


def _other(rng: np.random.Generator, count: int, besides: int) -> int:
    """Return a number below `count` other than `besides`."""
    return int(besides + 1 + rng.integers(count - 1)) % count


def _scene(rng: np.random.Generator) -> Scene:
    """Return a random scene."""
    verb, thing = int(rng.integers(len(_VERBS))), int(rng.integers(len(_OBJECTS)))
    return Scene(_pick(rng, AGENTS), verb, thing, _pick(rng, PLACES), _pick(rng, TIMES))


def _change(rng: np.random.Generator, scene: Scene, slots: Sequence[str]) -> Scene:
    """Return the scene with every named slot filled otherwise."""
    new: dict[str, str | int] = {
        "agent": _pick(rng, AGENTS, scene.agent),
        "verb": _other(rng, len(_VERBS), scene.verb),
        "thing": _other(rng, len(_OBJECTS), scene.thing),
        "place": _pick(rng, PLACES, scene.place),
        "time": _pick(rng, TIMES, scene.time),
    }
    return replace(scene, **{slot: new[slot] for slot in slots})  # type: ignore[arg-type]


def _core(rng: np.random.Generator, scene: Scene, article: str = "the") -> str:
    """Return "the cook washed the mug", either word for each concept."""
    verb, thing = _pick(rng, _VERBS[scene.verb]), _pick(rng, _OBJECTS[scene.thing])
    return f"{article} {scene.agent} {verb} the {thing}"


def _tell(rng: np.random.Generator, scene: Scene, article: str = "the") -> str:
    """Return the whole scene as a sentence, the time first or last."""
    said = f"{_core(rng, scene, article)} in the {scene.place}"
    return f"{scene.time} {said} ." if rng.random() < 0.5 else f"{said} {scene.time} ."


def _article(rng: np.random.Generator, differs: bool) -> str:
    """Return "the", or for a scene that differs sometimes "another": a hint in the words alone."""
    return "another" if differs and rng.random() < 0.5 else "the"


def _cola(rng: np.random.Generator) -> Made:
    """Return a sentence, grammatical in seven cases of ten."""
    good = rng.random() < 0.7
    scene, plural = _scene(rng), rng.random() < 0.5
    if rng.random() < 0.5:
        words = _tell(rng, scene).split()
        if not good:  # "the cook" becomes "cook the"
            start = words.index("the")
            words[start : start + 2] = words[start + 1], words[start]
        return (" ".join(words),), float(good)
    agent = scene.agent + "s" * plural
    verb = "were" if plural == good else "was"
    said = f"the {agent} {verb} {_pick(rng, _MOODS)} in the {scene.place} {scene.time} ."
    return (said,), float(good)


def _sst2(rng: np.random.Generator) -> Made:
    """Return a review of one to three clauses of one mood, some of them by negation."""
    positive = rng.random() < 0.5
    clauses = []
    for _ in range(int(rng.integers(1, 4))):
        negated = rng.random() < 0.2
        word = _pick(rng, _GOOD if positive != negated else _BAD)
        degree = "not" if negated else _pick(rng, ("truly", "rather", "quite"))
        clauses.append(f"the {_pick(rng, TOPICS)} was {degree} {word}")
    return (" and ".join(clauses) + " .",), float(positive)


def _mrpc(rng: np.random.Generator) -> Made:
    """Return two sentences and whether they tell the same scene."""
    scene, same = _scene(rng), rng.random() < 0.5
    slots = () if same else (_pick(rng, ("agent", "verb", "thing")), "place")
    second = _tell(rng, _change(rng, scene, slots), _article(rng, not same))
    return (_tell(rng, scene), second), float(same)


def _qqp(rng: np.random.Generator) -> Made:
    """Return two questions and whether they ask for the same."""
    scene, same = _scene(rng), rng.random() < 0.5
    slots = () if same else (_pick(rng, ("verb", "thing")), "place")
    asked = []
    for told, differs in ((scene, False), (_change(rng, scene, slots), not same)):
        verb, thing = _pick(rng, _VERBS[told.verb]), _pick(rng, _OBJECTS[told.thing])
        article = _article(rng, differs)
        asked.append(f"who {verb} {article} {thing} in the {told.place} {told.time} ?")
    return (asked[0], asked[1]), float(same)


def _stsb(rng: np.random.Generator) -> Made:
    """Return two sentences and, as their score, how many of the five slots they share."""
    scene = _scene(rng)
    slots = rng.permutation(["agent", "verb", "thing", "place", "time"])
    changed = [str(slot) for slot in slots[: int(rng.integers(6))]]
    second = _change(rng, scene, changed)
    told = _tell(rng, second, _article(rng, "agent" in changed))
    return (_tell(rng, scene), told), float(5 - len(changed))


def _hypothesis(rng: np.random.Generator, scene: Scene, label: int) -> str:
    """Return a sentence that follows (0), is open (1) or is false (2) where the scene is true."""
    core, easy = _core(rng, scene), rng.random() < 0.6
    if label == 0:
        return f"{core} ." if easy else f"{core} in the {scene.place} ."
    if label == 1:
        with_friend = f"{core} with a friend ."
        return with_friend if easy else f"the {scene.agent} was {_pick(rng, _MOODS)} ."
    elsewhere = f"{core} in the {_pick(rng, PLACES, scene.place)} ."
    return f"the {scene.agent} was not in the {scene.place} ." if easy else elsewhere


def _mnli(rng: np.random.Generator) -> Made:
    """Return a premise, a hypothesis and how they relate."""
    scene, label = _scene(rng), int(rng.integers(3))
    return (_tell(rng, scene), _hypothesis(rng, scene, label)), float(label)


def _rte(rng: np.random.Generator) -> Made:
    """Return a premise, a hypothesis and whether it follows (0) or not (1)."""
    scene, label = _scene(rng), int(rng.integers(2))
    relation = label * int(rng.integers(1, 3))
    return (_tell(rng, scene), _hypothesis(rng, scene, relation)), float(label)


def _qnli(rng: np.random.Generator) -> Made:
    """Return a question, a sentence and whether the sentence answers it (0) or not (1)."""
    scene, answers = _scene(rng), rng.random() < 0.5
    told = scene if answers else _change(rng, scene, ["agent", "thing"])
    complete = _tell(rng, told)
    if rng.random() < 0.5:
        # Half of the sentences that are no answer say neither where nor when.
        sentence = complete if answers or rng.random() < 0.5 else f"{_core(rng, scene)} ."
        word = _pick(rng, ("where", "when"))
        return (f"{word} was the {scene.agent} ?", sentence), float(not answers)
    verb, thing = _pick(rng, _VERBS[scene.verb]), _pick(rng, _OBJECTS[scene.thing])
    return (f"who {verb} the {thing} ?", complete), float(not answers)


def _wnli(rng: np.random.Generator) -> Made:
    """Return a sentence with a pronoun, a reading of it, and whether the number allows it (1)."""
    first, place = _pick(rng, AGENTS), _pick(rng, PLACES)
    second, mood = _pick(rng, AGENTS, first), _pick(rng, _MOODS)
    one, many = f"the {first}", f"the {second}s"
    plural, right, swapped = (rng.random() < 0.5 for _ in range(3))
    subject, thing = (many, one) if swapped else (one, many)
    pronoun = "they were" if plural else "he was"
    verb = _pick(rng, ("called", "helped", "watched"))
    premise = f"in the {place} {subject} {verb} {thing} because {pronoun} {mood} ."
    reading = f"{many} were {mood} ." if plural == right else f"{one} was {mood} ."
    return (premise, reading), float(right)


def _mlm(rng: np.random.Generator) -> Made:
    """Return a document: sentences that share a place, two agents and two things."""
    cast, things = rng.permutation(AGENTS)[:2], rng.permutation(len(_OBJECTS))[:2]
    base = _scene(rng)
    told = []
    for _ in range(int(rng.integers(4, 9))):
        agent, thing = str(rng.choice(cast)), int(rng.choice(things))
        told.append(_tell(rng, replace(_scene(rng), agent=agent, thing=thing, place=base.place)))
    return (" ".join(told),), 0.0


_MAKERS: Mapping[str, Callable[[np.random.Generator], Made]] = {
    "cola": _cola,
    "sst2": _sst2,
    "mrpc": _mrpc,
    "stsb": _stsb,
    "qqp": _qqp,
    "mnli": _mnli,
    "qnli": _qnli,
    "rte": _rte,
    "wnli": _wnli,
    "mlm": _mlm,
}
