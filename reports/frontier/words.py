"""Answer of a frontier in words: what to ship, at which epsilon, what it leaks and costs."""

from itertools import combinations

from reports import metrics
from reports.frontier.answer import Answer, Candidate, Tried
from reports.frontier.claims import SPENT
from reports.frontier.leakage import Worst
from reports.frontier.wish import PRIVATE, PUBLIC, Wish
from reports.markup import escaped, markdown_table
from reports.named import claim_text, in_views, to_ship
from reports.rows import Row
from reports.wording import interval

METHOD = (
    "Leakage is the share of what lies between chance and everything; its interval holds for all "
    "{numbers} numbers compared at once (Bonferroni over settings, seeds, attacks on any view, "
    "utilities and gains), and is the hull over seeds. A level keeps the utility where the lower "
    "end of its own interval does; that is not corrected for the search. "
    "Other attacks may achieve more."
)


def title(answer: Answer) -> str:
    """The answer in a line."""
    if answer.chosen is None:
        return f"Ship no defence of these: {answer.nothing}"
    best = _best(answer.chosen)
    seen = (each for each in best.row.guarantees if each.view in answer.wish.views)
    own = answer.wish.data != PRIVATE and any(each.claimed for each in seen)
    return f"{to_ship(best.row, own)}: {claimed(best.row, answer.wish)}"


def sentences(answer: Answer) -> list[str]:
    """The title, then what the choice leaks and costs, what was tried, and whose data were used."""
    told = [title(answer)]
    if answer.chosen is not None:
        told += _about(answer, _best(answer.chosen))
    told.append(_wished(answer))
    told += [lost(each) for each in answer.candidates if each is not answer.chosen and each.lost]
    told += [line for each in answer.candidates for line in irregular(each)]
    told.append(_tried(answer))
    told.append(_searched(answer))
    told.append(METHOD.format(numbers=answer.numbers))
    return told


def claimed(row: Row, wish: Wish) -> str:
    """What the ledger says of a row against the adversary, in short; of private data nothing."""
    if wish.data == PRIVATE:
        return f"no guarantee: {SPENT}; its epsilon is not claimed."
    found: dict[str, list[str]] = {}
    own = [each for each in row.guarantees if each.view in wish.views]
    for each in sorted(own, key=lambda one: not one.claimed):
        found.setdefault(claim_text(each), []).append(each.view)
    parts = [f"{short} against {in_views(views)}" for short, views in found.items()]
    return f"{'; '.join(parts) or 'no guarantee'}."


def leaks(worst: Worst | None) -> str:
    """What the worst attack achieves, with its interval.

    >>> leaks(None)
    'no attack was measured'
    """
    if worst is None:
        return "no attack was measured"
    span = f"{worst.value:.3f} [{worst.low:.3f}, {worst.high:.3f}] above chance"
    what = f"{metrics.title(worst.metric)} {worst.measured:.3f}, chance {worst.chance:.3f}"
    return f"{worst.attack} ({worst.view}) {span} ({what})"


def lost(candidate: Candidate) -> str:
    """Why a candidate is not the answer, with the numbers of what it was judged by."""
    shown = candidate.best or candidate.tried[-1]
    text = f"{candidate.name}: {candidate.lost}"
    if shown.row.utility is None:
        return f"{text}."
    which = "the most private level that keeps it" if candidate.best else "its most useful level"
    utility = f"{metrics.title(shown.row.metric)} {interval(shown.row.utility)}"
    return f"{text} ({which}: {shown.row.name}, {utility}; {leaks(shown.worst)})."


def irregular(candidate: Candidate) -> list[str]:
    """Where a more private level had more utility than a less private one; beyond noise or not."""
    pairs = [
        (a.row, b.row, a.row.utility, b.row.utility)
        for a, b in combinations(candidate.tried, 2)
        if a.row.utility and b.row.utility and a.row.utility.value > b.row.utility.value
    ]
    if not pairs:
        return []
    more, less, high, low = max(pairs, key=lambda pair: pair[2].value - pair[3].value)
    beyond = "beyond their intervals" if high.low > low.high else "within their intervals"
    return [
        f"{candidate.name}: utility does not rise with the level everywhere ({more.level}: "
        f"{high.value:.3f}, {less.level}: {low.value:.3f}, {beyond}); the bisection supposes so."
    ]


