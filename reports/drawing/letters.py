"""Letters, colours and marks of figures: what matplotlib would read as something else is text."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C8C8C")
"""Okabe and Ito's colours (2008), told apart in every common kind of colour blindness."""
MARKERS = "osD^vPX*"


def inner_cut(text: str, longest: int) -> str:
    """A text in so many letters; what tells settings apart, the level at its end, stays.

    >>> inner_cut("DP-FedAvg, noise at the aggregator, ε 16", 22)
    'DP-FedAvg, no…r, ε 16'
    """
    if len(text) <= longest:
        return plain_text(text)
    return plain_text(f"{text[: longest - 9]}…{text[-7:]}")


def plain_text(text: str, longest: int = 90) -> str:
    """`text`, shortened, with nothing in it that matplotlib would read as mathematics."""
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")


def key_text(text: str, longest: int) -> str:
    """`text` for a legend, which would leave out what starts with an underscore or is empty."""
    return plain_text(f" {text}" if text.startswith("_") else text or "-", longest)
