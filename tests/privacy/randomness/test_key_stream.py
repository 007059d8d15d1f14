"""Key streams: published vectors, no word twice, nothing linear, no copies."""

import copy
import os
import pickle
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from privacy.randomness import key_stream
from privacy.randomness.key_stream import CHUNK, KeyStream
from tests.privacy.randomness.linear_complexity import linear_complexity

# NIST SP 800-38A (2001), appendix F.5: CTR-AES128, CTR-AES192 and CTR-AES256.
COUNTER = int("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 16)
PLAIN = (
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
VECTORS = {
    "2b7e151628aed2a6abf7158809cf4f3c": (
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
        "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
    ),
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b": (
        "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94"
        "1e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050"
    ),
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4": (
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    ),
}
BITS = 50_000


def words(stream: KeyStream, count: int) -> NDArray[np.uint64]:
    found = np.empty(count, dtype=np.uint64)
    stream.fill(found)
    return found


@pytest.mark.parametrize("key", VECTORS)
def test_the_published_vectors(key: str) -> None:
    stream = words(KeyStream(bytes.fromhex(key), COUNTER), 8).tobytes()
    plain = bytes.fromhex(PLAIN)
    assert bytes(a ^ b for a, b in zip(stream, plain, strict=True)).hex() == VECTORS[key]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 9), max_size=8), st.booleans())
def test_requests_of_any_size_give_the_same_words_in_order(sizes: list[int], wide: bool) -> None:
    sizes = [*sizes, *([CHUNK + 1] if wide else [])]
    stream, whole = KeyStream(bytes(32)), words(KeyStream(bytes(32)), sum(sizes))
    parts = [words(stream, size) for size in sizes]
    assert np.array_equal(np.concatenate([*parts, whole[:0]]), whole)


def test_an_array_with_gaps_is_refused_not_left_as_it_was() -> None:
    with pytest.raises(TypeError):
        KeyStream(bytes(32)).fill(np.zeros(8, dtype=np.uint64)[::2])


def stream_bits() -> list[int]:
    return (words(KeyStream(bytes(range(32))), BITS) & np.uint64(1)).tolist()


def twister_bits() -> list[int]:
    raw = torch.randint(0, 2, (BITS,), generator=torch.Generator().manual_seed(0))
    bits: list[int] = raw.tolist()
    return bits


@pytest.mark.parametrize(("source", "linear"), [(stream_bits, False), (twister_bits, True)])
def test_one_bit_of_successive_words_is_no_short_recurrence(
    source: Callable[[], list[int]], linear: bool
) -> None:
    """Random bits miss half their number by k with a probability below 2**(1 - k): 20 is 2e-6."""
    found = linear_complexity(source())
    assert found <= 19_937 if linear else abs(found - BITS // 2) <= 20


def test_a_stream_ends_before_its_blocks_are_told_from_random(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_stream, "MOST_BLOCKS", 2)
    stream = KeyStream(bytes(32))
    words(stream, 3)
    with pytest.raises(RuntimeError, match="at most 2 blocks"):
        words(stream, 2)
    words(stream, 1)  # what was refused did not count


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_not_copied(take: Callable[[object], object]) -> None:
    stream = KeyStream(bytes(32))
    with pytest.raises(TypeError, match="repeat its words"):
        take(stream)
    assert repr(stream) == "KeyStream(...)"


def refused_in_a_fork(work: Callable[[], object]) -> bool:
    """Whether the work raises RuntimeError in a forked process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads; the child only draws
        child = os.fork()
    if child == 0:
        try:
            work()
        except RuntimeError as error:
            os._exit(3 if "forked process" in str(error) else 4)
        except BaseException:
            os._exit(5)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_a_forked_process_cannot_go_on() -> None:
    stream = KeyStream(bytes(32))
    assert refused_in_a_fork(lambda: words(stream, 1))
    assert not refused_in_a_fork(lambda: words(KeyStream(bytes(32)), 1))
    words(stream, 1)
