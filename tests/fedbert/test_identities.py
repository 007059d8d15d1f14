"""The identities of split training: it computes what the whole model would."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedbert import copies as copies_module
from fedbert.client import Client
from fedbert.config import Config
from fedbert.data.batches import Batch
from fedbert.prepare import Prepared, with_model
from fedbert.schedule import participants
from fedbert.server import Server
from fedbert.split import cut
from fedbert.trainer import State, train
from tests.fedbert import tiny

CUTS = range(tiny.LAYERS + 1)
PRECISIONS = {"float32": (torch.float32, 1e-5), "float64": (torch.float64, 1e-10)}


def whole_loss(whole: Any, batch: Batch) -> Tensor:
    """The loss that transformers itself computes."""
    labels = batch.labels
    if labels.is_floating_point():
        labels = labels.to(next(whole.parameters()).dtype)
    found = whole(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        labels=labels,
    )
    return found.loss


def gradients(client: Client) -> dict[str, Tensor | None]:
    """A client's gradients by transformers' name, the word table's spread over all rows."""
    found = {n: p.grad for n, p in client.bench.names.items()}
    grad = found[client.word]
    if client.rows is not None and grad is not None:
        found[client.word] = torch.zeros(tiny.VOCAB, tiny.HIDDEN, dtype=grad.dtype)
        found[client.word][torch.tensor(client.rows)] = grad
    return found


def watched(client: Client) -> dict[str, Tensor | None]:
    """Return what will hold the client's gradients as they are when its optimiser steps."""
    found: dict[str, Tensor | None] = {}
    client.optimizer.register_step_pre_hook(lambda *_: found.update(gradients(client)))
    return found


def split_step(config: Config, prepared: Prepared) -> tuple[float, dict[str, Tensor | None]]:
    """One training step through the real parties and messages: loss, and every gradient."""
    (data,) = prepared.clients
    party = Server(prepared.split, config, tiny.NO_DEFENCE, tiny.NOISE)
    client = Client(data, prepared.split, config, tiny.NO_DEFENCE, False, tiny.NOISE)
    found = watched(client)
    client.start(party.parts(0, 0, with_body=False))
    party.open_group((0,))
    (hidden,) = party.forward([client.forward(0)])
    (answer,) = party.backward([client.head(hidden)], 1e-3)
    client.finish(answer, 1e-3)
    body = {n: p.grad for n, p in prepared.split.body_names.items()}
    return client.mean_loss(), found | body


def local_step(config: Config, prepared: Prepared) -> tuple[float, dict[str, Tensor | None]]:
    """One training step of a client that holds the whole model: loss, and every gradient."""
    (data,) = prepared.clients
    party = Server(prepared.split, config, tiny.NO_DEFENCE, tiny.NOISE)
    client = Client(data, prepared.split, config, tiny.NO_DEFENCE, True, tiny.NOISE)
    found = watched(client)
    client.start(party.parts(0, 0, with_body=True))
    client.train([1e-3])
    return client.mean_loss(), found


@pytest.mark.parametrize("step", [split_step, local_step])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("cut_layer", CUTS)
def test_split_equals_whole(
    cut_layer: int, architecture: str, kind: str, precision: str, step: Any
) -> None:
    dtype, tolerance = PRECISIONS[precision]
    # A clip that never binds leaves the gradients as they are, bit for bit.
    config = tiny.config_of(
        kind,
        cut_layer=cut_layer,
        architecture=architecture,
        precision=precision,
        max_grad_norm=1e9,
        batch_size=8,
    )
    prepared = tiny.prepared_for(config, kind, dropout=0.0)
    batch = prepared.clients[0].batch(0)
    assert (batch.attention_mask == 0).any(), "the test needs padding"
    whole = tiny.twin(prepared.split.whole)
    loss = whole_loss(whole, batch)
    loss.backward()
    expected = {n: p.grad for n, p in whole.named_parameters()}

    found_loss, found = step(config, prepared)

    assert found_loss == pytest.approx(float(loss.detach()), rel=tolerance)
    assert found.keys() == expected.keys()
    total = math.sqrt(sum(float(g.square().sum()) for g in expected.values() if g is not None))
    assert total > 0.01
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None, name
            continue
        assert found[name] is not None and found[name].dtype == dtype, name
        # The true gradient of a key's bias is zero (softmax ignores shifts): what is there is
        # rounding of the others.
        scale = total if name.endswith("key.bias") else float(gradient.norm())
        assert float((found[name] - gradient).norm()) <= tolerance * scale, name


