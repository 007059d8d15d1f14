"""Made-up personal records: spans by construction, values drawn evenly, nothing of anybody's."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from fedbert.data.personal import (
    CENTS,
    FIRST,
    KINDS,
    LAST,
    MONTHS,
    PERSONAL,
    SPANS,
    VALUES,
    YEARS,
    load_personal,
)
from fedbert.data.sources import load, tables_of
from fedbert.errors import InputError
from fedbert.tasks import TASKS

RNG = np.random.default_rng


def test_every_span_is_a_value_of_its_kind_at_its_place() -> None:
    table = load_personal(TASKS["sst2"], 300, 20, RNG(0))["train"][0]
    assert len(set(table.columns["sentence"])) == 300
    for text, spans in zip(table.columns["sentence"], table.columns[SPANS], strict=True):
        assert Counter(span.kind for span in spans) == {"name": 1, "number": 2, "date": 1}
        ends = [0, *(place for span in sorted(spans, key=lambda s: s.start) for place in
                     (span.start, span.end))]  # fmt: skip
        assert ends == sorted(ends), "no two overlap"
        for span in spans:
            value = text[span.start : span.end]
            if span.kind == "name":
                first, last = value.split()
                assert first in FIRST and last in LAST
            elif span.kind == "date":
                assert any(month in value for month in MONTHS) or len(value) == 10
            else:
                assert value.replace(".", "").replace(" ", "").isdigit()
            assert text.count(value) == 1


def test_chances_are_those_of_the_likeliest_value() -> None:
    """By count of what can be, and drawn evenly: chi squared at a false-alarm rate of 1e-4."""
    rng, many = RNG(1), 6_000
    drawn = {kind: [VALUES[kind](rng) for _ in range(many)] for kind in VALUES}
    assert {odds for _, odds in drawn["name"]} == {1 / (len(FIRST) * len(LAST))}
    assert {odds for _, odds in drawn["amount"]} == {1 / len(CENTS)}
    assert {odds for _, odds in drawn["date"]} == {1 / (2 * 28 * 12 * len(YEARS))}
    names = Counter(value for value, _ in drawn["name"])
    assert len(names) == len(FIRST) * len(LAST)
    assert stats.chisquare(list(names.values())).pvalue > 1e-4
    digits = Counter("".join(value for value, _ in drawn["phone"]).replace(" ", "")[1:])
    assert set(digits) == set("0123456789")
    years = Counter(value[:4] if value[4] == "-" else value[-4:] for value, _ in drawn["date"])
    assert stats.chisquare(list(years.values())).pvalue > 1e-4


def test_it_is_named_as_a_source_of_one_task_and_repeats_itself() -> None:
    found = [load("sst2", PERSONAL, 30, 10, seed) for seed in (1, 1, 2)]
    assert found[0]["train"].sha256 == found[1]["train"].sha256 != found[2]["train"].sha256
    assert not set(found[0]["train"].texts) & set(found[0]["validation"].texts)
    assert set(found[0]["train"].labels) == {0, 1}
    spans = tables_of(TASKS["sst2"], PERSONAL, 30, 10, 1)["train"][0].columns[SPANS]
    assert {span.kind for each in spans for span in each} == set(KINDS)
    with pytest.raises(InputError, match="expected task sst2 with generated:personal records"):
        load("cola", PERSONAL, 30, 10)
