"""Shadow models: what a membership adversary trains for comparison, under the same defence.

A shadow goes through the same trainer with the target's settings, from a seed of its own, on a
random half of the pool; two in a row share no text, so that every example is in one and not in the
other. Only what it answers on the examples in question is kept:

CACHE/KEY.safetensors   losses [example], shadow_members [example]; KEY: the hash of what made them
"""

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evaluation.adversary.inference import answers_on
from fedbert.config import Config
from fedbert.data.repeats import coin_groups, twins
from fedbert.disk.writer import sweep, whole
from fedbert.faults.effects import contributed_steps
from fedbert.model import load_model
from fedbert.noise import LOOKS, simulated
from fedbert.one_message.facts import public_sha256
from fedbert.precision import settled
from fedbert.prepare import Prepared, assemble, flips, poisson_sampled
from fedbert.receiving import Receipts
from fedbert.seeding import derive, numpy_rng
from fedbert.setting_types import ONE_MESSAGE
from fedbert.trainer import give_back_memory, train
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource

VERSION = 5  # raised when other code makes other shadows of the same settings
PACKAGES = ("torch", "transformers", "numpy")


@dataclass(frozen=True)
class Trainings:
    """What the adversary trains shadows by: the target's settings, inputs and mechanisms.

    named: the defence as plain JSON, with whatever else its calibration depends on.
    """

    config: Config
    prepared: Prepared
    defence: Defence
    named: dict[str, Any]


def shadow_answers(
    trainings: Trainings, examples: np.ndarray, count: int, cache: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses and shadow_members [shadow, example] of shadows on examples of the pool.

    What the cache holds is read, what it lacks is trained and kept: each shadow as it is done.
    """
    found = []
    if cache is not None:
        sweep(cache)
    for number in range(count):
        made = key_of(trainings, examples, number)
        digest = hashlib.sha256(made.encode()).hexdigest()[:32]
        path = None if cache is None else cache / f"{digest}.safetensors"
        known = None if path is None else _read(path, made)
        if known is None:
            known = _train(trainings, examples, number)
            if path is not None:
                _write(path, known, made)
        found.append(known)
    losses = np.array([each["losses"] for each in found]).reshape(count, len(examples))
    shadow_members = np.array([each["shadow_members"] for each in found], dtype=bool).reshape(
        count, len(examples)
    )
    return losses, shadow_members


def key_of(trainings: Trainings, examples: np.ndarray, number: int) -> str:
    """Return all that one shadow's answers depend on, as canonical JSON."""
    asked, model = trainings.config, trainings.prepared.split.whole.config
    config = settled(asked, model)[0].to_json()
    config["data"].pop("evaluation")  # judges utility alone
    config.pop("noise")  # of the target: a shadow's can always be made again
    for looks in LOOKS:  # what nobody reads of a shadow
        config["training"].pop(looks, None)
    parts = {
        "version": VERSION,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "config": config,
        "defence": {k: v for k, v in trainings.named.items() if k != "name"},
        "data": trainings.prepared.data_sha256,
        **_public(asked, trainings.prepared),
        "examples": hashlib.sha256(examples.astype(np.int64).tobytes()).hexdigest(),
        "shadow": number,
    }
    return json.dumps(parts, sort_keys=True, allow_nan=False)


def _public(config: Config, prepared: Prepared) -> dict[str, str]:
    """Return the hash of the public text of a training by one message; nothing of others."""
    if config.training.strategy != ONE_MESSAGE:
        return {}
    return {"public": public_sha256(config, prepared)}


def shadow_inputs(trainings: Trainings, number: int) -> tuple[Config, Prepared, NoiseSource]:
    """Return settings, inputs and noise of one shadow: its own seed, model and half of the pool.

    The noise can be made again, as the shadow's answers are kept: it hides nothing of the target.
    """
    config, prepared = trainings.config, trainings.prepared
    coin = flips(coin_groups(prepared.pool), numpy_rng(config.seed, "shadow pair", number // 2))
    own = replace(config, seed=derive(config.seed, "shadow", number))
    split = prepared.split  # of one message E is public: the target's own
    if config.training.strategy != ONE_MESSAGE:
        split = load_model(
            own.model, prepared.task, prepared.tokenizer, own.seed, own.training.precision
        )
    pool = {"train": prepared.pool}
    members = coin if number % 2 == 0 else ~coin
    inputs = assemble(own, prepared.tokenizer, split, pool, prepared.data_sha256, members=members)
    noise = simulated(own.seed, own, inputs, trainings.defence, trainings.named)
    if trainings.defence.training is not None:
        inputs = poisson_sampled(inputs, noise)
    return own, inputs, noise


def _train(trainings: Trainings, examples: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Return the losses [example] of one shadow, and which examples it was trained on."""
    config, inputs, noise = shadow_inputs(trainings, number)
    trained = train(config, inputs, trainings.defence, noise=noise)
    answers = answers_on(trained.split, inputs, examples, trainings.config.seed)
    give_back_memory()
    seen = seen_by(config, inputs, trained.receipts)
    return {"losses": answers.losses, "shadow_members": seen[examples]}


def seen_by(config: Config, prepared: Prepared, receipts: Receipts | None = None) -> np.ndarray:
    """Return which examples of the pool any batch of a training reached, or a twin [pool].

    receipts: what became of its updates, where it is over.

    Of a client whose updates were kept out, up to its last one that was averaged.
    """
    steps = contributed_steps(config, receipts)
    found = np.zeros(len(prepared.pool), dtype=bool)
    for data in prepared.clients:
        own = data.in_pool
        every = config.training.strategy == ONE_MESSAGE
        seen = np.full(len(own), steps[data.client] > 0) if every else data.seen(steps[data.client])
        found[own[seen]] = True
    alike = twins(prepared.pool)
    return np.isin(alike, alike[found])


def _read(path: Path, made: str) -> dict[str, np.ndarray] | None:
    """Return a shadow's answers; None where there are none, or others, or a file that is broken."""
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("made") != made:
                return None
            return {name: file.get_tensor(name) for name in ("losses", "shadow_members")}
    except (OSError, SafetensorError):
        return None


def _write(path: Path, values: dict[str, np.ndarray], made: str) -> None:
    """Write a shadow's answers whole or not at all; two writers write the same."""
    with whole(path) as draft:
        draft.write_bytes(save(values, metadata={"made": made}))
