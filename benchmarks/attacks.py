"""Nearest token against the bare matrix product, and what every attack takes for 1,000 tokens."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from attacks.attack import Knowledge
from attacks.inversion.nearest_token import NearestToken
from benchmarks.inputs import SEED, SHAPES, VOCABULARY
from benchmarks.measure import Row, interleave, row_of
from evaluation.adversary.round_watch import RoundWatch
from evaluation.attacking import loop, membership
from evaluation.grid.catalogue import INVERSION, POOLED, UPDATES
from evaluation.grid.parse import grid_from
from evaluation.run import cell as cells
from fedbert.messages import ClientUpdate, SmashedData
from fedbert.seeding import generator
from fedbert.split import EmbeddingTables

TOKENS = 4096  # 64 sequences of 64: what a cell's messages hold
LENGTH = 64
TARGET = 1 / 0.7  # at least 70 % of the product's rate


def nearest(repeats: int) -> list[Row]:
    """Return the time of the look-up over that of received rows [token, hidden] x word table.

    The attack answers the same tokens with both token types, all positions, LayerNorm, and the
    noise; the product alone is its lower bound. A ratio of 1.43 is 70 % of the product's rate.
    """
    hidden = SHAPES["MiniLM"][1]
    draws = generator(SEED, "nearest token")
    normal = torch.randn(VOCABULARY.size + 512 + 2, hidden, generator=draws) * 0.02
    tables = EmbeddingTables(
        word=normal[: VOCABULARY.size],
        position=normal[VOCABULARY.size : -2],
        token_type=normal[-2:],
        norm_weight=torch.ones(hidden),
        norm_bias=torch.zeros(hidden),
        norm_eps=1e-12,
        position_offset=0,
    )
    rows = torch.randn(TOKENS, hidden, generator=draws)
    mask = np.ones((TOKENS // LENGTH, LENGTH), dtype=np.int64)
    message = SmashedData(0, 0, 0, rows.view(-1, LENGTH, hidden).numpy(), mask)
    attack = NearestToken()
    found = []
    for name, knowledge in (
        ("nearest token", Knowledge(embedding=tables, noise_std=1.0)),
        ("... clipped", Knowledge(embedding=tables, noise_std=1.0, clip_norm=8.0)),
    ):
        pairs = interleave(
            lambda: rows @ tables.word.T,
            lambda knowledge=knowledge: attack.reconstruct([message], knowledge, draws),
            repeats,
        )
        note = f"{TOKENS} tokens x {VOCABULARY.size} words, hidden {hidden}"
        rates = [100 * bare / ours for bare, ours in pairs]
        note += f"; {np.median(rates):.0f} % of the product's rate"
        found.append(row_of(name, "matrix product", pairs, TARGET, note))
    return found


CELL: dict[str, Any] = {
    "model": {"source": "embedded"},
    "data": {
        "source": "embedded", "pool_size": 2000, "evaluation": 20, "max_length": 32, "clients": 2,
        "hold_out": 0.5,
    },
    "training": {"rounds": 2, "local_steps": 1, "batch_size": 64},
    "attacks": {
        "messages": 2, "candidates": 100, "inversion": [], "backward": [], "updates": [],
        "membership": [],
    },
}  # fmt: skip
NOISE = {"mechanism": "gaussian", "clip_norm": 11.0, "target_epsilon": 800.0}
CLEAR: dict[str, Any] = {"name": "-"}
ONE_STEP = {"rounds": 2, "local_steps": 1, "batch_size": 2, "optimizer": "sgd"}
FEDAVG: dict[str, Any] = {"training": ONE_STEP, "strategies": ["fedavg"]}
STILL = {"source": "embedded", "dropout": 0.0}
CELLS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("sst2", {"name": "noise", "smashed": NOISE}, {}, {"inversion": list(INVERSION)}),
    ("mlm", CLEAR, {}, {"backward": ["masked_tokens"], "updates": ["embedding_rows"]}),
    ("sst2", CLEAR, {}, {"backward": ["label_from_gradient"]}),
    ("sst2", CLEAR, FEDAVG, {"updates": [name for name in UPDATES if name != "span_check"]}),
    ("sst2", CLEAR, {**FEDAVG, "model": STILL}, {"updates": ["span_check"]}),
    ("sst2", CLEAR, {}, {"pooled": list(POOLED)}),
]
"""Task, defence, what differs from `CELL`, and the attacks that are timed there."""
WATCHING = ("loss_over_rounds", "update_cosine", "gradient_difference")
LOOKS: list[tuple[Any, str, str, tuple[str, ...]]] = [
    (membership, "matching_signals", "parallel", ("message_matching",)),
    (RoundWatch, "_look", "fedavg", WATCHING),
]
"""What is timed, under which strategy, and the membership attacks that it serves."""


def costs() -> list[str]:
    """Return a line for each attack: seconds of one core for 1,000 tokens.

    Of updates: for one; of pooled vectors: for one kind of vector. Where an attack first learns
    from auxiliary text, what that takes comes on top, once for a cell's messages. Real cells run
    with the embedded MiniLM, and every call of an attack is timed. Membership attacks are cheap
    functions of answers that a cell computes once: of them `looks` alone are timed.
    """
    found: dict[str, list[tuple[float, float]]] = {}

    made = loop.make_attack

    def timed(asked: Any, catalogue: Any, verb: str) -> Any:
        name = asked if isinstance(asked, str) else asked.name
        return _Timed(made(asked, catalogue, verb), found.setdefault(name, []).append)

    try:
        loop.make_attack = timed
        for task, defence, changes, attacks in CELLS:
            _run(changes, task, defence, attacks)
    finally:
        loop.make_attack = made
    lines = []
    for name, each in found.items():
        kind = "update" if name in UPDATES else "kind of vector" if name in POOLED else ""
        scale = 1 if kind else 1000
        if not each:
            lines.append(f"{name}: not run")
            continue
        seconds, first = (min(column) for column in zip(*each, strict=True))
        line = f"{name}: {seconds * scale:.2f} s per {kind or '1,000 tokens'}"
        lines.append(line + (f", {first:.0f} s before" if first > 1 else ""))
    return lines + looks()


def looks() -> list[str]:
    """Return what looking at messages, and at candidates after a round, takes in seconds.

    For 1,000 tokens of candidates, at most: of what membership attacks do, all but the target's
    answers and shadows.
    """
    candidates = 2 * CELL["attacks"]["candidates"] * CELL["data"]["max_length"] / 1000
    found: list[str] = []
    for owner, name, strategy, attacks in LOOKS:
        took: list[float] = []
        before = getattr(owner, name)

        def timed(*given: Any, before: Any = before, took: list[float] = took) -> Any:
            start = time.process_time()
            answer = before(*given)
            took.append(time.process_time() - start)
            return answer

        try:
            setattr(owner, name, timed)
            _run({"strategies": [strategy]}, "sst2", CLEAR, {"membership": list(attacks)})
        finally:
            setattr(owner, name, before)
        found.append(f"{', '.join(attacks)}: {min(took) / candidates:.2f} s per 1,000 tokens")
    return found


def _run(
    changes: dict[str, Any], task: str, defence: dict[str, Any], attacks: dict[str, Any]
) -> None:
    """Run a cell that differs from `CELL` in this."""
    given = {**CELL["attacks"], **attacks}
    values = {**CELL, **changes, "attacks": given, "tasks": [task], "defences": [defence]}
    record = cells.run_cell(grid_from(values, "benchmark", "costs").cells[0]).record
    if record.status != "done":
        raise RuntimeError(f"expected a finished cell, got {record.traceback}")


class _Timed:
    """An attack whose every answer is timed; `told` hears its size and the seconds.

    Where it can be asked about no message at all, what that takes is what it learns beforehand.
    """

    def __init__(self, attack: Any, told: Callable[[tuple[float, float]], None]) -> None:
        self._attack, self._told = attack, told
        self.uses_decoder = False  # what every attack trains for itself counts as its own

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._attack, name)
        if name not in ("reconstruct", "invert", "labels", "tokens"):
            return found

        def call(given: Any, *rest: Any) -> Any:
            first = 0.0
            if isinstance(given[0], SmashedData) and self._attack.view == "forward":
                start = time.process_time()
                found([], *rest)
                first = time.process_time() - start
            start = time.process_time()
            answer = found(given, *rest)
            took = time.process_time() - start
            self._told((max(0.0, took - first) / _size(given), first))
            return answer

        return call


def _size(given: Any) -> float:
    """Return the tokens of messages or batches, the number of updates, or 1."""
    if isinstance(given, np.ndarray):
        return 1
    pieces = list(given)
    updates = [each for each in pieces if isinstance(each, ClientUpdate)]
    masks = [each.attention_mask for each in pieces if hasattr(each, "attention_mask")]
    return len(updates) or sum(float(mask.sum()) for mask in masks) or 1
