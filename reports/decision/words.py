"""Decision in words: a line that decides, and the answers to what is asked of it."""

from collections.abc import Sequence

from reports import metrics
from reports.checks import VIEWS
from reports.comparison import BARE, FAILED, VOID
from reports.decision.choice import Decision, Judged
from reports.decision.lacks import MANY, UNSHOWN
from reports.decision.promises import binds, of_text
from reports.estimate import Estimate
from reports.frontier.leakage import Worst
from reports.frontier.wish import Wish
from reports.plain import DOES, in_words, key_words
from reports.rows import GuaranteeCell, Row
from reports.wording import claim, rounded_down, rounded_up


def line(found: Decision) -> str:
    """What to ship, or why nothing."""
    if not any(each.row.seeds for each in found.every):
        return "No cell finished: there is nothing to report but the reasons below."
    if found.unknown is not None:
        value, told = found.unknown
        if value == VOID:
            told = told.removeprefix("this comparison is void: undefended training ")
            return f"Void: undefended training learnt nothing. It {told}."
        first = (
            "Nothing to hold a defence against" if value in (BARE, FAILED) else "Nobody can tell"
        )
        return f"{first}: {told}."
    if found.chosen is None:
        return _none(found)
    each = found.chosen
    return f"Ship {_claimed(each.row, found.wish)}: {kept_text(each)}; {_worst(each)}."


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
    """A setting, and what it claims against an adversary; views without a promise by name."""
    found: dict[str, list[str]] = {}
    bare: list[str] = []
    own = [each for each in row.guarantees if each.view in wish.views]
    for each in own:
        if of_text(each):
            little = "" if binds(row, each) else f"{EMPTIED} "
            found.setdefault(f"{little}{_short(each)}", []).append(each.view)
        elif each.kind != "nothing sent":
            bare.append(each.view)
    claims = sorted(found.items(), key=lambda one: one[0].startswith(EMPTIED))
    parts = [f"{short} against {in_views(views)}" for short, views in claims]
    if bare:
        parts.append(f"no guarantee against {in_views(bare)}")
    return f"{named(row, bool(found))} at {'; '.join(parts)}"


EMPTIED = "a claim that allows nearly everything,"


def _short(each: GuaranteeCell) -> str:
    """A guarantee in short, as words, with its delta."""
    short = claim(each.short)
    if each.delta is None or not short.endswith(")"):
        return short
    return f"{short[:-1]}, delta {each.delta:g})"


def kept_text(each: Judged) -> str:
    """The share of the gain that is kept, with its interval, and whether that is the whole."""
    if each.share is None:
        return "what it keeps nobody knows"
    same = f" ({NO_LOSS})" if "utility" in each.same else ""
    return f"keeps {share_text(each.share)} of what training gains{same}"


NO_LOSS = "no loss against undefended training was seen"
NO_GAIN = "without the defence no more was seen to leak: what protects is the guarantee"


def _worst(each: Judged) -> str:
    """What the worst attack does."""
    found = each.tried.worst
    if found is None:
        return "no attack was measured"
    same = f"; {NO_GAIN}" if "leakage" in each.same else ""
    return f"the worst attack {does(found)}{same}"


def does(found: Worst) -> str:
    """What an attack does, with what a guess does and the upper end over all attacks."""
    most = f"at most {at_most(max(0.0, found.high))} of the way from chance to all"
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
    several = "each may have several faults: " if len(faults) > of > 1 else ""
    return f"{first} {'shown to be ' if open_ else ''}worth shipping ({several}{told})."


def achieved(each: Judged) -> str:
    """What a setting that is shipped keeps and leaks, as a sentence."""
    return f"It {kept_text(each)}; {_worst(each)}."


def nearest(found: Decision) -> str:
    """What comes nearest where nothing may be shipped, and how many might pass; "" elsewhere."""
    each = found.shown
    if found.chosen is not None or found.unknown is not None or each is None or each.bare:
        return ""
    near = f"The nearest is {named(each.row)}: it {kept_text(each)}; {_worst(each)}."
    open_ = sum(set(one.faults) <= set(UNSHOWN) for one in found.settings)
    return near + (f" {open_} might pass on more examples or attacks." if open_ else "")


def share_text(share: Estimate | None) -> str:
    """A share with its interval, in hundredths; "" for none."""
    if share is None:
        return ""
    low, high = rounded_down(100 * share.low), rounded_up(100 * share.high)
    above = "all" if high >= 100 else f"{high:.0f}"
    return f"{percent(share.value)} [{low:.0f}, {above}]"


def percent(fraction: float) -> str:
    """A fraction in hundredths; the sign stays on the number's line.

    >>> percent(0.921).split()
    ['92', '%']
    """
    return f"{round(100 * fraction)}\N{NO-BREAK SPACE}%"


def at_most(fraction: float) -> str:
    """A fraction in hundredths that nothing lies above: never rounded down.

    >>> at_most(0.2728).split()
    ['28', '%']
    """
    return percent(rounded_up(100 * fraction) / 100)


def in_views(names: Sequence[str]) -> str:
    """Views in words.

    >>> in_views(["peer"]), in_views(["backward", "peer", "release"])
    ('the peer view', 'the backward, peer and release views')
    """
    if len(names) == len(VIEWS):
        return "all five views"
    *first, last = names
    if not first:
        return f"the {last} view"
    return f"the {', '.join(first)} and {last} views"
