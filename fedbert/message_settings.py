"""Message settings: what a record becomes under strategy one_message."""

from typing import Annotated, Any, Literal

from pydantic import Field

from fedbert.settings import settings

MOST_TEXTS = 10_000_000
"""The most public texts that a training may ask for."""
SINGLE, COMPARED = 16, 1
"""Directions where none are asked for. The first one of compared pairs is, near enough, how alike
the two texts are; on no GLUE task tried did a second one bring as much as it costs in noise."""


@settings
class MessageConfig:
    """What the one message of a record is made of, under strategy one_message.

    public: the source of the public text, which must not be the records': as data.source of
        masked-LM.
    public_size: so many sentences of it, a choice that does not follow the seed.
    pooling: what of a record is sent: the "mean" of its tokens, or that of its first token ("cls").
    directions: onto how many principal directions of the public text it is projected; None: 16, of
        pairs that are compared 1.
    clip_quantile: the share of the public text whose rows the clip leaves as they are.
    labels: "within" (row and label are one vector under one noise), or "beside" (each label goes
        with its row, answered at random by the mechanism at labels).
    pairs: of a task of pairs, how the encoder reads one: "apart" (each text by itself, and their
        vectors are compared; what None means), or "together" (both as one text). None elsewhere.
    alike: of scores of pairs that are compared, what is publicly known of them: more alike pairs
        score "higher" (what None means for STS-B), or nothing ("free"). It costs no epsilon: what
        was sent is read otherwise.
    """

    public: Annotated[str, Field(min_length=1)] | None = None
    public_size: Annotated[int, Field(ge=8, le=MOST_TEXTS)] = 8000
    pooling: Literal["mean", "cls"] = "mean"
    directions: Annotated[int | None, Field(ge=1, le=4096)] = None
    clip_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.4
    labels: Literal["within", "beside"] = "within"
    pairs: Literal["apart", "together"] | None = None
    alike: Literal["higher", "free"] | None = None

    def in_effect(self, directions: int, of_pairs: bool, alike: str | None) -> dict[str, Any]:
        """Return the settings as they act; those of pairs and of scores where these are meant."""
        written = dict(vars(self)) | {"directions": directions}
        pairs = written.pop("pairs") or "apart"
        del written["alike"]
        of_scores = {} if alike is None else {"alike": alike}
        return written | ({"pairs": pairs} if of_pairs else {}) | of_scores
