"""Membership signals of a finished cell, computed once for all attacks."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attacks.signals import Answers, Signals
from evaluation.adversary.candidates import Candidates
from evaluation.adversary.inference import answers_on, batches, classes_on
from evaluation.adversary.observation import Observation
from evaluation.adversary.shadow_models import Trainings, shadow_answers
from fedbert.prepare import Prepared
from fedbert.split import answering

ROUNDS = ("round_losses", "alignments", "projections")
CLASSES = "answered"


def signals_of(
    observation: Observation,
    chosen: Candidates,
    cache: Path | None,
    seen: tuple[np.ndarray | None, ...],
    copies: int = 0,
) -> Signals:
    """Return what the adversaries compute once: the target's and the shadows' answers, and more.

    seen: what a `RoundWatch` made of the rounds. copies: of each candidate, to ask classes of.
    """
    cell, prepared = observation.cell, observation.prepared
    named = cell.defence.to_json() | {"delta": cell.delta}
    trainings = Trainings(cell.config, prepared, observation.defence, named)
    losses, shadow_members = shadow_answers(trainings, chosen.all, cell.attacks.shadows, cache)
    target = answers_on(observation.trained.split, prepared, chosen.all, cell.config.seed)
    known = len(chosen.population)
    features = features_of(prepared, chosen.all, cell.config.seed) if known else None
    everyone = Answers(target.losses, target.logs, target.labels, losses, shadow_members, features)
    own = slice(0, len(chosen.candidates)), slice(len(chosen.candidates), None)
    population = part(everyone, own[1]) if known else None
    split, seed = observation.trained.split, cell.config.seed
    answered = classes_on(split, prepared, chosen.candidates, seed, copies)
    return replace(Signals(part(everyone, own[0]), population, *seen), answered=answered)


def part(answers: Answers, chosen: slice) -> Answers:
    """Return the answers on some of the examples."""

    def cut(value: np.ndarray | None) -> np.ndarray | None:
        return None if value is None else value[chosen]

    return Answers(
        answers.losses[chosen],
        cut(answers.logs),
        cut(answers.labels),
        answers.shadow_losses[:, chosen],
        answers.shadow_members[:, chosen],
        cut(answers.features),
    )


def arrays_of(signals: Signals, chosen: Candidates) -> dict[str, np.ndarray]:
    """Return the signals as named arrays, to be stored."""
    found: dict[str, Any] = {"candidates/positions": chosen.candidates}
    for name in ("candidates", "population"):
        answers = getattr(signals, name)
        if answers is not None:
            found |= {f"{name}/{f.name}": getattr(answers, f.name) for f in fields(answers)}
    for name in (*ROUNDS, CLASSES):
        found[name] = getattr(signals, name)
    return {name: value for name, value in found.items() if value is not None}


def signals_from(arrays: dict[str, np.ndarray]) -> Signals:
    """Return the signals that `arrays_of` named: every score can be made from them again."""

    def group(name: str) -> Any:
        own: dict[str, Any] = {f.name: arrays.get(f"{name}/{f.name}") for f in fields(Answers)}
        return None if own["losses"] is None else Answers(**own)

    rest = (arrays.get(name) for name in ROUNDS)
    signals = Signals(group("candidates"), group("population"), *rest)
    return replace(signals, answered=arrays.get(CLASSES))


DIRECTIONS = 16


def features_of(prepared: Prepared, examples: np.ndarray, seed: int) -> np.ndarray:
    """Return features [example, 1 + DIRECTIONS] of examples of the pool, each of unit spread.

    The length, and the principal directions of what the model that training started from makes of
    the text: the mean of its hidden states.
    """
    model, means = prepared.split, []
    with answering(model):
        for batch in batches(prepared, prepared.pool, examples, seed, "features"):
            mask = batch.attention_mask[..., None].double()
            hidden = model.states(batch).double()
            means.append(((hidden * mask).sum(1) / mask.sum(1)).numpy())
    rows = np.concatenate(means)
    centred = rows - rows.mean(0)
    _, _, directions = torch.linalg.svd(torch.from_numpy(centred), full_matrices=False)
    projected = centred @ directions[:DIRECTIONS].numpy().T
    both = np.column_stack((prepared.pool.lengths[examples].astype(np.float64), projected))
    scaled: np.ndarray = (both - both.mean(0)) / np.maximum(both.std(0), 1e-9)
    return scaled
