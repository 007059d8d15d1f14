"""Plan of one training: what it would train on, and what would be claimed; nothing is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.grid.defence import faint_places
from evaluation.grid.launches import Launches
from evaluation.run.files import TRAINING, check_place
from evaluation.run.journal import Journal
from evaluation.run.saver import Saver
from evaluation.run.training import made, of_model
from evaluation.run.training_file import TrainingFile
from evaluation.run.watch import Watch
from fedbert import stopped
from fedbert.checkpoint import check_same, read
from fedbert.noise import noise_of
from fedbert.precision import in_words
from fedbert.prepare import Prepared
from fedbert.run_key import key_of
from privacy.guarantee import Entry


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would be, before its first round.

    first: the rounds that a checkpoint there holds already. claims: at the end of all rounds.
    claims_of_one: after the first round to come; the same for a training by one message. notes: of
    data, model and precision. warnings: what can work and hardly will. before: why it stopped
    before, if it did. ended: why no round would be trained.
    """

    settings: TrainingFile
    prepared: Prepared
    first: int
    claims: tuple[Entry, ...]
    claims_of_one: tuple[Entry, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    before: str
    ended: str | None

    @property
    def rows(self) -> list[int]:
        """How many examples each client would train on."""
        return [len(client.encoded) for client in self.prepared.clients]

    def settings_json(self) -> dict[str, Any]:
        """Every setting as it would be in force, the defaults among them."""
        settings = self.settings
        return {
            **settings.config.to_json(),
            "defence": settings.defence.to_json(),
            "delta": settings.delta,
            "max_epsilon": settings.max_epsilon,
            "audit": settings.audit.to_json(),
        }


def plan_training(settings: TrainingFile, out: Path, every: int) -> TrainingPlan:
    """Return what `run_training` would begin with; data and model are loaded for it.

    A training that stands in `out` would be continued, as far as its checkpoint and journal say.

    Raises:
        InputError: for all that the training would be refused for before its first round.
    """
    check_place(out, TRAINING)
    config, directory = settings.config, out / "checkpoint"
    prepared, defence = made(settings)
    start, launches, journal = None, Launches(), Journal(out / "launches.json", "")
    if key_of(out) is not None:
        journal = settings.journal(out, prepared.data_sha256)
        launches = journal.read()
    if directory.exists():
        checkpoint = read(directory)
        check_same(checkpoint, config, prepared.data_sha256, settings.asked())
        start = checkpoint.state
        if not launches.each:
            launches = Launches.from_json(checkpoint.manifest.get("launches", []), str(directory))
    first, rounds = (0 if start is None else start.round), config.training.rounds
    saver = Saver(
        settings, prepared, defence, directory, every, lambda *_: None, journal, launches, first
    )
    noise = noise_of(config, prepared, defence, settings.audit.keyed(settings.asked()))
    watch = Watch(settings, saver, out, noise, start)
    ended = watch.full(first, saver.following)
    kept = None if start is None else start.plain
    notes = [*prepared.notes, *of_model(prepared, config)]
    notes += in_words(config, prepared.split.whole.config, kept)
    return TrainingPlan(
        settings, prepared, first,
        tuple(saver.entries(rounds, saver.following)),
        tuple(saver.entries(min(rounds, first + 1), saver.following)),
        tuple(notes), (*prepared.doubts, *faint_places(defence)), stopped.told(out), ended,
    )  # fmt: skip
