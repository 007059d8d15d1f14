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
from evaluation import cell as cells
from evaluation import inversion
from evaluation.catalogue import INVERSION, UPDATES, make_attack
from evaluation.grid import grid_from
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
    "data": {"source": "embedded", "pool": 400, "evaluation": 20, "max_length": 32, "clients": 2},
    "training": {"rounds": 2, "local_steps": 1, "batch_size": 64},
    "attacks": {"messages": 2, "candidates": 100, "inversion": []},
}
NOISE = {"mechanism": "gaussian", "clip_norm": 11.0, "target_epsilon": 800.0}


def costs() -> list[str]:
    """Return a line for each attack: seconds of one core for 1,000 tokens (of updates: for one).

    Two real cells run with the embedded MiniLM, and every call of an attack is timed: a sentence
    task under noise, so that a prior has work to do, and masked-LM in the clear.
    """
    attacks = {**CELL["attacks"], "inversion": list(INVERSION)}
    found: dict[str, list[float]] = {}

    def timed(name: str, catalogue: Any, verb: str) -> Any:
        attack = make_attack(name, catalogue, verb)
        return _Timed(attack, lambda size, took: found.setdefault(name, []).append(took / size))

    before = cells.make_attack, inversion.make_attack
    cells.make_attack = inversion.make_attack = timed
    try:
        for task, defence in (
            ("sst2", {"name": "noise", "smashed": NOISE}),
            ("mlm", {"name": "-"}),
        ):
            values = {**CELL, "attacks": attacks, "tasks": [task], "defences": [defence]}
            record = cells.run_cell(grid_from(values, "benchmark", "costs").cells[0]).record
            if record.status != "done":
                raise RuntimeError(f"expected a finished cell, got {record.traceback}")
    finally:
        cells.make_attack, inversion.make_attack = before
    lines = []
    for name, each in found.items():
        each_of = "update" if name in UPDATES else "1,000 tokens"
        seconds = min(each) * (1 if name in UPDATES else 1000)
        lines.append(f"{name}: {seconds:.2f} s per {each_of}")
    return lines


class _Timed:
    """An attack whose every answer is timed; `told` hears its size and the seconds."""

    def __init__(self, attack: Any, told: Callable[[float, float], None]) -> None:
        self._attack, self._told = attack, told

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._attack, name)
        if name not in ("reconstruct", "labels", "tokens", "score"):
            return found

        def call(given: Any, *rest: Any) -> Any:
            given = list(given)
            start = time.process_time()
            answer = found(given, *rest)
            self._told(_size(given), time.process_time() - start)
            return answer

        return call


def _size(given: list[Any]) -> float:
    """Return the tokens of messages or batches, or the number of updates."""
    updates = [each for each in given if isinstance(each, ClientUpdate)]
    masks = [each.attention_mask for each in given if hasattr(each, "attention_mask")]
    return len(updates) or sum(float(mask.sum()) for mask in masks)
