"""Fuzzed run folders: records changed in a place or as bytes, and the files beside them."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reports.records import read_records
from tests.fuzz import odd, strict_records
from tests.fuzz.trial import EITHER, InputError, Trial, command, verdict_of

SENTENCE = "for one token, epsilon = 2 at delta = 1e-05"
VIEWS = ("forward", "backward", "aggregator", "peer", "release")
ESTIMATE = {
    "value": 0.7,
    "low": 0.6,
    "high": 0.8,
    "n": 40,
    "confidence": 0.95,
    "method": "bootstrap",
}
CURVE = {"tradeoff": [[0.001, 0.01], [0.01, 0.08], [0.5, 0.9]], "advantage": 0.4,
         "tradeoff_basis": "exact", "mu": 0.9, "mu_delta": 1e-5}  # fmt: skip


SENTENCES = [{"words": [["the", 3, 4], ["##cook", 0, 4]],
              "best": {"attack": "nearest token", "words": ["the", "mug"]}}]  # fmt: skip


def record(rng: random.Random, status: str, seed: int) -> dict[str, Any]:
    """Return a record as a run writes it."""
    labels = {"task": "sst2", "model": "tiny", "strategy": "parallel",
              "defence": rng.choice(("none", "gaussian")), "level": rng.choice(("-", "epsilon=2")),
              "seed": str(seed)}  # fmt: skip
    found: dict[str, Any] = {
        "cell": f"{rng.randrange(16**16):016x}", "status": status, "schema": 3, "labels": labels,
        "spec": {"task": "sst2", "data": {"clients": 2}, "list": [1, 2.5, None, True]},
        "reason": "", "traceback": "", "utility": {}, "majority_baseline": {}, "guarantees": [],
        "leakage": [], "mechanisms": {}, "bytes": {}, "seconds": {}, "provenance": {"commit": "0a"},
        "doubts": ["a doubt"],
    }  # fmt: skip
    if status == "skipped":
        return {**found, "reason": "it cannot be"}
    if status == "failed":
        return {**found, "traceback": "Traceback (most recent call last):\nValueError: no"}
    return found | {
        "utility": {"accuracy": dict(ESTIMATE)},
        "majority_baseline": {"accuracy": 0.5},
        "guarantees": [_guarantee(view) for view in VIEWS],
        "leakage": [
            {"view": "forward", "attack": "nearest token", "family": "inversion",
             "metric": "token_accuracy", "estimate": dict(ESTIMATE), "unit": "token",
             "chance": 0.01, "reference_attack": dict(ESTIMATE), "reference_basis": "a look-up",
             "reconstruction_bound": 0.9, "bound_basis": "the guarantee", "prior": 0.01,
             "informed": dict(ESTIMATE), "informed_basis": "who is told the scale"},
            {"view": "release", "attack": "loss threshold", "family": "membership",
             "metric": "auc", "estimate": dict(ESTIMATE), "unit": "record", "chance": 0.5},
            {"view": "peer", "attack": "peer rows", "family": "inversion",
             "not_measured": "nothing was sent"},
        ],
        "mechanisms": {"smashed": {"name": "gaussian", "clip_norm": 8.0, "noise_std": 1.0,
                                   "clipped_share": 0.5, "signal_to_noise": None}},
        "bytes": {"SmashedData": 61, "ClientUpdate": 9},
        "seconds": {"train": 1.5, "attack": 2},
    }  # fmt: skip


def _guarantee(view: str) -> dict[str, Any]:
    if view == "backward":
        return {"view": view, "kind": "no guarantee", "reason": "as it is", "sentence": "None."}
    if view == "peer":
        return {"view": view, "kind": "nothing sent", "reason": "none", "sentence": "Nothing."}
    if view == "aggregator":
        return {"view": view, "kind": "metric guarantee", "eta": 2.0, "unit": "token",
                "releases": 1, "scope": "local", "sentence": "eta = 2"}  # fmt: skip
    unit = "record" if view == "release" else "token"
    return {"view": view, "kind": "guarantee", "unit": unit, "relation": "replace-one",
            "epsilon": 2.0, "delta": 1e-5, "releases": 3, "scope": "local", "accountant": "exact",
            "exclusions": [], "sentence": SENTENCE,
            **(CURVE if unit == "record" else {})}  # fmt: skip


def make(rng: random.Random, folder: Path) -> Trial:
    """Return a run folder whose records are right, or odd in one way or two."""
    path = folder / "records.jsonl"
    kinds = rng.choice((["done"], ["done", "done"], ["done", "failed", "skipped"]))
    made = [record(rng, status, seed) for seed, status in enumerate(kinds)]
    records = json.loads(json.dumps(made))
    told = []
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        told.append(odd.change(rng.choice(records), rng))
    data = "".join(json.dumps(each) + "\n" for each in records).encode()
    if rng.random() < 0.2:
        data, how = odd.damaged(data, rng)
        told.append(how)
    path.write_bytes(data)
    if rng.random() < 0.15:
        return _beside(rng, folder, told)
    verdict = verdict_of(lambda: strict_records.cells(path))
    shows = verdict.accepted and rng.random() < 0.5
    call: Callable[[], Any] = (lambda: _reported(folder)) if shows else (lambda: _read(path))
    told.append("as report" if shows else "read")
    return Trial(", ".join(told), call, verdict, folder)


def _read(path: Path) -> list[tuple[str, str, Any]]:
    """Return cell, status and values of each record, as `report` reads them."""
    try:
        found = read_records(path)
    except ValueError as error:  # `evaluation.cli.shared.or_refuse` does the same
        raise InputError(str(error)) from None
    if not found:
        raise InputError("expected records, as `reports.render` asks for, got none")
    return [strict_records.essence(each.to_json()) for each in found]


def _reported(folder: Path) -> list[tuple[str, str, Any]]:
    """Return the same, once the report is made as the command makes it."""
    command("report", folder)
    if not (folder / "report.html").is_file() or not (folder / "table.csv").is_file():
        raise RuntimeError("a report without its files")
    return _read(folder / "records.jsonl")


def _scores(rng: random.Random) -> bytes:
    """Return a file of scores with an array of another type or shape, or damaged."""
    arrays: dict[str, Any] = {
        "loss threshold/scores": np.linspace(0, 1, 40),
        "loss threshold/members": np.arange(40) < 20,
        "loss threshold/seed": np.array(3), "loss threshold/clusters": np.arange(40),
        "signals/losses": np.zeros(3),
    }  # fmt: skip
    if rng.random() < 0.6:
        others = (np.zeros(0), np.zeros((40, 1)), np.full(40, np.nan), np.array("x"), np.arange(3),
                  np.array(1e300), np.zeros(40, complex), np.array([True] * 40))  # fmt: skip
        arrays[rng.choice(list(arrays))] = rng.choice(others)
    if rng.random() < 0.3:
        del arrays[rng.choice(list(arrays))]
    file = io.BytesIO()
    (np.savez_compressed if rng.random() < 0.5 else np.savez)(file, **arrays)
    return odd.damaged(file.getvalue(), rng)[0] if rng.random() < 0.6 else file.getvalue()


def _beside(rng: random.Random, folder: Path, told: list[str]) -> Trial:
    """Return a run folder with an odd file beside its records."""
    name = rng.choice(("grid.json", "partition.json", "samples.json", "scores"))
    line = (folder / "records.jsonl").read_bytes().split(b"\n")[0]
    cell = line.partition(b'"cell": "')[2][:16].decode("ascii", "replace")
    cell = "".join(letter for letter in cell if letter.isalnum()) or "0"
    if name == "scores":
        (folder / name).mkdir()
        (folder / name / f"{cell}.npz").write_bytes(_scores(rng))
    elif rng.random() < 0.1:
        (folder / name).mkdir()
    else:
        tree = {"name": "x", "sst2": {"0": {"negative": 3, "positive": 4}}, "cells": [{"a": 1}]}
        tree = {cell: SENTENCES} if name == "samples.json" else tree
        tree = json.loads(json.dumps(tree))
        odd.change(tree, rng)
        data = json.dumps(rng.choice((tree, odd.value(rng), [tree]))).encode()
        if rng.random() < 0.4:
            data, _ = odd.damaged(data, rng)
        (folder / name).write_bytes(data)
    return Trial(f"{told}, {name}", lambda: command("report", folder), EITHER, folder)
