"""Linear complexity over GF(2): the length of the shortest linear recurrence that makes bits."""

from collections.abc import Iterable


def linear_complexity(bits: Iterable[int]) -> int:
    """Return it by Berlekamp and Massey's algorithm; polynomials and bits are Python integers.

    >>> linear_complexity([1, 1, 0, 1, 1, 0, 1, 1, 0]), linear_complexity([0, 0, 0, 1])
    (2, 4)
    """
    connection, before, length, since, seen = 1, 1, 0, 1, 0
    for position, bit in enumerate(bits):
        seen = (seen << 1) | bit  # the newest bit lowest, as connection has its oldest term
        if not (connection & seen).bit_count() & 1:
            since += 1
        elif 2 * length <= position:
            connection, before = connection ^ (before << since), connection
            length, since = position + 1 - length, 1
        else:
            connection ^= before << since
            since += 1
    return length
