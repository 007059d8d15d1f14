"""Configuration of one training, as frozen values that check themselves."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from fedbert.errors import InputError, expect, within
from fedbert.fault_settings import NO_FAULTS, FaultsConfig
from fedbert.message_settings import COMPARED, SINGLE, MessageConfig
from fedbert.setting_types import (
    CLIENTS,
    EXAMPLES,
    ONE_MESSAGE,
    CutLayer,
    Examples,
    Fraction,
    Partition,
    Pooling,
    Positive,
    Seed,
    TaskName,
    Text,
)
from fedbert.settings import one_of, settings
from fedbert.tasks import (
    CLASS_METRICS,
    OWN,
    SCORE_METRICS,
    TASKS,
    Task,
    grouped,
    label_word,
    own_task,
)
from fedbert.training_settings import TrainingConfig
from privacy.randomness.keys import NoiseMode


def _word(value: Any) -> Any:
    """Return a label as a text: files write 1 for "1"."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return label_word(value) if number else value


LabelName = Annotated[
    Text, BeforeValidator(_word), WithJsonSchema({"type": ["string", "number"], "minLength": 1})
]
MetricName = Annotated[str, one_of((*CLASS_METRICS, *SCORE_METRICS))]
USER_RECORDS = 10_000
COLUMNS = ("text", "pair", "label", "labels", "metric", "group", "group_rows", "attribute")
"""Settings of [data] that describe somebody's own columns, or a column of any source."""


@settings
class ModelConfig:
    """Which BERT, and where it is cut.

    source: a fresh size ("tiny", "mini", "small", "base"), "embedded" (MiniLM, from the `demo`
        extra), a local directory in the transformers format, or a hub name.
    architecture: "bert" or "roberta"; read for fresh sizes only.
    tokenizer: "model" (the one that comes with the source; for fresh sizes the embedded one),
        "generated" (the word list of the generated tasks), a directory, or a hub name.
    cut_layer: how many encoder layers the clients keep besides the embeddings; FedBERT is 0.
    tie_decoder: the masked-LM decoder shares the word table; one that was saved apart needs false.
    freeze_embeddings: E (the embeddings and what the cut adds) is not trained, and has no dropout.
    dropout: of every layer and the head; None keeps the model's own.
    pooling: what a task's head reads: the first token's hidden state ("cls"), with BERT through its
        pooler, or the "mean" of all tokens', with BERT directly.
    """

    source: Text = "embedded"
    architecture: Literal["bert", "roberta"] = "bert"
    tokenizer: Text = "model"
    cut_layer: CutLayer = 0
    tie_decoder: bool = True
    freeze_embeddings: bool = False
    dropout: Annotated[float | None, Field(ge=0, lt=1)] = None
    pooling: Pooling = "cls"

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in a file; the pooling where it is not the default.

        A training without it is written, and hashed, as it was before there was a choice.
        """
        return {k: v for k, v in vars(self).items() if k != "pooling" or v != "cls"}


@settings
class DataConfig:
    """Which examples, and how they are dealt to the clients.

    task: a GLUE task, "own" for columns of one's own, or "mlm" for masked language modelling.
    source: "embedded" (Rotten Tomatoes sentences), "generated", "generated:personal" (sst2; made-up
        names, numbers and dates, whose recovery is told by itself), a directory, a file, or a hub
        name.
    pool_size, evaluation: at most so many examples (a seeded choice); None = all.
    max_length: the most tokens of an example.
    clients: among how many parties the pool is dealt.
    partition: how: "iid", or skewed by labels ("dirichlet") or sizes ("quantity").
    alpha: Dirichlet concentration, over labels ("dirichlet") or client sizes ("quantity").
    hold_out: the chance with which a coin keeps a text of the pool out of the training, in all of
        its rows, so that membership can be tested on examples that differ in nothing else. A grid
        takes a fair coin, 0.5, where it is 0.
    text, pair: one's own columns: that of the text, and of a second one where texts come in pairs.
        Of "mlm" `text` alone.
    label: the column of the labels of task "own"; "label" where none is named.
    labels: the classes as the column writes them, in the order of their numbers; without any, the
        labels are scores.
    metric: the headline of task "own": "accuracy", "macro_f1", "f1" or "matthews" of classes,
        "pearson" or "spearman" of scores; the first of each where none is named.
    group: the column of the person that a row belongs to, of one's own columns or "mlm". Then
        splits, partition and hold-out take persons whole, and intervals count them.
    group_rows: at most so many rows of a person are trained on (a seeded choice); None = all.
    records_per_user: nobody has more records than this, as whoever writes it states: claims about a
        record then stand beside one about a user. Where a column names the persons, `group`.
    attribute: a column of something else that a text tells, such as its author's group, for attacks
        that infer it; nobody trains on it. Of generated data "agent", "place", "time" or "topic".
    """

    task: TaskName = "sst2"
    source: Text = "embedded"
    pool_size: Examples = None
    evaluation: Examples = None
    max_length: Annotated[int, Field(ge=8, le=512)] = 64
    clients: Annotated[int, Field(ge=1, le=CLIENTS)] = 4
    partition: Partition = "iid"
    alpha: Positive = 0.5
    hold_out: Fraction = 0.0
    text: Text | None = None
    pair: Text | None = None
    label: Text | None = None
    labels: tuple[LabelName, ...] = ()
    metric: MetricName | None = None
    group: Text | None = None
    group_rows: Annotated[int | None, Field(ge=1, le=EXAMPLES)] = None
    records_per_user: Annotated[int | None, Field(ge=1, le=USER_RECORDS)] = None
    attribute: Text | None = None

    def __post_init__(self) -> None:
        """Check that columns are named where they are read, and fit each other."""
        _ = self.chosen_task
        if self.records_per_user is not None and self.group is not None:
            raise InputError(
                "expected records_per_user without group, whose column says how many records a "
                f"person has, got records_per_user={self.records_per_user} and group={self.group!r}"
            )
        if self.records_per_user is not None and self.task == "mlm":
            raise InputError(
                "expected no records_per_user for task mlm, whose texts are cut into blocks, a "
                f"record each, got records_per_user={self.records_per_user}"
            )

    @property
    def chosen_task(self) -> Task:
        """Return the task, made from the columns where it is one's own.

        Raises:
            InputError: for columns that are missing, not read, or do not fit each other.
        """
        if self.group_rows is not None and self.group is None:
            raise InputError(
                "expected group = the column of the persons beside group_rows, got none"
            )
        if self.task == OWN:
            if self.text is None:
                raise InputError("expected text = the column of the texts for task own, got none")
            label = self.label or "label"
            task = own_task(self.text, self.pair, label, self.labels, self.metric)
            return grouped(task, self.group, self.attribute)
        read = ("attribute", *(("text", "group", "group_rows") if self.task == "mlm" else ()))
        for name in COLUMNS:
            value = getattr(self, name)
            if value and name not in read:
                raise InputError(
                    f"expected {name} with task own alone, got {name}={value!r} "
                    f"with task {self.task!r}"
                )
        task = TASKS[self.task]
        task = task if self.text is None else replace(task, columns=(self.text,))
        return grouped(task, self.group, self.attribute)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in a file; of one's own columns those that are named.

        A training without them is written, and hashed, as it was before there were any.
        """
        unset = (*COLUMNS, "records_per_user")
        written = {k: v for k, v in vars(self).items() if k not in unset or v}
        return written | ({"labels": list(self.labels)} if self.labels else {})


