"""Request for an audit: what is claimed and given, and the most that any attack may reach."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from evaluation.auditing.adversary import Means
from fedbert.errors import expect
from fedbert.settings import settings
from reports.card.content import ABOVE, NOT_MEASURED, WITHIN, Check, figure
from reports.leak import Leak, LeakageEntry, NotMeasured
from reports.leaks import worst as worst_of
from reports.metrics import metric as metric_of

Limit = Annotated[float | None, Field(ge=0, le=1)]


@settings
class Request:
    """What is asked of an audit.

    claim: (epsilon, delta) of each record against the release view. fair_coin: the user says that a
    fair coin chose the members among the given files. text, pair, label: the columns of these
    files, where they are not the task's. Limits: the most that any attack may reach. means: the
    models that a membership adversary has besides. data: the source of the training's data, where
    that is a folder, a file or on the hub; public: that of the public text of one_message. records:
    the file to list the records most at risk in.
    """

    claim: tuple[float, float] | None = None
    members: Path | None = None
    non_members: Path | None = None
    fair_coin: bool = False
    text: str | None = None
    pair: str | None = None
    label: str | None = None
    task: str | None = None
    max_auc: Limit = None
    max_tpr_at_1pct: Limit = None
    max_token_recovery: Limit = None
    means: Means = Means()
    data: str | None = None
    public: str | None = None
    records: Path | None = None

    def __post_init__(self) -> None:
        """Check the claim."""
        if self.claim is not None:
            expect(self.claim[0] > 0, "epsilon > 0", "claim", self.claim)
            expect(0 < self.claim[1] < 1, "0 < delta < 1", "claim", self.claim)


def limits(request: Request, measured: list[LeakageEntry]) -> Iterator[Check]:
    """Yield whether the worst attack stays within each limit that was given."""
    for option, limit, metric in (
        ("--max-auc", request.max_auc, "auc"),
        ("--max-tpr-at-1pct", request.max_tpr_at_1pct, "tpr_at_1pct_fpr"),
        ("--max-token-recovery", request.max_token_recovery, "token_accuracy"),
    ):
        if limit is None:
            continue
        name = f"{option} {limit:g}"
        family = metric_of(metric).family
        worst = worst_of([x for x in measured if isinstance(x, Leak)], family, metric)
        if worst is None:
            whys = _whys(measured, family)
            yield Check(name, NOT_MEASURED, "; ".join(whys) or "no attack could run")
            continue
        verdict = ABOVE if worst.estimate.value > limit else WITHIN
        yield Check(name, verdict, f"{worst.attack}: {figure(worst)}")


def _whys(measured: list[LeakageEntry], family: str) -> tuple[str, ...]:
    """Return why attacks of a family did not run, each reason once."""
    missing = [each for each in measured if isinstance(each, NotMeasured)]
    return tuple(dict.fromkeys(each.reason for each in missing if each.family == family))
