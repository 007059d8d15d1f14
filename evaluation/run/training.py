"""Training commands `pretrain` and `finetune`: one TOML file, saved round by round, resumable."""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.grid.defence import costs, facts_of, make_defence, refuse_drowned
from evaluation.grid.file import TrainingSettings
from evaluation.grid.foreign import defence_with_leave
from evaluation.grid.launches import Launches
from evaluation.grid.parse import read_toml
from evaluation.grid.spec import DefenceSpec
from evaluation.run.files import TRAINING, check_place, locked
from evaluation.run.journal import Journal
from evaluation.run.utility import measure
from fedbert import stopped
from fedbert.checkpoint import check_same, read, recover, save
from fedbert.config import Config
from fedbert.errors import InputError, within
from fedbert.noise import noise_of
from fedbert.pooling import FEDBERT_ALONE
from fedbert.precision import in_words
from fedbert.prepare import Prepared, prepare
from fedbert.run_key import keyed, run_key
from fedbert.setting_types import ONE_MESSAGE
from fedbert.settings import from_mapping
from fedbert.trainer import State, check, train
from privacy.accounting import ledger
from privacy.defence import Defence
from privacy.facts import TrainingFacts
from privacy.guarantee import Entry
from privacy.randomness.keys import canonical_json
from privacy.users import further_claims
from reports.alike import over_views
from reports.terminal import working

logger = logging.getLogger(__name__)

REPEATABLE = (
    "noise: repeatable, so that whoever has seed and settings can take it off; each claim holds "
    "for secret noise of the same kind"
)

PRIVATE = "private: a checkpoint and the {} above show what no noise covers; to hand it over:"

Say = Callable[[int, float | None, float], None]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class TrainingFile:
    """What a training's TOML file says; where: its name."""

    config: Config
    defence: DefenceSpec
    delta: float
    where: str

    def asked(self) -> dict[str, Any]:
        """Return the defence that is asked for, as plain JSON."""
        return {**self.defence.to_json(), "delta": self.delta}

    def journal(self, out: Path, data_sha256: str) -> Journal:
        """Return the journal of what is trained on what."""
        written = canonical_json([self.config.to_json(), self.asked(), data_sha256])
        of = keyed(run_key(out), written.decode())
        return Journal(out / "launches.json", of, hashlib.sha256(written).hexdigest())


def read_training(path: Path | None, pretraining: bool, allow_code: bool = False) -> TrainingFile:
    """Return the settings of a TOML file, or the embedded default without one.

    allow_code: mechanisms of somebody else's that it names may be imported and run.

    Raises:
        InputError: one line naming file and key; also for a task that the command does not train.
    """
    values: dict[str, Any] = {"data": {"task": "mlm"}} if pretraining else {}
    where = "default" if path is None else str(path)
    if path is not None:
        values = read_toml(path, "configuration")
        if not values:
            why = "without CONFIG the default is trained"
            raise InputError(f"{where}: expected a training, got an empty file; {why}")
    if "tasks" in values:
        raise InputError(f"{where}: expected one training, got a grid: run privacy-utility on it")
    asked = from_mapping(TrainingSettings, values, where)
    config = asked.config
    if (config.data.task == "mlm") is not pretraining:
        wanted = "task mlm for pretrain" if pretraining else "a task with labels for finetune"
        raise InputError(f"{where}: data: expected {wanted}, got task={config.data.task!r}")
    defence = defence_with_leave(asked.defence.spec(), allow_code, where)
    return TrainingFile(config, defence, asked.delta, where)


