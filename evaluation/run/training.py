"""Training commands `pretrain` and `finetune`: one TOML file, saved round by round, resumable."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evaluation.auditing.disclosed import DEPLOYMENT
from evaluation.auditing.live.audit import FaultError
from evaluation.grid.defence import check_values, facts_of, make_defence, refuse_drowned
from evaluation.grid.launches import Launches
from evaluation.run.files import TRAINING, check_place, locked, write_json
from evaluation.run.saver import Saver, Say
from evaluation.run.training_file import TrainingFile
from evaluation.run.training_file import read_training as read_training
from evaluation.run.utility import measure
from evaluation.run.watch import LimitError, Watch
from fedbert import stopped
from fedbert.checkpoint import check_same, read, recover
from fedbert.config import Config
from fedbert.errors import InputError, within
from fedbert.faults.quorum import Planned, refuse_below_quorum
from fedbert.fleet import Fleet
from fedbert.noise import noise_of
from fedbert.pooling import FEDBERT_ALONE
from fedbert.precision import in_words, settled
from fedbert.prepare import Prepared, prepare
from fedbert.setting_types import ONE_MESSAGE
from fedbert.split import SplitBert, duplicate
from fedbert.trainer import State, check, load_values, train
from privacy.defence import Defence
from reports.alike import over_views
from reports.terminal import working

logger = logging.getLogger(__name__)

PRIVATE = "private: a checkpoint and the {} above show what no noise covers; to hand it over:"

Tell = Callable[[str], None]
MakeFleet = Callable[[dict[str, Any]], Fleet]


def run_training(
    settings: TrainingFile,
    out: Path,
    every: int,
    say: Say,
    tell: Tell = lambda line: None,
    fleet: MakeFleet | None = None,
) -> list[str]:
    """Train, save a checkpoint to `out`/checkpoint every so many rounds, return what to print.

    say hears of every round and its loss, of which a training by one message has none; tell, before
    the first, what is to be known of the data. A checkpoint that is there already is continued; it
    has to be of the same configuration, data and defence. fleet: makes what reaches the parties, by
    what `evaluation.run.on_ray.host.makers_of` needs; None: they are objects of this process.

    Raises:
        InputError: for a checkpoint of something else, a training that diverges, or a first round
            that would pass max_epsilon.
        FaultError: the live audit found that the claim cannot stand.
    """
    check_place(out, TRAINING)
    config, before = settings.config, stopped.told(out)
    with locked(out):
        with working("reading data and model"):
            prepared, defence = made(settings)
        directory = out / "checkpoint"
        recover(directory)
        start = None
        if directory.exists():
            checkpoint = read(directory)
            check_same(checkpoint, config, prepared.data_sha256, settings.asked())
            start = checkpoint.state
        kept = None if start is None else start.plain
        chosen = in_words(config, prepared.split.whole.config, kept)
        for line in (*prepared.notes, *of_model(prepared, config), *chosen):
            tell(line)
        for doubt in prepared.doubts:
            logger.warning("%s", doubt)
        first = start.round if start is not None else 0
        journal = settings.journal(out, prepared.data_sha256)
        launches = journal.read()
        if start is not None and not launches.each:  # a checkpoint that was brought from elsewhere
            launches = Launches.from_json(checkpoint.manifest.get("launches", []), str(directory))
        saver = Saver(settings, prepared, defence, directory, every, say, journal, launches, first)
        watch, split, done, ended = _trained(saver, out, start, before, fleet)
        stopped.forget(out)
        _keep(out / DEPLOYMENT, settings.deployment)
        utility, majority, *_ = measure(prepared, split, config.seed)
    lines = [f"the training before stopped: {before}"] if before else []
    lines += of_model(prepared, config)
    for name, e in utility.items():
        constant = majority.get(name)
        beside = "" if constant is None else f"; without the text {constant:.4f}"
        lines.append(f"{name} {e.value:.4f} [{e.low:.4f}, {e.high:.4f}] (n={e.n}){beside}")
    said = [(entry.view, entry.sentence()) for entry in saver.entries(done)]
    lines += [sentence for _, sentence in over_views(said)]
    lines += [] if ended is None else [ended]
    return [*lines, *saver.notes(), *watch.lines(), *_where(directory, config)]


def _keep(place: Path, words: Mapping[str, Any]) -> None:
    """Write the user's words on a deployment; without any, leave none of an earlier training's."""
    if words:
        write_json(place, dict(words))
    else:
        place.unlink(missing_ok=True)


def _trained(
    saver: Saver, out: Path, start: State | None, before: str, fleet: MakeFleet | None
) -> tuple[Watch, SplitBert, int, str | None]:
    """Return what watched a training, its model, how many rounds it has, and why not more.

    before: why the training stopped before, if it did.
    """
    settings, prepared = saver.settings, saver.prepared
    config, defence = settings.config, saver.defence
    noise = noise_of(config, prepared, defence, settings.audit.keyed(settings.asked()))
    watch = Watch(settings, saver, out, noise, start)
    kept = None if start is None else start.plain
    ended = watch.full(saver.first, saver.following)
    if ended is not None and start is not None:
        saver.nothing_more(start)
        return watch, _with(prepared, start), start.round, ended
    if fleet is not None and (watch.fleet is not None or config.training.strategy == ONE_MESSAGE):
        raise InputError(
            "expected parties in one process with canaries or one message, got a fleet"
        )
    parties = watch.fleet if fleet is None else fleet(_for_hosts(settings, prepared, kept))
    saver.began()
    try:
        trained = train(
            config, watch.prepared, defence, start=start, on_round=watch.round, fleet=parties,
            noise=noise,
        )  # fmt: skip
    except LimitError as limit:
        return watch, _with(prepared, limit.state), limit.state.round, str(limit)
    except FaultError as fault:
        watch.faulty(fault)
        raise
    except ValueError as error:
        stopped.note(out, str(error))
        again = ", as it did before" if before == stopped.told(out) else ""
        raise InputError(f"training stopped{again}: {error}") from error
    finally:
        if fleet is not None and parties is not None:
            parties.close()
    return watch, trained.split, trained.state.round, None


def _for_hosts(
    settings: TrainingFile, prepared: Prepared, kept: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what processes that host parties need: a specification, and the hash of the data."""
    return {
        "config": settings.config.to_json(),
        "asked": settings.asked(),
        "plain": settled(settings.config, prepared.split.whole.config, kept)[1],
        "data_sha256": prepared.data_sha256,
    }


def _with(prepared: Prepared, state: State) -> SplitBert:
    """Return the model of a training's state."""
    split = duplicate(prepared.split)
    load_values(split, state.values)
    return split


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


def made(settings: TrainingFile) -> tuple[Prepared, Defence]:
    """Return a training's inputs and mechanisms."""
    config = settings.config
    with within(settings.where):
        check_values(settings.defence, config.training.strategy == ONE_MESSAGE)
        on_sum = settings.defence.by_answers
        refuse_below_quorum([Planned(f"seed {config.seed}", config, on_sum)])
        prepared = prepare(config, coin=False)
        facts = facts_of(config, prepared, settings.defence, settings.delta)
        defence = make_defence(settings.defence, facts)
        check(config, defence)
        refuse_drowned(defence)
    return prepared, defence


def of_model(prepared: Prepared, config: Config) -> list[str]:
    """Return what became of the model's files, such as a head that was not the task's."""
    return [f"model {config.model.source}: {note}" for note in prepared.split.notes]
