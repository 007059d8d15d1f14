"""Who is told the scale of the noise stands beside who estimates it, through a whole cell."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import DefenceSpec, Spec
from evaluation.run.cell import run_cell
from reports.leak import Leak

SCALES = r"who is told the scale \(sigma ([0-9.]+), estimated ([0-9.]+)(?: to ([0-9.]+))?\)"


def test_the_informed_row_is_that_of_the_bigram_prior(small_grid: Path) -> None:
    """A message of 8 sentences has some 70 rows, a standard error of 2 % at most: 10 % are five."""
    cell = read_grid(small_grid).cells[0]
    params = (("clip_norm", 4.0), ("noise_multiplier", 0.1))
    names = ("nearest_token", "bigram_prior", "unknown_scale")
    attacks = replace(cell.attacks, inversion=names, backward=(), updates=(), membership=())
    defence = DefenceSpec("noise", smashed=Spec("gaussian", params))
    record = run_cell(replace(cell, attacks=attacks, defence=defence)).record
    assert record.status == "done", record.traceback
    rows = {
        each.attack: each
        for each in record.leakage
        if isinstance(each, Leak) and each.metric == "token_accuracy"
    }
    ours = rows["bigram prior, unknown scale"]
    assert ours.informed == rows["bigram prior"].estimate
    assert rows["bigram prior"].informed is None and rows["nearest token"].informed is None
    assert abs(ours.estimate.value - ours.informed.value) <= 0.02
    told = re.fullmatch(SCALES, ours.informed_basis)
    assert told is not None, ours.informed_basis
    true, *found = (float(each) for each in told.groups() if each)
    assert true == pytest.approx(0.8) and found == pytest.approx([0.8] * len(found), rel=0.1)
    others = [x for x in record.leakage if isinstance(x, Leak) and x.metric != "token_accuracy"]
    assert others and all(each.informed is None for each in others)
