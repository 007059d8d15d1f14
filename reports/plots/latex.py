"""Tables as LaTeX that fit a page: what is the same in every line said once, and claims apart."""

from collections.abc import Sequence

from reports.layout import longest_word
from reports.terminal import harmless

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "ε": r"$\varepsilon$", "δ": r"$\delta$", "σ": r"$\sigma$", "η": r"$\eta$",
}  # fmt: skip
"""What LaTeX would read as something else than itself."""
PAGE, LETTER, GAP = 174.0, 1.5, 4.3
"""Millimetres: a page's text, a letter of 8 points (digits and most words take less), the room
between two columns."""
MOST = 40
"""Lines of one table; the rest stands in a further one with the same heads."""
KEYS = ("run", "task", "setting")
"""The columns that say what a line is of, which every part has, and which may be folded first."""
APART = ("claim", "sent", "time")
"""The columns that stand in a table of their own where one would be too wide."""
FOLDED = r"\raggedright\arraybackslash"
Lines = Sequence[Sequence[str]]
Column = tuple[float, bool]


def latex(text: str) -> str:
    r"""A text that LaTeX prints as it is.

    >>> latex("50 %_{x}")
    '50 \\%\\_\\{x\\}'
    """
    return "".join(LATEX.get(letter, letter) for letter in " ".join(harmless(text).split()))


def latex_tables(heads: Sequence[str], lines: Lines, note: str = "") -> str:
    r"""The lines as LaTeX in 8 points (of a text of 10), no table wider than 174 mm.

    What is the same in every line is said below; where the rest is too wide, claims and costs stand
    in a second table, and the longest texts are folded. It needs array, booktabs and textcomp.

    >>> latex_tables(["a"], [["5 %"], ["6 %"]]).splitlines()[4:8]
    ['a \\\\', '\\midrule', '5 \\% \\\\', '6 \\% \\\\']
    """
    heads, lines, same = _unlike(heads, lines)
    parts = [list(range(len(heads)))]
    if _wide(_widths(heads, lines)) > PAGE:
        first = [n for n, head in enumerate(heads) if head not in APART]
        last = [n for n, head in enumerate(heads) if head in (*KEYS, *APART)]
        parts = [first, last] if any(heads[n] in APART for n in last) else [first]
    text = [r"% needs \usepackage{array,booktabs}", r"{\footnotesize"]
    for part in parts:
        own, body = [heads[n] for n in part], [[line[n] for n in part] for line in lines]
        widths = _folded(own, _widths(own, body), body)
        pages = [body[at : at + MOST] for at in range(0, len(body), MOST)] or [[]]
        for page in pages:
            text += [*_tabular(own, page, widths), r"\par\medskip"]
    told = [f"In every line: {'; '.join(same)}."] if same else []
    told += [note] if note else []
    return "\n".join(
        [*text[:-1], *(rf"\par\smallskip {latex(each)}" for each in told), r"\par}", ""]
    )


def _unlike(heads: Sequence[str], lines: Lines) -> tuple[list[str], list[list[str]], list[str]]:
    """Heads and cells of the columns that differ, and the others in words.

    A metric that stands behind every number of a column goes to its head, in a line of its own.
    """
    if not lines:
        return list(heads), [], []
    kept: list[str] = []
    columns: list[list[str]] = []
    same: list[str] = []
    for head, column in zip(heads, map(list, zip(*lines, strict=True)), strict=True):
        metric = {cell.rpartition(" (")[2] for cell in column if cell.endswith(")")}
        numbers = all(cell.endswith(")") or " " not in cell for cell in column)
        if head not in (*KEYS, "claim") and len(metric) == 1 and numbers:
            head = f"{head}\n{metric.pop()[:-1]}"
            column = [cell.rpartition(" (")[0] or cell for cell in column]
        if len(lines) > 1 and head != "setting" and len(set(column)) == 1:
            same.append(f"{' '.join(head.split())}: {column[0]}")
        else:
            kept.append(head)
            columns.append(column)
    body = [list(line) for line in zip(*columns, strict=True)]
    return kept, body, same


def _widths(heads: Sequence[str], lines: Lines) -> list[float]:
    """Millimetres of each column where nothing is folded."""
    return [
        LETTER * max(len(each) for text in column for each in harmless(text).split("\n"))
        for column in zip(heads, *lines, strict=True)
    ]


def _wide(widths: Sequence[float]) -> float:
    return sum(widths) + GAP * len(widths)


def _folded(heads: Sequence[str], widths: Sequence[float], lines: Lines) -> list[Column]:
    """The width of each column and whether it is folded: metrics, then names and claims, then any.

    No further than the longest word of each, and a number with its interval stays together as long
    as others can give.
    """
    found: list[Column] = [(each, False) for each in widths]
    texts = list(zip(heads, *lines, strict=True))
    whole = [LETTER * max(len(each.rpartition(" (")[0] or each) for each in own) for own in texts]
    words = [LETTER * max(map(longest_word, own)) for own in texts]
    names = [n for n, head in enumerate(heads) if head in (*KEYS, "claim")]
    numbers = [n for n in range(len(heads)) if n not in names]
    for places, least in ((numbers, whole), (names, words), (numbers, words)):
        for place in sorted(places, key=lambda n: -widths[n]):
            over, width = _wide([each for each, _ in found]) - PAGE, found[place][0]
            if over > 0 and least[place] < width:
                found[place] = (max(least[place], width - over), True)
    return found


def _tabular(heads: Sequence[str], lines: Lines, widths: Sequence[Column]) -> list[str]:
    kinds = "".join(rf">{{{FOLDED}}}p{{{width:.1f}mm}}" if fold else "l" for width, fold in widths)
    body = [" & ".join(map(latex, line)) + r" \\" for line in lines]
    top = " & ".join(map(_head, heads)) + r" \\"
    rules = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", top, r"\midrule"]
    return [*rules, *body, r"\bottomrule", r"\end{tabular}"]


def _head(text: str) -> str:
    """A head, whose lines stand above each other."""
    first, *rest = map(latex, text.split("\n"))
    return (
        rf"\begin{{tabular}}[b]{{@{{}}l@{{}}}}{first} \\ {rest[0]}\end{{tabular}}"
        if rest
        else first
    )
