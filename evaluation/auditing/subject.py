"""Audit subject: a checkpoint of ours or a transformers directory, loaded without running it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any, get_args

import numpy as np

from evaluation.auditing.foreign_model import foreign_config, refuse_code, settings_of, task_of
from evaluation.auditing.message_facts import recorded_message
from evaluation.auditing.run_folder import checkpoint_of
from evaluation.grid.catalogue import MECHANISMS
from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.defence_file import DefenceSettings
from evaluation.grid.spec import PLACES, DefenceSpec
from fedbert.checkpoint import Checkpoint, read
from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.batches import Encoded, encode
from fedbert.data.client_data import Vocabulary
from fedbert.data.personal import PERSONAL
from fedbert.data.sources import load_one
from fedbert.errors import InputError
from fedbert.manifest import coin_of, exported, same_data
from fedbert.model import load_model, load_tokenizer, vocabulary_of
from fedbert.one_message.files import read_released
from fedbert.prepare import (
    Per,
    Prepared,
    check_length,
    poisson_sampled,
    prepare,
    typed,
)
from fedbert.setting_types import ONE_MESSAGE
from fedbert.settings import from_mapping
from fedbert.split import SplitBert, room_of
from fedbert.tasks import Task
from fedbert.tokenizer_checks import SPARE_ROWS, doubts, unknown_words
from privacy.defence import Defence
from privacy.facts import TrainingFacts
from privacy.mechanism import Cost

logger = logging.getLogger(__name__)

SHORTEST, LONGEST = 8, 128  # tokens of an example, of a foreign model
OWN_DATA = ("embedded", "generated", PERSONAL)  # nothing of the user's, and no network
RELEASES = 10**9  # no cost counts more
NOT_KNOWN = "not known"
"""The line of a card that says why the training's own inputs are not there; others point to it."""


@dataclass(frozen=True)
class Subject:
    """A model to audit, and what is known of how it came about.

    checkpoint: None for a foreign model. own: the training's inputs, made anew from the manifest;
    None where they cannot be had, and `unknown` says why. defence: as the manifest names it; None
    where its mechanisms are not the catalogue's. no_public: why the public text of a training by
    one message cannot be had; "" where it can, or there is none.
    """

    directory: Path
    split: SplitBert
    tokenizer: Any
    vocabulary: Vocabulary
    task: Task
    config: Config
    checkpoint: Checkpoint | None = None
    own: Prepared | None = None
    unknown: str = ""
    spec: DefenceSpec | None = None
    defence: Defence | None = None
    no_public: str = ""

    @property
    def one_message(self) -> bool:
        """Whether it was trained by one message."""
        return self.config.training.strategy == ONE_MESSAGE

    @property
    def delta(self) -> float:
        """The delta of the manifest's claims."""
        if self.checkpoint is None:
            return 1e-5
        return float(self.checkpoint.manifest["defence"].get("delta", 1e-5))

    def encoded(self, path: Path) -> Encoded:
        """Return the examples of a file, or of a folder's split, as the model reads them.

        Raises:
            InputError: for a file that cannot be read or does not fit the task.
        """
        found = encode(load_one(self.task, path), self.tokenizer, self.config.data.max_length)
        for doubt in unknown_words([found], self.tokenizer):
            logger.warning("%s: %s", path, doubt)
        return typed(found, self.split.whole.config)


def open_subject(
    directory: Path, task: str | None, data: str | None = None, public: str | None = None
) -> Subject:
    """Return what lies in a directory, after a look that nothing in it would be run.

    data: the source of the training's data, where a manifest names one that is not a package's: no
    folder and no data set of the hub is opened because a manifest says so. public: the same of the
    public text of a training by one message.

    Raises:
        InputError: in one line: neither a checkpoint nor a model, a pickle or code inside, files
            that are not as they were written, or a tokenizer that is not the model's.
    """
    directory = checkpoint_of(directory)
    refuse_code(directory)
    if (directory / "manifest.json").is_file():
        return _ours(read(directory), task, data, public)
    if (directory / "config.json").is_file():
        return _foreign(directory, task)
    raise InputError(
        "expected a checkpoint with manifest.json or a transformers directory with config.json, "
        f"got neither in {directory}"
    )


