"""Decision in words: a line that decides, and the answers to what is asked of it."""

from reports import metrics
from reports.binding import binds, of_text
from reports.comparison import BARE, FAILED, VOID
from reports.decision.choice import Decision, Judged
from reports.decision.lacks import MANY, UNSHOWN
from reports.estimate import Estimate
from reports.frontier.leakage import Worst
from reports.frontier.wish import Wish
from reports.named import claim_text, in_views, named, to_ship
from reports.plain import DOES
from reports.rows import Row
from reports.wording import at_most, percent, rounded_down, rounded_up


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
    return f"{_claimed(found.chosen.row, found.wish)}."


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


def _claimed(row: Row, wish: Wish) -> str:
    """A setting, and what it claims against an adversary; views without a promise by name."""
    found: dict[str, list[str]] = {}
    bare: list[str] = []
    own = [each for each in row.guarantees if each.view in wish.views]
    for each in own:
        if of_text(each):
            little = "" if binds(row, each) else f"{EMPTIED} "
            found.setdefault(f"{little}{claim_text(each)}", []).append(each.view)
        elif each.kind != "nothing sent":
            bare.append(each.view)
    claims = sorted(found.items(), key=lambda one: one[0].startswith(EMPTIED))
    parts = [f"{short} against {in_views(views)}" for short, views in claims]
    if bare:
        parts.append(f"no guarantee against {in_views(bare)}")
    return f"{to_ship(row, bool(found))} at {'; '.join(parts)}"


EMPTIED = "a claim that allows nearly everything,"


def kept_text(each: Judged) -> str:
    """The share of the gain that is kept, with its interval, and whether that is the whole."""
    if each.share is None:
        return "what it keeps nobody knows"
    same = f", {NO_LOSS}" if "utility" in each.same else ""
    return f"keeps {share_text(each.share)} of what training gains over a constant answer{same}"


NO_LOSS = "a loss that cannot be told from none here"
NO_GAIN = "the attacks did no better: against better ones the promise alone protects"


def _worst(each: Judged) -> str:
    """What the worst attack does."""
    found = each.tried.worst
    if found is None:
        return "no attack was measured"
    same = f". Without the defence {NO_GAIN}" if "leakage" in each.same else ""
    return f"the worst attack {does(found)}{same}"


def does(found: Worst) -> str:
    """What an attack does, with what a guess does and the upper end over all attacks."""
    same = ", no difference shown" if found.low <= 0 else ""
    most = at_most(max(0.0, found.high))
    most = f"all attacks, intervals included, come at most {most} of the way from guessing to all"
    if found.metric in DOES:
        does = DOES[found.metric].format(percent(found.measured))
        does += f"; pure guessing {percent(found.chance)}{same}"
    else:
        title = metrics.title(found.metric)
        does = f"reaches {title} {found.measured:.2f}; pure guessing {found.chance:.2f}{same}"
    return f"{does} ({found.attack}, {found.view} view; {most})"


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
