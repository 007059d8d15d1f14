"""Catalogue of what can be named in a grid: a name, the class behind it, one line about it.

Nothing is imported until it is used, so that listing costs nothing. A class of somebody else's is
named "module:Class" wherever a name of the catalogue is expected.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A class, as "module:Class", and what it is, in a line.

    alone: an inversion attack that decides every token by its own row of A alone, whatever the
        others say; its reconstruction bound is then lower (`evaluation.attacking.bounds`).
    seconds: what it takes, about: see `evaluation.grid.durations`; None for a mechanism.
    most: the same where it tells more than two sequences apart; None where it makes no difference.
    first: what it takes once before that, to learn from auxiliary text.
    one_step: it reads updates of a single step under `fedavg` alone.
    baseline: what an attack is to be read beside: it reaches chance and is not meant to win.
    """

    target: str
    summary: str
    alone: bool = False
    seconds: float | None = None
    most: float | None = None
    first: float = 0.0
    one_step: bool = False
    baseline: bool = False


MECHANISMS = {
    "identity": Entry("privacy.mechanism:Identity", "nothing is clipped, nothing added"),
    "clip_only": Entry("privacy.mechanism:ClipOnly", "L2 clip without noise: no guarantee"),
    "gaussian": Entry("privacy.gaussian:Gaussian", "L2 clip and Gaussian noise, replace-one"),
    "laplace": Entry("privacy.laplace:Laplace", "L1 clip and Laplace noise, pure epsilon"),
    "matrix_gaussian": Entry(
        "privacy.matrix_gaussian:MatrixGaussian",
        "Gaussian noise with row and column covariance, or in fewer dimensions",
    ),
    "metric": Entry("privacy.metric:Metric", "d_chi privacy: epsilon grows with distance"),
    "uniform": Entry("privacy.uniform:Uniform", "L2 clip and uniform noise: no guarantee"),
    "quantise": Entry("privacy.empirical:Quantise", "few levels per value: no guarantee"),
    "feature_dropout": Entry(
        "privacy.empirical:FeatureDropout", "values dropped at random: no guarantee"
    ),
    "dp_fedavg": Entry("privacy.dp_fedavg:DPFedAvg", "whole updates clipped, their sum noised"),
    "adaptive_dp_fedavg": Entry(
        "privacy.adaptive_clip:AdaptiveDPFedAvg", "the same, the clip follows a quantile"
    ),
    "dp_ftrl": Entry(
        "privacy.dp_ftrl:DPFTRL", "DP-FedAvg, its noise correlated over rounds; no sampling"
    ),
    "local_dp_fedavg": Entry(
        "privacy.local_dp_fedavg:LocalDPFedAvg", "every client noises its own update (fedavg)"
    ),
    "dp_sgd": Entry(
        "privacy.dp_sgd.mechanism:DPSGD", "place training: per-example clip over E, T and H"
    ),
    "randomised_response": Entry(
        "privacy.randomised_response:RandomisedResponse", "place labels: label privacy"
    ),
    "distance_correlation": Entry(
        "privacy.distance_correlation:DistanceCorrelation", "place penalty: no guarantee"
    ),
}

INVERSION = {
    "most_frequent": Entry(
        "attacks.inversion.most_frequent:MostFrequent",
        "a baseline: the most frequent token of auxiliary text, everywhere",
        seconds=0.01,
        baseline=True,
    ),
    "nearest_token": Entry(
        "attacks.inversion.nearest_token:NearestToken",
        "forward view, cut layer 0: maximum-likelihood look-up of every token",
        alone=True,
        seconds=1.1,
    ),
    "unigram_prior": Entry(
        "attacks.inversion.language_prior:unigram_prior",
        "the same with how frequent words are; needs auxiliary text",
        alone=True,
        seconds=1.2,
    ),
    "bigram_prior": Entry(
        "attacks.inversion.language_prior:LanguagePrior",
        "the same with a bigram model of auxiliary text, by Viterbi; needs auxiliary text",
        seconds=1.4,
    ),
    "unknown_scale": Entry(
        "attacks.inversion.unknown_scale:UnknownScale",
        "the same, not told the scale of Gaussian noise: estimated by EM (BeamClean, 2025)",
        seconds=4.0,
    ),
    "masked_prior": Entry(
        "attacks.inversion.masked_prior:MaskedPrior",
        "the same with a masked language model trained on auxiliary text, word by word",
        seconds=6.5,
        first=70.0,
    ),
    "learned_decoder": Entry(
        "attacks.inversion.learned_decoder:LearnedDecoder",
        "forward view, any cut: a decoder trained through the mechanism; needs auxiliary text",
        seconds=0.3,
        first=25.0,
    ),
    "noise_unaware": Entry(
        "attacks.inversion.learned_decoder:noise_unaware",
        "the same decoder trained without the mechanism, to be read beside the other",
        seconds=0.3,
        first=15.0,
    ),
    "optimisation": Entry(
        "attacks.inversion.optimisation:Optimisation",
        "forward view, any cut: words whose A lies nearest, by gradient descent from the decoder",
        seconds=5.0,
        first=25.0,
    ),
}

BACKWARD = {
    "masked_tokens": Entry(
        "attacks.backward.masked_tokens:MaskedTokens",
        "backward view, masked-LM: masked positions and the words at them, from G_Z",
        seconds=3.5,
    ),
    "label_from_gradient": Entry(
        "attacks.backward.label_from_gradient:LabelFromGradient",
        "backward view: the label of each example, from G_Z",
        seconds=0.01,
    ),
}