def _ours(
    checkpoint: Checkpoint, task: str | None, data: str | None, public: str | None
) -> Subject:
    """Return a checkpoint of ours, its data and its defence where they can be had."""
    checkpoint, no_public = _with_public(checkpoint, public)
    config = checkpoint.config
    check_entries(checkpoint.manifest, checkpoint.directory)
    if checkpoint.manifest["defence"]:
        spec_of(checkpoint)
    if task is not None and task != config.data.task:
        raise InputError(f"expected task {config.data.task!r} of the manifest, got task={task!r}")
    model = ModelConfig(
        source=str(checkpoint.model),
        cut_layer=config.model.cut_layer,
        tie_decoder=config.model.tie_decoder,
        freeze_embeddings=config.model.freeze_embeddings,
        dropout=config.model.dropout,
        pooling=config.model.pooling,
    )
    subject = _loaded(checkpoint.directory, replace(config, model=model), config.data.chosen_task)
    subject = replace(subject, checkpoint=checkpoint, no_public=no_public)
    if exported(checkpoint.manifest):
        return replace(subject, unknown="an export does not say who was trained on")
    source = config.data.source if data is None else data
    if data is None and source not in OWN_DATA:
        how = f"--data {quote(source)}"
        why = f"the manifest names the data {source!r}, opened only if you do: {how}"
        return replace(subject, unknown=why)
    try:
        named = replace(subject.config, data=replace(config.data, source=source))
        own = prepare(named, per=coin_of(checkpoint.manifest))
    except InputError as error:
        return replace(subject, unknown=f"the training data cannot be had: {error}")
    if not same_data(checkpoint.directory, checkpoint.manifest, own.data_sha256):
        return replace(subject, unknown="the data now has another hash than the manifest's")
    _check_members(checkpoint, own)
    spec = spec_of(checkpoint)
    known = recorded_message(checkpoint) if no_public else None
    defence = defence_of(spec, facts_of(config, own, spec, subject.delta, message=known))
    if defence is None:
        return replace(subject, own=own, spec=spec)
    if defence.training is not None:
        own = poisson_sampled(own)
    return replace(subject, own=own, spec=spec, defence=defence)


def _with_public(checkpoint: Checkpoint, public: str | None) -> tuple[Checkpoint, str]:
    """Return a checkpoint whose settings name the public text to open, or why there is none.

    Raises:
        InputError: for public text of a training that used none.
    """
    config = checkpoint.config
    if config.training.strategy != ONE_MESSAGE:
        if public is not None:
            raise InputError(f"expected --public of a training by {ONE_MESSAGE} alone, got one")
        return checkpoint, ""
    named = config.message.public or ""
    if public is None and exported(checkpoint.manifest):
        return checkpoint, "an export does not name it: --public SOURCE"
    if public is None and named not in OWN_DATA:
        how = f"--public {quote(named)}"
        return checkpoint, f"the manifest names {named!r}, opened only if you do: {how}"
    message = replace(config.message, public=named if public is None else public)
    return replace(checkpoint, config=replace(config, message=message)), ""


def spec_of(checkpoint: Checkpoint) -> DefenceSpec:
    """Return the defence that a manifest names.

    Raises:
        InputError: for one that is not of the form that is written.
    """
    asked = {k: v for k, v in checkpoint.manifest["defence"].items() if k != "delta"}
    return from_mapping(DefenceSettings, asked, f"{checkpoint.directory}: defence").spec()


