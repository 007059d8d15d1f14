"""Layout of a message: what a record's row and label become, and the moments read back."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fedbert.one_message.learner import Moments

Labels = Literal["within", "beside"]
PLACES: tuple[Labels, ...] = get_args(Labels)

SHARE, ROW = 0.3, 0.5
"""The weight, beside the product of code and row, of the code by itself and of the row by itself.

What they tell (how common a class is, where all rows lie) takes less precision than the product.
"""


@dataclass(frozen=True)
class Layout:
    """Where values stand in a message.

    directions: values of a row. codes: values of a label's code. labels: "within", the message is
    code x (row, SHARE) beside ROW x row, in the unit ball as row and code are: one noise hides both
    and no label crosses; "beside", the message is the row, and the label's answer goes beside it.
    """

    directions: int
    codes: int
    labels: Labels

    @property
    def width(self) -> int:
        """How many values a message has."""
        if self.labels == "beside":
            return self.directions
        return self.codes * (self.directions + 1) + self.directions

    @property
    def norm(self) -> float:
        """The largest norm of a message before it is scaled to the unit ball."""
        return 1.0 if self.labels == "beside" else float(np.sqrt(1.0 + SHARE**2 + ROW**2))

    def messages(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return messages [example, width] of rows [example, direction] and codes, float64.

        Norms are at most 1 where those of rows and codes are.
        """
        if self.labels == "beside":
            return rows.astype(np.float64)
        more = np.column_stack([rows, np.full(len(rows), SHARE)])
        product = (codes[:, :, None] * more[:, None, :]).reshape(len(rows), -1)
        return np.concatenate([product, ROW * rows], axis=1) / self.norm

    def rows(self, messages: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what messages say of their rows to whoever knows the codes of their labels.

        The least-squares rows [example, direction], and by how much each one's noise is larger than
        the message's [example]: nothing else in a message tells more of the row.
        """
        if self.labels == "beside":
            return messages.astype(np.float64), np.ones(len(messages))
        scaled = messages * self.norm
        table = scaled[:, : -self.directions].reshape(len(messages), self.codes, -1)[:, :, :-1]
        weight = np.square(codes).sum(1) + ROW**2
        told = (codes[:, :, None] * table).sum(1) + ROW * scaled[:, -self.directions :]
        return told / weight[:, None], self.norm / np.sqrt(weight)

    def moments(self, mean: np.ndarray) -> Moments:
        """Return the moments that the mean of messages with labels within says [width]."""
        scaled = mean * self.norm
        table = scaled[: -self.directions].reshape(self.codes, self.directions + 1)
        return Moments(table[:, -1] / SHARE, scaled[-self.directions :] / ROW, table[:, :-1])


def moments_beside(messages: np.ndarray, codes: np.ndarray, kept: float) -> Moments:
    """Return the moments of messages [example, direction] with codes of answered labels beside.

    kept: what is left of a code on average once its label was answered at random, 1 if never.
    """
    undone = codes / kept
    product = undone.T @ messages / len(messages)
    return Moments(undone.mean(0), messages.mean(0), product)
