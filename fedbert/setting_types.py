"""Types of settings: what a training's settings may be, and the most of each."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from fedbert.settings import one_of
from fedbert.tasks import NAMES

Strategy = Literal["centralised", "fedavg", "parallel", "sequential", "one_message"]
Partition = Literal["iid", "dirichlet", "quantity"]
Optimizer = Literal["adamw", "sgd"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
ONE_MESSAGE: Strategy = "one_message"
Pooling = Literal["mean", "cls"]
SIZES = ("tiny", "mini", "small", "base")
EXAMPLES, CLIENTS, STEPS, BATCH, LAYERS = 10_000_000, 100_000, 1_000_000, 65_536, 1_000
"""The most of each that a training may ask for: loops and tables grow with them."""

TaskName = Annotated[str, one_of(NAMES)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Delta = Annotated[float, Field(gt=0, lt=1)]
CutLayer = Annotated[int, Field(ge=0, le=LAYERS)]
Examples = Annotated[int | None, Field(ge=2, le=EXAMPLES)]
Steps = Annotated[int, Field(ge=1, le=STEPS)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