def defence_of(spec: DefenceSpec, facts: TrainingFacts) -> Defence | None:
    """Return the mechanisms of a defence; None where they are not all the catalogue's.

    Raises:
        InputError: as `make_defence`.
    """
    named = [getattr(spec, place) for place in PLACES]
    if any(each is not None and each.name not in MECHANISMS for each in named):
        return None
    return make_defence(spec, facts)


def check_entries(manifest: Mapping[str, Any], directory: Path) -> None:
    """Refuse a manifest whose costs and guarantees are not of the form that is written."""
    try:
        for claim in manifest.get("guarantees", []):
            if claim["kind"] == "guarantee":
                if not (float(claim["epsilon"]) >= 0 and 0 <= float(claim["delta"]) < 1):
                    raise ValueError(f"epsilon={claim['epsilon']!r}, delta={claim['delta']!r}")
                str(claim["view"] + claim["unit"] + claim["sentence"])
        for cost in manifest["costs"]:
            Cost.from_json(cost)
            counted = type(cost["releases"]) is int and 0 <= cost["releases"] <= RELEASES
            if not counted or not isinstance(cost["place"], str):
                raise ValueError(f"releases={cost['releases']!r}, place={cost['place']!r}")
        delta = manifest["defence"].get("delta", 0.5)
        if type(delta) not in (int, float) or not 0 < delta < 1:
            raise ValueError(f"delta={delta!r}")
        if coin_of(manifest) not in get_args(Per):
            raise ValueError(f"coin={coin_of(manifest)!r}")
    except (ArithmeticError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"expected costs and guarantees as a checkpoint has them, got {error} "
            f"in {directory}/manifest.json"
        ) from None


def _check_members(checkpoint: Checkpoint, own: Prepared) -> None:
    """Refuse a manifest whose members are not those that its own configuration trains on."""
    members = checkpoint.manifest["members"]
    dealt = [d.in_pool for d in own.clients]
    if members != sorted(int(position) for position in np.concatenate(dealt)):
        raise InputError(
            f"expected the members that the configuration deals out of {len(own.pool)} examples, "
            f"got {len(members)} others in {checkpoint.directory}/manifest.json"
        )


def _foreign(directory: Path, task: str | None) -> Subject:
    """Return a model of somebody else's."""
    settings = settings_of(directory)
    chosen = task_of(settings, task, directory)
    config = Config(
        foreign_config(settings, directory),
        DataConfig(task=chosen.name, max_length=SHORTEST),
    )
    subject = _loaded(directory, config, chosen)
    own = subject.split.whole.config
    longest = max(SHORTEST, min(LONGEST, room_of(own), own.max_position_embeddings - 2))
    config = replace(config, data=replace(config.data, max_length=longest))
    return replace(subject, config=config, defence=Defence("none"), unknown="there is no manifest")


def doubts_of(subject: Subject) -> tuple[str, ...]:
    """Return what may be wrong with a subject's tokenizer, or with it on the training's texts."""
    found = doubts(subject.tokenizer, subject.split.whole.config.vocab_size)
    if subject.own is not None:
        found += unknown_words([subject.own.pool], subject.tokenizer)
    return tuple(found)


def _loaded(directory: Path, config: Config, task: Task) -> Subject:
    """Return the model and tokenizer of a directory, checked against each other."""
    tokenizer = load_tokenizer(config.model)
    precision = config.training.precision
    if config.training.strategy == ONE_MESSAGE:
        split = read_released(Path(config.model.source), config, task, tokenizer)
    else:
        split = load_model(config.model, task, tokenizer, config.seed, precision, trained=True)
    check_length(config.data.max_length, split.whole.config)
    rows = split.whole.config.vocab_size
    if rows - len(tokenizer) > SPARE_ROWS:
        raise InputError(
            f"expected the model's own tokenizer of {rows} tokens, got one of {len(tokenizer)} "
            f"in {config.model.source}"
        )
    for doubt in doubts(tokenizer, rows):
        logger.warning("%s: %s", directory, doubt)
    return Subject(directory, split, tokenizer, vocabulary_of(tokenizer), task, config)
