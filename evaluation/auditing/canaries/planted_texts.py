"""Canary texts in a training, scored on the model after every round."""

import numpy as np

from attacks.membership.loss_threshold import LossThreshold
from attacks.signals import Signals, answers_of
from evaluation.auditing.canaries.texts import public_texts, shown, with_texts
from fedbert.data.repeats import one_of_each, twins
from fedbert.errors import expect
from fedbert.messages import Array
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng
from fedbert.split import duplicate
from fedbert.trainer import load_values

KIND = "rare"


class PlantedTexts:
    """Made-up examples beside a training's own, and an attack on what is released.

    They are made of public things alone, so that no record speaks through them.

    They are records more of the clients, who then draw other batches: a training with them differs
    from one without by that as well. coins [canary] bool: which are there. prepared: the training's
    inputs with those.
    """

    def __init__(self, coins: np.ndarray, seed: int, prepared: Prepared) -> None:
        """Make the texts; seed: of their words."""
        rng = numpy_rng(seed, "canary texts", KIND)
        most = len(prepared.pool)
        expect(len(coins) <= most, f"at most {most} canary texts", "canaries", len(coins))
        made = public_texts(prepared, len(coins), rng)
        kept = one_of_each(twins(made))  # two alike would need one coin
        self.texts, self.coins, self.seed = made.take(kept), coins[kept], seed
        self.plain, self.prepared = prepared, with_texts(prepared, self.texts, self.coins)
        self.scores = np.zeros(len(self.coins))

    def read(self, values: dict[str, Array]) -> None:
        """Score the canaries on a model of these values: minus its loss on each."""
        split = duplicate(self.plain.split)
        load_values(split, values)
        signals = Signals(answers_of(split, shown(self.texts, self.plain, self.seed)))
        attack = LossThreshold()
        self.scores = attack.score(signals, numpy_rng(self.seed, "attack", attack.name))