UPDATES = {
    "embedding_rows": Entry(
        "attacks.updates.embedding_rows:EmbeddingRows",
        "aggregator view: words whose row of the word table moved (Melis et al. 2019)",
        seconds=0.32,
    ),
    "embedding_rows_peer": Entry(
        "attacks.updates.embedding_rows:as_peer",
        "peer view: the same between two models received, or from moments handed on",
        seconds=0.27,
    ),
    "row_order": Entry(
        "attacks.updates.row_order:RowOrder",
        "aggregator view: which word stood where, by rows of both tables that moved alike",
        seconds=0.48,
    ),
    "span_check": Entry(
        "attacks.updates.span_check:SpanCheck",
        "aggregator view, fedavg, one SGD step: exact spans (DAGER, Petrov et al. 2024)",
        seconds=1.0,
        one_step=True,
    ),
    "gradient_matching": Entry(
        "attacks.updates.gradient_matching:GradientMatching",
        "aggregator view, fedavg, one step, small batches: TAG and LAMP style matching",
        seconds=10.5,
        most=35.0,
        one_step=True,
    ),
}

POOLED = {
    "bag_of_words": Entry(
        "attacks.pooled.bag_of_words:BagOfWords",
        "release view: the words behind a pooled vector, each by itself; needs auxiliary text",
        seconds=8.4,
    ),
    "set_decoder": Entry(
        "attacks.pooled.set_decoder:SetDecoder",
        "the same, one word after the other in any order (Song and Raghunathan 2020)",
        seconds=39.0,
    ),
    "writer": Entry(
        "attacks.pooled.writer:Writer",
        "the same, a language model that writes the text (GEIA, Li et al. 2023)",
        seconds=32.0,
    ),
}

MEMBERSHIP = {
    "random_guess": Entry(
        "attacks.membership.random_guess:RandomGuess",
        "release view: a baseline, scores drawn at random",
        seconds=0.55,
        baseline=True,
    ),
    "loss_threshold": Entry(
        "attacks.membership.loss_threshold:LossThreshold",
        "release view: members have less loss (Yeom et al. 2018)",
        seconds=0.55,
    ),
    "entropy": Entry(
        "attacks.membership.entropy:Entropy",
        "release view: members are answered more firmly, without the label",
        seconds=0.55,
    ),
    "modified_entropy": Entry(
        "attacks.membership.entropy:ModifiedEntropy",
        "release view: firmly and rightly (Song and Mittal 2021)",
        seconds=0.55,
    ),
    "label_gap": Entry(
        "attacks.membership.label_only:LabelGap",
        "release view: is the class right? One query each, no scores (Yeom et al. 2018)",
        seconds=0.55,
    ),
    "label_only": Entry(
        "attacks.membership.label_only:LabelOnly",
        "the same of altered copies, a query each (Choquette-Choo et al. 2021)",
        seconds=4.5,
    ),
    "reference_ratio": Entry(
        "attacks.membership.reference_ratio:ReferenceRatio",
        "release view: loss beside that of shadows (Mireshghallah et al. 2022)",
        seconds=0.55,
    ),
    "lira_online": Entry(
        "attacks.membership.lira:OnlineLira",
        "release view: shadows with and without the candidate (Carlini et al. 2022)",
        seconds=0.55,
    ),
    "lira_offline": Entry(
        "attacks.membership.lira:OfflineLira",
        "release view: shadows without the candidate alone",
        seconds=0.55,
    ),
    "rmia": Entry(
        "attacks.membership.rmia:Rmia",
        "release view: likelihood ratio against a population's (Zarifzadeh et al. 2024)",
        seconds=0.55,
    ),
    "rmia_online": Entry(
        "attacks.membership.rmia:online",
        "the same, with shadows that saw the candidate too",
        seconds=0.55,
    ),
    "quantile_regression": Entry(
        "attacks.membership.quantile_regression:QuantileRegression",
        "release view: a threshold per example, no shadows (Bertran et al. 2023)",
        seconds=0.55,
    ),
    "loss_over_rounds": Entry(
        "attacks.membership.updates:LossOverRounds",
        "aggregator view: losses in every round",
        seconds=0.3,
    ),
    "update_cosine": Entry(
        "attacks.membership.updates:UpdateCosine",
        "aggregator view: updates along the candidate's gradient (Li et al. 2022)",
        seconds=0.3,
    ),
    "gradient_difference": Entry(
        "attacks.membership.updates:GradientDifference",
        "aggregator view: the same, by difference",
        seconds=0.3,
    ),
    "message_matching": Entry(
        "attacks.membership.message_matching:MessageMatching",
        "forward view, cut layer 0: was the candidate's A among the messages sent?",
        seconds=0.1,
    ),
}

ATTRIBUTES = {
    "attribute_probe": Entry(
        "attacks.attributes.probe:AttributeProbe",
        "an attribute of the text, from A and pooled vectors (Song and Raghunathan 2020)",
        seconds=8.0,
    ),
}

FAMILIES = {
    "inversion": INVERSION,
    "backward": BACKWARD,
    "updates": UPDATES,
    "pooled": POOLED,
    "attributes": ATTRIBUTES,
    "membership": MEMBERSHIP,
}
"""The attacks of each list of a grid's `[attacks]`."""
VERBS = {
    "inversion": "reconstruct",
    "backward": "missing",
    "updates": "missing",
    "pooled": "invert",
    "attributes": "infer",
    "membership": "score",
}
"""What an attack of each list must be able to do; where several verbs will do, its `missing`."""


def looking(catalogue: dict[str, Entry]) -> tuple[str, ...]:
    """Return the names of the attacks that look at what they are given: all but the baselines."""
    return tuple(name for name, entry in catalogue.items() if not entry.baseline)
