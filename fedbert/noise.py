"""Noise source of one training: secret, or keyed by the seed and all that makes the training."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from fedbert.config import COLUMNS, Config
from fedbert.one_message.facts import public_sha256
from fedbert.precision import settled
from fedbert.prepare import Prepared
from fedbert.setting_types import ONE_MESSAGE
from privacy.defence import PLACES, Defence
from privacy.dp_sgd.clipping import STABILITY
from privacy.randomness.source import NoiseSource

OF_CONTENT = {
    "model": ("source", "tokenizer", "architecture"),
    "data": (
        "source",
        "pool_size",
        "evaluation",
        "partition",
        "alpha",
        "hold_out",
        "records_per_user",
        *COLUMNS,
    ),
    "message": ("public",),
}
"""Settings that say where weights and texts come from: their hashes speak for them; and what is
stated of records, which changes no training."""


LOOKS = ("loss_traces", "secure_aggregation")
"""Settings of [training] that look at it and change nothing."""
DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
AS_BEFORE = {"quorum": 1.0, "below_quorum": "stop"}
"""Settings of [training] that came later, at the values that say what was done before."""
LATER = {"clipping": "flat", "stability": STABILITY}
"""Settings of mechanisms that came later: unsaid at these values, so that noise stays as it was."""


def noise_of(
    config: Config, prepared: Prepared, defence: Defence, asked: Mapping[str, Any] | None = None
) -> NoiseSource:
    """Return the noise of a training in the mode that its configuration names.

    asked: the defence as it was asked for, with its delta, as plain JSON; without it, what the
    mechanisms say of themselves.
    """
    if config.noise == "secret":
        return NoiseSource.secret()
    return simulated(config.seed, config, prepared, defence, asked)


def simulated(
    seed: int,
    config: Config,
    prepared: Prepared,
    defence: Defence,
    asked: Mapping[str, Any] | None = None,
) -> NoiseSource:
    """Return repeatable noise: the same for the same seed and training, for no other the same.

    Attacks, reports, paths and the defence's name in tables are no part of a training.
    """
    config, _ = settled(config, prepared.split.whole.config)
    training = _settings(config)
    for name in LOOKS:
        training["training"].pop(name, None)
    for name, value in AS_BEFORE.items():  # the same noise as before there was a choice
        if training["training"].get(name) == value:
            del training["training"][name]
    rates = (getattr(prepared.split.whole.config, name, None) for name in DROPOUT)
    if not any(rates):  # the same training, up to rounding: the same noise
        training["training"].pop("micro_batch", None)
    training.get("message", {}).pop("alike", None)  # the same messages, read otherwise
    if config.training.strategy == ONE_MESSAGE:
        training["public"] = public_sha256(config, prepared)
    facts = {
        "data": data_sha256(prepared),
        "model": model_sha256(prepared),
        "training": training,
        "defence": {k: v for k, v in (asked or described(defence)).items() if k != "name"},
    }
    return NoiseSource.repeatable(seed, facts)


def data_sha256(prepared: Prepared) -> str:
    """Return the hash of what the clients hold, and how it was dealt: every token and label."""
    made = hashlib.sha256()
    for data in prepared.clients:
        own = data.encoded
        for array in (own.tokens, own.token_types, own.offsets, own.labels):
            made.update(f"{data.client} {array.dtype.str} {array.shape} ".encode())
            made.update(array.tobytes())
    return made.hexdigest()


def model_sha256(prepared: Prepared) -> str:
    """Return the hash of the weights that the training starts from."""
    made = hashlib.sha256()
    for name, value in sorted(prepared.split.whole.state_dict().items()):
        flat = value.detach().cpu().contiguous().flatten()
        made.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        made.update(flat.view(torch.uint8).numpy())
    return made.hexdigest()


def described(defence: Defence) -> dict[str, Any]:
    """Return what acts where, with every plain setting of it."""
    found: dict[str, Any] = {"one_shot": defence.one_shot}
    for place in PLACES:
        mechanism = getattr(defence, place)
        if mechanism is None:
            continue
        kind, own = type(mechanism), getattr(mechanism, "__dict__", {})
        settings = {k: v for k, v in own.items() if isinstance(v, str | int | float)}
        settings = {k: v for k, v in settings.items() if k not in LATER or v != LATER[k]}
        found[place] = {"mechanism": f"{kind.__module__}:{kind.__qualname__}", **settings}
    return found


def _settings(config: Config) -> dict[str, Any]:
    """Return how the parties train, without seed, mode and whatever is hashed by its content."""
    written = config.to_json()
    return {
        part: {k: v for k, v in written[part].items() if k not in OF_CONTENT.get(part, ())}
        for part in ("model", "data", "training", "message", "faults")
        if part in written
    }