def tried_table(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """The heads and lines of the table of all that was tried."""
    heads = ["defence", "level", "strategy", "seeds", "utility", "keeps it"]
    heads += ["worst attack above chance", "by", "guarantee", "outcome"]
    return heads, [_line(answer, each) for each in answer.tried]


def answer_markdown(answer: Answer) -> str:
    """The answer and all that was tried, as the first section of a Markdown report."""
    first, *rest = map(escaped, sentences(answer))
    lines = [f"- {each}" for each in rest] + ["", *markdown_table(*tried_table(answer))]
    return "\n".join(["## Answer", "", f"**{first}**", "", *lines, "", ""])


def _line(answer: Answer, each: Tried) -> list[str]:
    row, worst = each.row, each.worst
    span = "-" if worst is None else f"{worst.value:.3f} [{worst.low:.3f}, {worst.high:.3f}]"
    by = "-" if worst is None else f"{worst.attack} ({worst.view}, {metrics.title(worst.metric)})"
    name = row.defence + "".join(f", {key} = {value}" for key, value in row.further)
    return [
        name, row.level, row.strategy, str(len(row.seeds)), interval(row.utility),
        "yes" if each.useful else "no", span, by, claimed(row, answer.wish), _outcome(answer, each),
    ]  # fmt: skip


def _outcome(answer: Answer, each: Tried) -> str:
    if each is answer.reference:
        return "undefended"
    if answer.chosen is not None and each is answer.chosen.best:
        return "the answer"
    return "most private that keeps it" if any(each is c.best for c in answer.candidates) else ""


def _best(candidate: Candidate) -> Tried:
    if candidate.best is None:
        raise ValueError(f"expected a level that keeps the utility, got none of {candidate.name}")
    return candidate.best


def _about(answer: Answer, best: Tried) -> list[str]:
    """What the choice leaks, and what it costs."""
    told = [f"What it leaks to {answer.wish.against}, at worst: {leaks(best.worst)}."]
    bare = None if answer.reference is None else answer.reference.row.utility
    if best.row.utility is not None and bare is not None:
        cost = bare.value - best.row.utility.value
        difference = f"{abs(cost):.3f} {'less' if cost >= 0 else 'more'}"
        told.append(
            f"What it costs: {metrics.title(best.row.metric)} {interval(best.row.utility)} in "
            f"place of {interval(bare)} undefended, {difference}."
        )
        told.append(f"Undefended: {leaks(answer.reference.worst if answer.reference else None)}.")
    return told


def _wished(answer: Answer) -> str:
    wish, needed = answer.wish, "-" if answer.least is None else f"{answer.least:.3f}"
    how = "" if wish.least_share is None else f", {wish.least_share:g} of what training gains"
    most = "" if wish.most_leakage is None else f", and at most {wish.most_leakage:g} above chance"
    return f"Wished for, against {wish.against}: a utility of at least {needed}{how}{most}."


def _tried(answer: Answer) -> str:
    names = [
        f"{each.name} at {', '.join(one.row.level for one in each.tried)}"
        for each in answer.candidates
    ]
    return f"Tried: {'; '.join(['the undefended row', *names])}."


def _searched(answer: Answer) -> str:
    trainings = sum(len(each.row.seeds) for each in answer.tried)
    if answer.wish.data == PRIVATE:
        return (
            f"No guarantee covers the search: {trainings} trainings on private records, and every "
            "figure printed of them, are in no ledger. Search on public data, or keep it to "
            "yourself."
        )
    kind = "public" if answer.wish.data == PUBLIC else "spent"
    return (
        f"The search is a simulation on {kind} data, by the file's word: {trainings} trainings, "
        "none of which counts against anybody's privacy."
    )