def run_training(
    settings: TrainingFile, out: Path, every: int, say: Say, tell: Tell = lambda line: None
) -> list[str]:
    """Train, save a checkpoint to `out`/checkpoint every so many rounds, return what to print.

    say hears of every round and its loss, of which a training by one message has none; tell, before
    the first, what is to be known of the data. A checkpoint that is there already is continued; it
    has to be of the same configuration, data and defence.

    Raises:
        InputError: for a checkpoint of something else, or a training that diverges.
    """
    check_place(out, TRAINING)
    config, before = settings.config, stopped.told(out)
    with locked(out):
        with working("reading data and model"):
            prepared, defence = _made(settings)
        directory = out / "checkpoint"
        recover(directory)
        start = None
        if directory.exists():
            checkpoint = read(directory)
            check_same(checkpoint, config, prepared.data_sha256, settings.asked())
            start = checkpoint.state
        kept = None if start is None else start.plain
        chosen = in_words(config, prepared.split.whole.config, kept)
        for line in (*prepared.notes, *_of_model(prepared, config), *chosen):
            tell(line)
        for doubt in prepared.doubts:
            logger.warning("%s", doubt)
        rounds = config.training.rounds
        first = start.round if start is not None else 0
        journal = settings.journal(out, prepared.data_sha256)
        launches = journal.read()
        if start is not None and not launches.each:  # a checkpoint that was brought from elsewhere
            launches = Launches.from_json(checkpoint.manifest.get("launches", []), str(directory))
        if config.noise == "secret" and first < config.training.rounds:
            launches = launches.began(first, every)
            journal.write(launches)  # before anything is sent
        saver = _Saver(settings, prepared, defence, directory, every, say, journal, launches, first)
        try:
            noise = noise_of(config, prepared, defence, settings.asked())
            trained = train(
                config, prepared, defence, start=start, on_round=saver.round, noise=noise
            )
        except ValueError as error:
            stopped.note(out, str(error))
            again = ", as it did before" if before == stopped.told(out) else ""
            raise InputError(f"training stopped{again}: {error}") from error
        stopped.forget(out)
        utility, majority, _ = measure(prepared, trained.split, config.seed)
    lines = [f"the training before stopped: {before}"] if before else []
    lines += _of_model(prepared, config)
    for name, e in utility.items():
        constant = majority.get(name)
        beside = "" if constant is None else f"; without the text {constant:.4f}"
        lines.append(f"{name} {e.value:.4f} [{e.low:.4f}, {e.high:.4f}] (n={e.n}){beside}")
    said = [(entry.view, entry.sentence()) for entry in saver.entries(rounds)]
    lines += [sentence for _, sentence in over_views(said)]
    return [*lines, *saver.notes(), *_where(directory, config)]


def _where(directory: Path, config: Config) -> list[str]:
    """Return where a checkpoint and its model lie, and what of them is to be handed over."""
    one = config.training.strategy == ONE_MESSAGE
    what = "public encoder, projection and head" if one else "transformers model"
    private = PRIVATE.format("figures" if one else "losses")
    return [
        f"checkpoint: {directory}",
        f"{what}: {directory / 'model'}",
        *([FEDBERT_ALONE] if config.head_reads_mean else []),
        f"{private} fedbert-eval export {directory} --out DIR",
    ]


def _made(settings: TrainingFile) -> tuple[Prepared, Defence]:
    """Return a training's inputs and mechanisms."""
    config = settings.config
    with within(settings.where):
        prepared = prepare(config, coin=False)
        facts = facts_of(config, prepared, settings.defence, settings.delta)
        defence = make_defence(settings.defence, facts)
        check(config, defence)
        refuse_drowned(defence)
    return prepared, defence


def _of_model(prepared: Prepared, config: Config) -> list[str]:
    """Return what became of the model's files, such as a head that was not the task's."""
    return [f"model {config.model.source}: {note}" for note in prepared.split.notes]


@dataclass
class _Saver:
    """Saves and reports as rounds end."""

    settings: TrainingFile
    prepared: Prepared
    defence: Defence
    directory: Path
    every: int
    say: Say
    journal: Journal
    launches: Launches
    first: int = 0
    began: float = field(default_factory=time.monotonic)

    def round(self, state: State) -> None:
        """Hear that a round ended."""
        rounds = self.settings.config.training.rounds
        if state.round % self.every == 0 or state.round == rounds:
            launches = self.launches.saved(state.round) if self.launches.each else self.launches
            save(
                self.directory,
                self.settings.config,
                self.prepared,
                state,
                self.settings.asked(),
                self.costs(state.round),
                [entry.to_json() for entry in self.entries(state.round)],
                launches.to_json(),
            )
            self.launches = launches
            if launches.each:
                self.journal.write(launches)
        spent = time.monotonic() - self.began
        left = spent / (state.round - self.first) * (rounds - state.round)
        self.say(state.round, state.losses[-1] if state.losses else None, left)

    def costs(self, round_: int) -> list[dict[str, Any]]:
        """Return what has been spent by a round: each mechanism's cost and its releases."""
        return costs(self.defence, self._facts(round_))

    def entries(self, round_: int) -> list[Entry]:
        """Return what follows for each of the five views."""
        facts = self._facts(round_)
        return [*ledger(self.defence, facts).values(), *further_claims(self.defence, facts)]

    def notes(self) -> list[str]:
        """Return what has to be said of the claims besides."""
        config, restarts = self.settings.config, self.launches.restarts
        claims = self.costs(config.training.rounds)
        if config.noise == "repeatable" and claims:
            return [REPEATABLE]
        again = self.launches.redone(config.training.rounds)
        if not (restarts and claims):
            return []
        if config.training.strategy == ONE_MESSAGE:
            return [
                f"begun {restarts + 1} times: each may have sent every message afresh, and all "
                "are counted"
            ]
        return [
            f"begun {restarts + 1} times: up to {again} rounds were done again under fresh noise, "
            "and what they sent is counted once more"
        ]

    def _facts(self, round_: int) -> TrainingFacts:
        settings = self.settings
        return facts_of(
            settings.config,
            self.prepared,
            settings.defence,
            settings.delta,
            round_,
            self.launches,
        )
