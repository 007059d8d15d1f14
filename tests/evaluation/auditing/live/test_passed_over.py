"""A parameter whose rounding hides its noise is passed over, and that is said."""

import logging

import numpy as np
import pytest

from evaluation.auditing.live import noise_witness


def test_what_is_rounded_too_coarsely_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    noise_witness._passed_over.cache_clear()
    told: list[object] = []
    witness = noise_witness.FreshNoise(told.append, lambda: 1.0)
    rows = np.zeros(8, np.float32)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            witness.heard("coarse", rows, rows, rounding=0.5)
            witness.heard("fine", rows, rows + 1, rounding=1e-6)
            witness.ended()
    assert [set(each) for each in told] == [{"fine"}, {"fine"}]  # type: ignore[call-overload]
    assert [each.getMessage() for each in caplog.records] == [
        "the noise of coarse is not looked at: values are rounded more coarsely than it could show"
    ]