def test_a_padding_row_that_no_example_has_silences_no_other() -> None:
    """The model's padding token (no gradient) need not be the tokenizer's, nor among the rows."""
    config = tiny.config_of("two", max_grad_norm=1e9, precision="float64", batch_size=24)
    prepared = tiny.prepared_for(config, dropout=0.0)
    tokens = prepared.clients[0].encoded.tokens
    following = tokens[tokens > tiny.MASK].min()
    split = cut(tiny.whole_model(dtype=torch.float64, pad=tiny.MASK), 0)
    prepared = with_model(prepared, split)
    whole = tiny.twin(split.whole)
    whole_loss(whole, prepared.clients[0].batch(0)).backward()
    _, found = split_step(config, prepared)
    name = "bert.embeddings.word_embeddings.weight"
    expected = whole.get_input_embeddings().weight.grad
    assert expected[following].any() and not expected[tiny.MASK].any()
    torch.testing.assert_close(found[name], expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_logits_and_losses_equal_the_whole_models(kind: str, architecture: str) -> None:
    for cut_layer in CUTS:
        split = tiny.split_model(architecture, kind, cut_layer, dtype=torch.float64)
        config = tiny.config_of(kind, architecture=architecture, precision="float64")
        batch = tiny.prepared_for(config, kind).clients[0].batch(1)
        whole = tiny.twin(split.whole)
        inputs = {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "token_type_ids": batch.token_type_ids,
        }
        with torch.no_grad():
            expected = whole(**inputs).logits
            torch.testing.assert_close(split.logits(batch), expected, rtol=1e-10, atol=1e-12)
            each = split.losses(batch)
            assert each.shape == (len(batch.input_ids),)
            for row in range(len(each)):  # per example = batch of one
                one = Batch(**{n: t[row : row + 1] for n, t in vars(batch).items()})
                if kind.startswith("mlm") and (one.labels == -100).all():
                    assert each[row] == 0
                    continue
                torch.testing.assert_close(each[row], whole_loss(whole, one), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["mlm-tied", "mlm-untied"])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_no_masked_position_gives_zero_loss_and_zero_gradients(
    architecture: str, kind: str
) -> None:
    split = tiny.split_model(architecture, kind, dropout=0.1)
    hidden = torch.randn(2, 5, tiny.HIDDEN, requires_grad=True)
    loss = split.head.loss(hidden, torch.full((2, 5), -100))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert hidden.grad is not None and not hidden.grad.any()
    # Zero, not none: H takes the same optimiser steps as E and T. (Without a
    # tied decoder transformers keeps a second output bias that nothing uses.)
    spare = ("steps.lm_head.bias", "steps.cls.predictions.bias")
    untied = kind == "mlm-untied"
    unused = {id(p) for n, p in split.head.named_parameters() if untied and n in spare}
    for parameter in split.head.parameters():
        assert (parameter.grad is not None and not parameter.grad.any()) or id(parameter) in unused
    batch = tiny.prepared_for(tiny.config_of(kind), kind).clients[0].batch(0)
    blank = Batch(**{**vars(batch), "labels": torch.full_like(batch.labels, -100)})
    assert not split.losses(blank).any()


@pytest.mark.parametrize("kind", ["mlm-tied", "mlm-untied"])
def test_training_goes_through_a_batch_without_masked_positions(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedbert.data import client_data

    plain = client_data.mask_tokens
    calls = iter(range(10**6))

    def mask_some(*arguments: Any) -> Batch:
        batch = plain(*arguments)
        if next(calls) % 2:  # every other batch has none
            return Batch(**{**vars(batch), "labels": torch.full_like(batch.labels, -100)})
        return batch

    monkeypatch.setattr(client_data, "mask_tokens", mask_some)
    states = []
    for strategy in ("centralised", "fedavg", "parallel", "sequential"):
        calls = iter(range(10**6))
        done = tiny.trained(kind, strategy=strategy)
        assert all(np.isfinite(v).all() for v in done.state.values.values())
        states.append(tiny.as_bytes(done.state)["values"])
    assert all(state == states[0] for state in states)


ONE_CLIENT = [
    {"strategy": "fedavg"},
    {"strategy": "parallel"},
    {"strategy": "sequential"},
    {"strategy": "sequential", "client_parts": "average"},
]
HANDED = [
    {"strategy": "sequential", "optimizer_state": "hand_on"},
]


MODELS = [
    ("mlm-tied", "bert", 0),
    ("mlm-untied", "roberta", 0),
    ("mlm-tied", "roberta", 1),
    ("two", "bert", 0),
    ("two", "bert", 2),
    ("three", "roberta", 1),
    ("score", "bert", 0),
]
# Each model with E frozen and not, with moments kept and not; each two of these by turns.
ALONE = [
    (*model, freeze, ("keep", "reset")[(i + freeze) % 2])
    for i, model in enumerate(MODELS)
    for freeze in (False, True)
]


@pytest.mark.parametrize(("kind", "architecture", "cut_layer", "freeze", "optimizer_state"), ALONE)
def test_one_client_equals_centralised_bit_for_bit(
    kind: str, architecture: str, cut_layer: int, freeze: bool, optimizer_state: str
) -> None:
    common = {"architecture": architecture, "cut_layer": cut_layer, "freeze": freeze, "rounds": 2}
    base = tiny.trained(
        kind, strategy="centralised", optimizer_state=optimizer_state, **common
    ).state
    moved = tiny.prepared_for(tiny.config_of(kind, **common), kind).split.whole
    assert any((base.values[n] != p.detach().numpy()).any() for n, p in moved.named_parameters())
    runs = [{"optimizer_state": optimizer_state} | run for run in ONE_CLIENT]
    # Moments that travel to the only client there is are moments kept.
    runs += HANDED if optimizer_state == "keep" else []
    for run in runs:
        state = tiny.trained(kind, **common, **run).state
        if run.get("optimizer_state") == "hand_on" and not kind.startswith("mlm"):
            same_but_for_words_never_seen(state, base)
        else:
            assert tiny.as_bytes(state)["values"] == tiny.as_bytes(base)["values"], run
        assert state.losses == base.losses, run


def same_but_for_words_never_seen(state: State, base: State) -> None:
    """Moments that are handed on need the whole word table, where other runs keep compact rows.

    A row that nobody touches then decays step by step instead of by one product: rounding.
    """
    for name, value in base.values.items():
        if not name.endswith("word_embeddings.weight"):
            np.testing.assert_array_equal(state.values[name], value, err_msg=name)
            continue
        seen = np.union1d(tiny.encoded().tokens, [tiny.PAD])
        np.testing.assert_array_equal(state.values[name][seen], value[seen])
        np.testing.assert_allclose(state.values[name], value, rtol=1e-6)


def owner(name: str, cut_layer: int) -> str:
    """The party that holds a parameter, from its name alone."""
    inner = name.split(".")
    return (
        "body" if "layer" in inner and int(inner[inner.index("layer") + 1]) >= cut_layer else "edge"
    )


def schedule(config: Config, step: int) -> float:
    """Linear warm-up, then linear decay, over the steps that one client takes at most."""
    t = config.training
    total = t.rounds * t.local_steps
    warm = math.floor(t.warmup_fraction * total)
    up = (step + 1) / warm if warm else math.inf
    down = (total - step) / (total - warm)
    return t.learning_rate * min(up, down, 1.0)


class Loop:
    """The oracle: a plain loop over plain transformers models and torch's unfused AdamW."""

    def __init__(self, config: Config, prepared: Prepared) -> None:
        self.config, self.prepared = config, prepared
        self.start = tiny.twin(prepared.split.whole)
        self.models: dict[int, Any] = {}
        self.optimizers: dict[Any, torch.optim.Optimizer] = {}

    def bottom(self, whole: Any) -> Iterable[Tensor]:
        base = whole.base_model
        for part in [base.embeddings, *base.encoder.layer[: self.config.model.cut_layer]]:
            yield from part.parameters()

    def held(self, whole: Any, side: str) -> list[Tensor]:
        frozen = set(map(id, self.bottom(whole))) if self.config.model.freeze_embeddings else set()
        cut_layer = self.config.model.cut_layer
        return [
            p
            for n, p in whole.named_parameters()
            if owner(n, cut_layer) == side and id(p) not in frozen
        ]

    def optimizer(self, key: Any, whole: Any, side: str) -> torch.optim.Optimizer | None:
        held = self.held(whole, side)
        if key not in self.optimizers and held:
            groups = [
                {"params": [p for p in held if p.ndim > 1], "weight_decay": 0.01},
                {"params": [p for p in held if p.ndim == 1], "weight_decay": 0.0},
            ]
            plain = self.config.training.optimizer == "sgd"
            kind = torch.optim.SGD if plain else torch.optim.AdamW
            self.optimizers[key] = kind(groups, foreach=False, fused=False)
        return self.optimizers.get(key)

    def step(self, whole: Any, client: int, number: int, rate: float, keys: dict[str, Any]) -> None:
        whole.train()
        whole.zero_grad()
        whole_loss(whole, self.prepared.clients[client].batch(number)).backward()
        for side in ("edge", "body"):
            grads = [p.grad for p in self.held(whole, side) if p.grad is not None]
            norm = math.sqrt(sum(float(g.square().sum()) for g in grads))
            for grad in grads:
                grad.mul_(min(1.0, self.config.training.max_grad_norm / (norm + 1e-6)))
            optimizer = self.optimizer(keys[side], whole, side)
            if optimizer is not None:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()

    def load(self, whole: Any, values: dict[str, Tensor], side: str | None = None) -> None:
        with torch.no_grad():
            for name, parameter in whole.named_parameters():
                if side in (None, owner(name, self.config.model.cut_layer)):
                    parameter.copy_(values[name])

    def values(self, whole: Any) -> dict[str, Tensor]:
        return {n: p.detach().clone() for n, p in whole.named_parameters()}

    def run(self) -> dict[str, Tensor]:
        t, now = self.config.training, self.values(self.start)
        taken = dict.fromkeys(range(self.config.data.clients), 0)
        for round_ in range(t.rounds):
            who = participants(self.config, round_)
            sizes = [len(self.prepared.clients[c].encoded) for c in who]
            results = []
            begin = now
            for client in who:
                if t.optimizer_state == "reset":
                    self.optimizers.clear()
                if t.strategy == "sequential":
                    whole, keys = self.start, {"body": "body", "edge": ("edge", client)}
                    if t.optimizer_state == "hand_on":
                        keys["edge"] = "edge"
                    if t.client_parts == "average":
                        self.load(whole, begin, "edge")
                else:
                    whole = self.models.setdefault(client, tiny.twin(self.start))
                    keys = {side: (side, client) for side in ("body", "edge")}
                    self.load(whole, begin)
                for i in range(t.local_steps):
                    rate = schedule(self.config, round_ * t.local_steps + i)
                    self.step(whole, client, taken[client], rate, keys)
                    taken[client] += 1
                results.append(self.values(whole))
            last = results[-1]
            mean = {
                n: sum(s * r[n] for s, r in zip(sizes, results, strict=True)) / sum(sizes)
                for n in last
            }
            if t.strategy == "sequential":
                edge = last if t.client_parts == "hand_on" else mean
                cut_layer = self.config.model.cut_layer
                now = {n: (edge if owner(n, cut_layer) == "edge" else last)[n] for n in last}
            else:
                now = mean
        return now


LOOPS = [
    {"strategy": "fedavg", "clients": 1},
    {"strategy": "fedavg", "clients": 3, "partition": "quantity"},
    {"strategy": "fedavg", "clients": 3, "optimizer_state": "reset"},
    {"strategy": "parallel", "clients": 1},
    {"strategy": "parallel", "clients": 3, "partition": "quantity"},
    {"strategy": "parallel", "clients": 4, "clients_per_round": 2},
    {"strategy": "parallel", "clients": 3, "optimizer_state": "reset"},
    {"strategy": "sequential", "clients": 3, "partition": "quantity"},
    {"strategy": "sequential", "clients": 3, "optimizer_state": "reset"},
    {"strategy": "sequential", "clients": 3, "optimizer_state": "hand_on"},
    {"strategy": "sequential", "clients": 3, "client_parts": "average", "partition": "quantity"},
    {"strategy": "sequential", "clients": 4, "clients_per_round": 2},
    {"strategy": "fedavg", "clients": 2, "optimizer": "sgd"},
    {"strategy": "parallel", "clients": 3, "optimizer": "sgd"},
]


FROZEN_OR_NOT = [("mlm-tied", False), ("mlm-untied", True), ("two", False), ("score", True)]
# Each run with a masked model and a classifier, one of them frozen; each strategy with all four.
LOOPED = [
    (run, *each)
    for i, run in enumerate(LOOPS)
    for j, each in enumerate(FROZEN_OR_NOT)
    if (j in (0, 3)) is (i % 2 == 0)
]


@pytest.mark.parametrize(
    ("run", "kind", "freeze"),
    LOOPED,
    ids=["-".join([kind, *map(str, run.values())]) for run, kind, _ in LOOPED],
)
def test_training_equals_a_plain_loop(run: dict[str, Any], kind: str, freeze: bool) -> None:
    cut_layer = 1 if kind in ("mlm-untied", "score") else 0
    architecture = "roberta" if kind in ("mlm-untied", "two") else "bert"
    # max_grad_norm binds on the client parts and on the body in turn (checked below).
    config = tiny.config_of(
        kind,
        freeze=freeze,
        cut_layer=cut_layer,
        architecture=architecture,
        precision="float64",
        max_grad_norm=0.5,
        warmup_fraction=0.4,
        **run,
    )
    prepared = tiny.prepared_for(config, kind, dropout=0.0, count=30)
    expected = Loop(config, prepared).run()
    found = train(config, prepared, tiny.NO_DEFENCE).state.values
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=0, atol=1e-9, err_msg=name)


def test_centralised_takes_the_steps_of_all_clients_on_pooled_data() -> None:
    config = tiny.config_of("two", clients=3, strategy="centralised", precision="float64")
    prepared = tiny.prepared_for(config, "two", dropout=0.0)
    assert [len(c.encoded) for c in prepared.clients] == [24]
    alone = tiny.config_of("two", clients=1, strategy="fedavg", local_steps=6, precision="float64")
    expected = Loop(alone, prepared).run()
    found = train(config, prepared, tiny.NO_DEFENCE).state.values
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["mlm-tied", "three"])
@pytest.mark.parametrize(
    "run",
    [
        {"clients": 4},
        {"clients": 3, "partition": "quantity"},
        {"clients": 5, "clients_per_round": 3, "partition": "quantity"},
        {"clients": 5, "clients_per_round": 3, "optimizer_state": "reset"},
    ],
    ids=["even", "ragged", "sampled", "sampled-reset"],
)
def test_fedavg_equals_parallel_with_dropout(run: dict[str, Any], kind: str) -> None:
    """Federated averaging runs copies one by one, `parallel` stacks them: equal to rounding."""
    common = {"dropout": 0.2, "count": 30, "precision": "float64"} | run
    one, other = (tiny.trained(kind, strategy=s, **common).state for s in ("fedavg", "parallel"))
    assert tiny.largest_difference(one, other) < 1e-9


