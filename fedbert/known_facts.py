"""Facts of a training that its settings alone say, before any data are counted."""

from fedbert.config import Config
from fedbert.model import TRAINED_ON
from fedbert.schedule import participations
from fedbert.setting_types import ONE_MESSAGE
from privacy.facts import SECURE_MEAN, MessageFacts, TrainingFacts


def facts_before(config: Config) -> TrainingFacts:
    """Return the facts of a training that follow from its settings, before data are counted."""
    times, apart = participations(config)
    return TrainingFacts(
        strategy=config.training.strategy,
        rounds=0 if times is None else config.training.rounds,
        embeddings_frozen=config.model.freeze_embeddings,
        optimizer_state_shared=config.training.optimizer_state == "hand_on",
        cut_layer=config.model.cut_layer,
        kind=config.data.chosen_task.kind,
        message=known_of(config) if config.training.strategy == ONE_MESSAGE else None,
        participations=times,
        separation=apart,
        records_per_user=config.data.records_per_user,
        averaging=SECURE_MEAN if config.training.secure_aggregation else config.training.averaging,
    )


def known_of(config: Config) -> MessageFacts:
    """Return what the settings say of a training by one message."""
    model, data = config.model.source, config.data
    return MessageFacts(
        labels=config.message.labels,
        dealt_by_label=data.partition == "dirichlet",
        seen=TRAINED_ON.get(data.task, "") if model == "embedded" else "",
    )
