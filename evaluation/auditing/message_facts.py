"""Message facts of an audited training, as its manifest has them: where public text is not at hand.

What the claim of a training by one message rests on can be found out from the settings, the data
and the public text. An export names none of the three, and no public text is opened unless the user
names it; what cannot be found out is then as the recorded entries say.
"""

from collections.abc import Iterator
from dataclasses import replace

from fedbert.checkpoint import Checkpoint
from fedbert.known_facts import facts_before, known_of
from fedbert.manifest import exported
from fedbert.model import TRAINED_ON
from privacy.defence import Defence
from privacy.facts import MessageFacts
from privacy.message_claims import why_not


def recorded_message(checkpoint: Checkpoint) -> MessageFacts:
    """Return the facts under which the recorded entries are right, as far as they cannot be told
    by the settings; those of a claim where none fits.
    """
    config = checkpoint.config
    bare = MessageFacts(labels=config.message.labels)
    known = bare if exported(checkpoint.manifest) else known_of(config)
    entries = checkpoint.manifest.get("guarantees", [])
    reasons = {str(each.get("reason")) for each in entries}
    for tried in _possible(known, exported(checkpoint.manifest)):
        facts = replace(facts_before(config), message=tried)
        if why_not(Defence("as recorded"), facts) in reasons:
            return tried
    return known


def _possible(known: MessageFacts, every: bool) -> Iterator[MessageFacts]:
    """Yield what may have been so. every: the settings do not say it either."""
    yield replace(known, mixed=True)
    if every:
        yield replace(known, dealt_by_label=True)
        for seen in TRAINED_ON.values():
            yield replace(known, seen=seen)