def test_fedavg_equals_parallel_in_float32() -> None:
    # Adam makes steps of the rounding of a gradient whose true value is zero (key.bias).
    common = {"dropout": 0.2, "clients": 3, "learning_rate": 1e-3}
    one, other = (tiny.trained("two", strategy=s, **common).state for s in ("fedavg", "parallel"))
    for name, value in one.values.items():
        if not name.endswith("key.bias"):
            np.testing.assert_allclose(other.values[name], value, rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("sampled", [None, 4])
def test_capacity_does_not_change_parallel_training(
    monkeypatch: pytest.MonkeyPatch, sampled: int | None
) -> None:
    """Groups of every size, also where sampled clients form other groups each round."""
    run = {"clients": 5, "partition": "quantity", "strategy": "parallel", "precision": "float64"}
    run |= {"clients_per_round": sampled, "optimizer_state": "keep", "rounds": 3}
    many = tiny.trained("mlm-tied", dropout=0.2, count=40, **run).state
    size = sum(p.numel() for p in tiny.split_model("bert", "mlm-tied").body.parameters())
    for copies in (1, 2):
        monkeypatch.setattr(copies_module, "STACK_PARAMETERS", copies * size)
        few = tiny.trained("mlm-tied", dropout=0.2, count=40, **run).state
        assert tiny.largest_difference(few, many) < 1e-9


@pytest.mark.parametrize("strategy", ["centralised", "fedavg", "parallel", "sequential"])
@pytest.mark.parametrize("kind", ["mlm-tied", "two"])
def test_same_settings_give_the_same_bytes_and_another_seed_does_not(
    kind: str, strategy: str
) -> None:
    run = {"strategy": strategy, "clients": 3, "partition": "quantity", "rounds": 2}
    first = tiny.trained(kind, **run)
    torch.randn(7)  # the state of torch's own generator plays no part
    again = tiny.trained(kind, **run)
    other = tiny.trained(kind, seed=1, **run)
    assert tiny.as_bytes(first.state) == tiny.as_bytes(again.state)
    assert tiny.as_bytes(first.state)["values"] != tiny.as_bytes(other.state)["values"]


@pytest.mark.parametrize("strategy", ["fedavg", "parallel", "sequential"])
def test_training_leaves_torchs_own_generator_and_its_inputs_alone(strategy: str) -> None:
    config = tiny.config_of("two", clients=2, strategy=strategy)
    prepared = tiny.prepared_for(config)
    before = torch.random.get_rng_state()
    start = {n: p.detach().clone() for n, p in prepared.split.whole.named_parameters()}
    first = train(config, prepared, tiny.NO_DEFENCE)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, parameter in prepared.split.whole.named_parameters():
        assert torch.equal(parameter, start[name]), name
    again = train(config, prepared, tiny.NO_DEFENCE)
    assert tiny.as_bytes(first.state) == tiny.as_bytes(again.state)
    for name, parameter in first.split.whole.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), first.state.values[name])


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_every_dropout_of_the_whole_model_acts(architecture: str, kind: str) -> None:
    """The parts draw in the order in which the whole model does: one seed, the same logits."""
    config = tiny.config_of(kind, architecture=architecture)
    batch = tiny.prepared_for(config, kind).clients[0].batch(0)
    for cut_layer in CUTS:
        split = tiny.split_model(architecture, kind, cut_layer, dropout=0.3)
        found = []
        for model in (split, tiny.twin(split.whole)):
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(1)
                if model is split:
                    split.whole.train()
                    found.append(split.logits(batch))
                    continue
                inputs = {n: t for n, t in vars(batch).items() if n not in ("labels", "index")}
                found.append(model.train()(**inputs).logits)
        torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_dropout_acts_in_training() -> None:
    still = tiny.trained("two", dropout=0.0).state
    shaken = tiny.trained("two", dropout=0.2).state
    assert tiny.largest_difference(still, shaken) > 1e-4
