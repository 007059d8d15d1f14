"""Decision in words: a line that decides, and the answers to what is asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports import metrics
from reports.checks import VIEWS
from reports.comparison import BARE, VOID, capital
from reports.decision.choice import SURELY, Decision, Judged
from reports.decision.lacks import MANY, UNSHOWN, of_text, open_views, unattacked
from reports.estimate import Estimate
from reports.frontier.leakage import Worst
from reports.frontier.wish import Wish
from reports.plain import DOES, WHO, in_words, key_words
from reports.rows import GuaranteeCell, Row
from reports.wording import claim, duration, interval, size

SHIP, NONE, UNKNOWN = "ship", "none", "unknown"
"""How a line reads: something may be shipped, nothing may, or nobody can tell."""


@dataclass(frozen=True)
class Verdict:
    """What the first screen says of a task.

    kind: one of SHIP, NONE, UNKNOWN. line: the decision; near: what comes nearest where it is none.
    answers: questions and their answers. wished: what it was held against. views: the decision for
    each adversary by itself.
    """

    task: str
    kind: str
    line: str
    near: str
    answers: tuple[tuple[str, str], ...]
    wished: str = ""
    views: tuple[tuple[str, str], ...] = ()


def verdict(found: Decision, alone: Sequence[Decision] = (), left: str = "") -> Verdict:
    """The first screen of a decision. alone: for each view by itself. left: what is missing yet."""
    kind = UNKNOWN if found.unknown else SHIP if found.chosen else NONE
    seen = [] if found.unknown else [each for each in alone if _seen(each)]
    views = tuple((each.wish.adversary, line(each)) for each in seen)
    first = f"{left} So far: " if left else ""
    return Verdict(
        found.task, kind, first + line(found), nearest(found), answers(found), wished(found), views
    )


def line(found: Decision) -> str:
    """What to ship, or why nothing."""
    if not any(each.row.seeds for each in found.every):
        return "No cell finished: there is nothing to report but the reasons below."
    if found.unknown is not None:
        value, told = found.unknown
        if value == VOID:
            told = told.removeprefix("this comparison is void: undefended training ")
            return f"Void: undefended training learnt nothing. It {told}."
        first = "Nothing to hold a defence against" if value == BARE else "Nobody can tell"
        return f"{first}: {told}."
    if found.chosen is None:
        return _none(found)
    each = found.chosen
    return f"Ship {_claimed(each.row, found.wish)}: {_kept(each)}; {_worst(each)}."


def answers(found: Decision) -> tuple[tuple[str, str], ...]:
    """Who reads the text, who tells members, what it costs, and how sure all that is."""
    shown = found.shown
    if shown is None:
        return ()
    bare = shown.bare
    which = f"Of {'undefended training' if bare else named(shown.row)}"
    if found.chosen is None and not bare:
        which += ", the nearest to what is wished for"
    return (
        (
            "Who can read my text?",
            f"{which}: {_reads(found.text, 'the text')} {_open(shown, found)}",
        ),
        (
            "Which records?",
            f"{capital(_reads(found.members, 'who was trained on'))} {NAMES_NOBODY}",
        ),
        ("What does it cost?", _cost(shown, found.reference)),
        ("How sure is that?", _sure(found, shown)),
    )


NAMES_NOBODY = (
    "Pages name nobody: fedbert-eval audit run CHECKPOINT --records FILE lists whom a trained "
    "checkpoint puts most at risk."
)


def wished(found: Decision) -> str:
    """What a setting has to reach, in a sentence."""
    wish = found.wish
    least, most = percent(wish.least_share or 0.0), percent(wish.most_leakage or 1.0)
    return (
        f"Asked for, by default: to keep at least {least} of what the best undefended training "
        f"gains over guessing, and {percent(SURELY)} at the lower end of the interval; that no "
        f"attack on {_views(wish.views)} comes more than {most} above chance; a promise about the "
        "text."
    )


RULES = (
    "Above chance: the share of the way from chance to everything, the upper end over all attacks "
    "that were run. A promise: a guarantee about more "
    "than labels, against one of the views or more; a view on which something crosses has to be "
    "promised or attacked. Of several settings that pass: the one with the fewest views without a "
    "promise; then, of what leaks no more than can be told from the least, the one of the smallest "
    "epsilon where claims are alike, else the one that keeps most. Another wish: fedbert-eval "
    "frontier."
)
"""How the wish is meant, and how one setting is taken of several."""


def outcome(each: Judged, found: Decision) -> str:
    """One setting's fate in a few words."""
    if each is found.reference:
        return "undefended, the reference"
    if each.bare:
        return "undefended"
    same = f"not told from undefended by its {' and '.join(each.same)}" if each.same else ""
    if each is found.chosen:
        return "; ".join(["the answer", *([same] if same else [])])
    return "; ".join([*(each.faults or ("may be shipped",)), *([same] if same else [])])


def named(row: Row, claimed: bool = False) -> str:
    """A setting with its strategy, in words; claimed: its target epsilon is told by the claim."""
    further = "".join(f", {key_words(key)} {value}" for key, value in row.further)
    told = claimed and row.level.startswith("target_epsilon=") and "," not in row.level
    level = "" if told or row.level in ("-", "") else f", {in_words(row.level)}"
    return f"{row.defence}{level}{further} ({row.strategy})"


def _claimed(row: Row, wish: Wish) -> str:
    """A setting, and what it claims against an adversary; views without a claim by name."""
    found: dict[str, list[str]] = {}
    for each in row.guarantees:
        if of_text(each) and each.view in wish.views:
            found.setdefault(_short(each), []).append(each.view)
    parts = [f"{short} against {_views(views)}" for short, views in found.items()]
    bare = open_views(row, wish)
    if bare:
        parts.append(f"no guarantee against {_views(bare)}")
    return f"{named(row, bool(found))} at {'; '.join(parts)}"


