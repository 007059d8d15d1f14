"""Membership signals of an audited model, computed once for all attacks.

With shadows the adversary trains models of its own as the manifest says the target was trained,
under the same defence, and knows some examples of the pool to be left out. With reference models,
which somebody else trained without the candidates, it has their losses.
"""

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Annotated

import numpy as np
from pydantic import Field

from attacks.attack import Lacks
from attacks.signals import Signals
from evaluation.adversary.inference import answers_on, classes_on
from evaluation.adversary.shadow_models import Trainings, shadow_answers
from evaluation.adversary.signals import features_of, part
from evaluation.auditing.foreign_model import check_head, foreign_config, refuse_code, settings_of
from evaluation.auditing.subject import Subject
from evaluation.grid.spec import SHADOWS
from fedbert.config import Config
from fedbert.data.batches import Encoded
from fedbert.errors import InputError
from fedbert.model import load_model
from fedbert.prepare import Prepared, poisson_sampled
from fedbert.setting_types import SIZES
from fedbert.settings import settings

FROM_MESSAGES = ("round_losses", "alignments", "projections", "nearness")  # of Signals
FROM_MODELS = ("shadow_losses", "population")  # what models of the adversary's own give


@settings
class Means:
    """What the adversary has besides the model: how many shadows it trains, or other models.

    references: transformers directories of models that were not trained on any candidate. cache: a
    folder in which the shadows' answers are kept and looked for. start: the model that the training
    began from, where that is a directory or on the hub.
    """

    shadows: Annotated[int, Field(ge=0, le=SHADOWS)] = 0
    references: tuple[Path, ...] = ()
    cache: Path | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        """Check what bounds do not say."""
        if self.shadows % 2:
            raise InputError(f"expected shadows in pairs: 2, 4, ..., got shadows={self.shadows}")
        if self.shadows and self.references:
            raise InputError("expected --shadows or --reference, got both")


def signals_on(
    subject: Subject,
    encoded: Encoded,
    positions: np.ndarray | None,
    known: int,
    means: Means,
    copies: int = 0,
) -> Signals:
    """Return the target's and the adversary's own models' answers.

    encoded: the candidates, then as many examples as `known` that were left out for certain;
    positions: where they lie in the training's pool, None for examples from files. copies: of each
    candidate, whose classes are asked.

    Raises:
        InputError: where shadows are asked for and cannot be trained, or a reference model does
            not fit the target.
    """
    asked = example_set(subject, encoded)
    everyone, seed = np.arange(len(encoded)), subject.config.seed
    answers = answers_on(subject.split, asked, everyone, seed)
    if means.shadows:
        trainings, pool_positions = _trainings(subject, positions, means)
        losses, shadow_members = shadow_answers(
            trainings, pool_positions, means.shadows, means.cache
        )
        features = features_of(replace(asked, split=trainings.prepared.split), everyone, seed)
        answers = replace(
            answers, shadow_losses=losses, shadow_members=shadow_members, features=features
        )
    elif means.references:
        each = [_reference(subject, path, asked) for path in means.references]
        losses = np.array(each)
        answers = replace(
            answers, shadow_losses=losses, shadow_members=np.zeros(losses.shape, dtype=bool)
        )
    cut = len(encoded) - known
    population = part(answers, slice(cut, None)) if known else None
    answered = classes_on(subject.split, asked, everyone[:cut], seed, copies)
    return Signals(part(answers, slice(cut)), population, answered=answered)


def lacking(means: Means, subject: Subject, lacks: Lacks) -> str:
    """Return why an attack did not run, with what would change it."""
    if set(FROM_MESSAGES) & set(lacks.fields):
        return "needs the messages of the training: a grid hears them, an audit comes after it"
    if not set(FROM_MODELS) & set(lacks.fields):
        return lacks.words
    if subject.own is None or subject.own.members is None:
        alone = "needs models of the same kind: --reference DIRECTORY"
        return lacks.words if means.references else alone
    return lacks.words if means.shadows else "needs models that the adversary trains: --shadows 16"


def trained_rounds(config: Config, rounds: int) -> Config:
    """Return the settings of a training that has come so far."""
    return replace(config, training=replace(config.training, rounds=rounds))


def example_set(subject: Subject, encoded: Encoded) -> Prepared:
    """Return examples as the pool of a training that has nobody to train on."""
    return Prepared(
        task=subject.task,
        tokenizer=subject.tokenizer,
        vocabulary=subject.vocabulary,
        split=subject.split,
        pool=encoded,
        members=None,
        clients=(),
        evaluation={},
        counts={},
        data_sha256="",
    )


def _trainings(
    subject: Subject, positions: np.ndarray | None, means: Means
) -> tuple[Trainings, np.ndarray]:
    """Return what shadows are trained by (the manifest's settings, from the model that they name),
    and the candidates' positions in the pool. A model elsewhere is opened if the user names it.
    """
    own, spec, defence, checkpoint = subject.own, subject.spec, subject.defence, subject.checkpoint
    if checkpoint is None or own is None or spec is None or defence is None or positions is None:
        why = subject.unknown or "the candidates are not those of the training's own coin"
        raise InputError(
            f"expected --shadows where the training can be done again, got none: {why}"
        )
    if subject.no_public:
        raise InputError(
            f"expected --public with --shadows, got no public text: {subject.no_public}"
        )
    config = trained_rounds(checkpoint.config, checkpoint.manifest["round"])
    source = config.model.source if means.start is None else means.start
    if means.start is None and source not in (*SIZES, "embedded"):
        raise InputError(
            f"expected --start with --shadows, since the manifest names the model {source!r}, "
            f"opened only if you do: --start {quote(source)}, got none"
        )
    config = replace(config, model=replace(config.model, source=source))
    start = load_model(
        config.model, subject.task, subject.tokenizer, config.seed, config.training.precision
    )
    own = replace(poisson_sampled(own) if defence.training is not None else own, split=start)
    named = {**spec.to_json(), "delta": subject.delta}
    return Trainings(config, own, defence, named), positions


def _reference(subject: Subject, directory: Path, asked: Prepared) -> np.ndarray:
    """Return the losses [example] of somebody else's model, read with the target's tokens."""
    settings = settings_of(directory)
    check_head(subject.task, settings, directory)
    refuse_code(directory)
    model = foreign_config(settings, directory)
    seed = subject.config.seed
    split = load_model(model, subject.task, subject.tokenizer, seed, "float32", trained=True)
    if split.whole.config.vocab_size != subject.split.whole.config.vocab_size:
        raise InputError(
            f"expected a reference of {subject.split.whole.config.vocab_size} tokens, "
            f"got {split.whole.config.vocab_size} in {directory}"
        )
    losses: np.ndarray = answers_on(split, asked, np.arange(len(asked.pool)), seed).losses
    return losses