@settings
class Config:
    """Everything that determines one training, apart from the defence.

    noise: "secret" (its key is made up by the computer and forgotten: nobody can take the noise
        off), or "repeatable" (from the seed and all that makes the training: the same again, for
        whoever knows those).
    """

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    seed: Seed = 0
    noise: NoiseMode = "secret"
    message: MessageConfig = MessageConfig()
    faults: FaultsConfig = NO_FAULTS

    def __post_init__(self) -> None:
        """Check what concerns more than one part."""
        with within("faults"):
            secure = self.training.secure_aggregation
            self.faults.check(self.training.strategy, self.data.clients, secure)
        if self.training.strategy == ONE_MESSAGE:
            self._check_message()
        elif self.message != MessageConfig():
            raise InputError(
                f"message: expected settings with strategy {ONE_MESSAGE} alone, got them with "
                f"{self.training.strategy!r}"
            )
        few = self.training.clients_per_round
        expect(
            few is None or few <= self.data.clients,
            f"clients_per_round <= clients ({self.data.clients})",
            "clients_per_round",
            few,
        )

    def _check_message(self) -> None:
        """Check what a training by one message needs."""
        if self.message.public is None:
            raise InputError(
                f"message: expected public = a source of public text with strategy {ONE_MESSAGE}, "
                "got none"
            )
        frozen = self.model.freeze_embeddings
        told = f"frozen embeddings with strategy {ONE_MESSAGE}, whose E is public"
        expect(frozen, told, "freeze_embeddings", frozen)
        own = self.model.pooling
        expect(own == "cls", "pooling under [message], not under [model]", "model.pooling", own)
        few = self.training.clients_per_round
        expect(few is None, f"all clients with strategy {ONE_MESSAGE}", "clients_per_round", few)
        task = self.data.chosen_task
        expect(task.kind != "mlm", f"a task with labels with strategy {ONE_MESSAGE}", "task", "mlm")
        told, pairs = "pairs with a task of pairs alone", self.message.pairs
        with within("message"):
            expect(pairs is None or self._of_pairs, told, "pairs", pairs)
            told, alike = "alike with scores of pairs that are compared alone", self.message.alike
            expect(alike is None or self._scores_likeness, told, "alike", alike)

    @property
    def head_reads_mean(self) -> bool:
        """Return whether a task's head is trained that reads the mean of all tokens."""
        return self.model.pooling == "mean" and self.data.task != "mlm"

    @property
    def compares(self) -> bool:
        """Return whether a message compares the two texts of a pair, each read by itself."""
        one = self.training.strategy == ONE_MESSAGE
        return one and self._of_pairs and self.message.pairs != "together"

    @property
    def rises(self) -> bool:
        """Return whether more alike pairs are publicly known to score higher."""
        known = "higher" if self.data.chosen_task.of_likeness else "free"
        return self._scores_likeness and (self.message.alike or known) == "higher"

    @property
    def _scores_likeness(self) -> bool:
        return self.compares and self.data.chosen_task.regression

    @property
    def _of_pairs(self) -> bool:
        return len(self.data.chosen_task.columns) == 2

    @property
    def directions(self) -> int:
        """Return how many values the row of a message has."""
        own = self.message.directions
        return own or (COMPARED if self.compares else SINGLE)

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as nested plain dictionaries.

        The message's settings stand in it where they are read.
        """
        one = self.training.strategy == ONE_MESSAGE
        alike = ("higher" if self.rises else "free") if self._scores_likeness else None
        message = self.message.in_effect(self.directions, self._of_pairs, alike)
        return {
            "model": self.model.to_json(),
            "data": self.data.to_json(),
            "training": self.training.to_json(),
            "seed": self.seed,
            "noise": self.noise,
            **({"message": message} if one else {}),
            **({} if self.faults == NO_FAULTS else {"faults": self.faults.to_json()}),
        }