def _short(each: GuaranteeCell) -> str:
    """A guarantee in short, as words, with its delta."""
    short = claim(each.short)
    if each.delta is None or not short.endswith(")"):
        return short
    return f"{short[:-1]}, delta {each.delta:g})"


def _kept(each: Judged) -> str:
    """The share of the gain that is kept, with its interval, and whether that is the whole."""
    if each.share is None:
        return "what it keeps nobody knows"
    same = ", not told from undefended" if "utility" in each.same else ""
    return f"keeps {share_text(each.share)} of what training gains{same}"


def _worst(each: Judged) -> str:
    """What the worst attack does."""
    found = each.tried.worst
    if found is None:
        return "no attack was measured"
    same = ", not told from undefended" if "leakage" in each.same else ""
    return f"the worst attack {_does(found)}{same}"


def _does(found: Worst) -> str:
    """What an attack does, with what a guess does and the upper end over all attacks."""
    most = f"at most {percent(max(0.0, found.high))} above chance"
    if found.metric in DOES:
        does = DOES[found.metric].format(percent(found.measured))
        does += f", chance {percent(found.chance)}"
    else:
        title = metrics.title(found.metric)
        does = f"reaches {title} {found.measured:.2f}, chance {found.chance:.2f}"
    return f"{does} ({found.attack} on the {found.view} view; {most})"


def _none(found: Decision) -> str:
    """That no setting may be shipped, and why; how many might with more examples."""
    of, each = len(found.settings), found.shown
    if not of or each is None:
        return "No defence was tried."
    faults = [fault for one in found.settings for fault in one.faults]
    counts = [(faults.count(fault), fault) for fault in MANY if fault in faults]
    told = "; ".join(
        fault if of == 1 else f"{n} {fault if n == 1 else MANY[fault]}" for n, fault in counts
    )
    open_ = sum(set(one.faults) <= set(UNSHOWN) for one in found.settings)
    first = f"None of these {of} settings is" if of > 1 else "The one setting is not"
    first += f" {'shown to be ' if open_ else ''}worth shipping ({told})."
    return first


def nearest(found: Decision) -> str:
    """What comes nearest where nothing may be shipped, and how many might pass; "" elsewhere."""
    each = found.shown
    if found.chosen is not None or found.unknown is not None or each is None or each.bare:
        return ""
    near = f"The nearest is {named(each.row)}: it {_kept(each)}; {_worst(each)}."
    open_ = sum(set(one.faults) <= set(UNSHOWN) for one in found.settings)
    return near + (f" {open_} might pass on more examples or attacks." if open_ else "")


def _reads(worst: Worst | None, what: str) -> str:
    """What the worst attack on something does."""
    if worst is None:
        return f"no attack on {what} was measured."
    return f"{WHO.get(worst.view, worst.view)} {_does(worst)}."


def _open(each: Judged, found: Decision) -> str:
    """The views without a promise, and those on which nothing was measured."""
    bare, blind = open_views(each.row, found.wish), unattacked(each.row)
    told = [f"Nothing of the text is promised against {_views(bare)}."] if bare else []
    told += [f"No attack was measured on {_views(blind)}."] if blind else []
    return " ".join(told)


def _cost(each: Judged, reference: Judged | None) -> str:
    """Utility beside that of undefended training, bytes and seconds."""
    row = each.row
    if row.utility is None:
        return "No utility was measured."
    told = f"{capital(metrics.title(row.metric))} {interval(row.utility)}"
    if reference is not None and reference is not each:
        told += f" in place of {interval(reference.row.utility)} undefended: it {_kept(each)}"
    return f"{told}. {size(row.bytes)} sent, {duration(row.seconds)}."


def _sure(found: Decision, each: Judged) -> str:
    """What the intervals hold for, and what they do not."""
    seeds = len(each.row.seeds)
    return (
        f"The intervals here hold together for all {found.numbers} numbers of the page "
        f"(Bonferroni; over {seeds} seed{'s' * (seeds != 1)}, the hull). They speak of the "
        "attacks that were run: others may do better, and only a guarantee bounds those. No "
        "epsilon here pays for having chosen among settings by their figures, where these were "
        "taken of the records to be protected: fedbert-eval budget tuning says what that costs."
    )


def _seen(found: Decision) -> bool:
    """Whether anything crosses on the adversary's view, and something of it is known."""
    every = [*found.settings, *([found.reference] if found.reference else [])]
    views = found.wish.views
    own = [cell for each in every for cell in each.row.guarantees if cell.view in views]
    crosses = any(cell.kind != "nothing sent" for cell in own)
    claimed = any(of_text(cell) for cell in own)
    return crosses and (claimed or any(each.tried.worst is not None for each in every))


def share_text(share: Estimate | None) -> str:
    """A share with its interval, in hundredths; "" for none."""
    if share is None:
        return ""
    return f"{percent(share.value)} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def percent(fraction: float) -> str:
    """A fraction in hundredths; the sign stays on the number's line.

    >>> percent(0.921).split()
    ['92', '%']
    """
    return f"{100 * fraction:.0f}\N{NO-BREAK SPACE}%"


def _views(names: Sequence[str]) -> str:
    """Views in words.

    >>> _views(["peer"]), _views(["backward", "peer", "release"])
    ('the peer view', 'the backward, peer and release views')
    """
    if len(names) == len(VIEWS):
        return "all five views"
    *first, last = names
    if not first:
        return f"the {last} view"
    return f"the {', '.join(first)} and {last} views"
