"""Server: runs T for the clients (split strategies), and averages as the aggregator."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedbert.averaging import Average, Noised, Robust, Weighted
from fedbert.config import Config
from fedbert.copies import Copies, PlainCopy, StackedCopies, stack_size
from fedbert.gaps import all_gradients, all_smashed
from fedbert.messages import (
    Array,
    ClientParts,
    ClientUpdate,
    ClipFactors,
    ExampleNorms,
    HiddenGradient,
    HiddenStates,
    SmashedData,
    SmashedGradient,
    dense,
    to_array,
)
from fedbert.passing import Passing
from fedbert.private_step import PrivateStep, Share
from fedbert.protect import MechanismLog
from fedbert.split import SplitBert
from fedbert.witness import Witness
from privacy.correlated_noise import CorrelatedNoise
from privacy.defence import Defence, adaptive_clip, over_rounds
from privacy.mechanism import Identity
from privacy.randomness.source import NoiseSource

Standing = tuple[dict[str, Array], dict[str, Array], dict[str, Array], dict[str, Array] | None]
"""E and H, T, the moments on their way to the next client, and those of the one body T."""


class Server:
    """Holds the global values of every part, T's copies during a round, and T's moments."""

    def __init__(
        self,
        split: SplitBert,
        config: Config,
        defence: Defence,
        noise: NoiseSource,
        expected: Mapping[int, float] | None = None,
    ) -> None:
        """Start from the values of `split`, whose body module the server uses.

        expected: each client's expected batch size, which DP-SGD divides by.
        """
        self.split, self.config, self.defence = split, config, defence
        self.noise, self.expected = noise, dict(expected or {})
        self.mechanism = Identity("client") if defence.local_update else defence.update
        trained = not config.model.freeze_embeddings
        bottom = {id(p) for p in split.bottom.parameters()}
        self.edge = {n: to_array(p) for n, p in split.client_names.items()}
        self.edge_trained = {
            n for n, p in split.client_names.items() if trained or id(p) not in bottom
        }
        self.body = {n: to_array(p) for n, p in split.body_names.items()}
        split.body.to(config.training.device)
        self.copies: Copies | None = None
        self.group: tuple[int, ...] = ()  # whose copies are at work (`parallel`)
        self.held: dict[tuple[int, ...], StackedCopies] = {}  # groups whose moments are in place
        self.trained: dict[int, dict[str, Array]] = {}  # T's values per client, until taken
        self.states: dict[int, dict[str, Array]] = {}  # T's moments per client; -1: the one body's
        self.handed: dict[str, Array] = {}  # E's and H's moments on their way to the next client
        self.average: Average | None = None
        self.before = self._standing()
        self.shapes: list[tuple[int, ...]] = []  # of each Z of a step
        self.witness: Witness | None = None
        correlated = over_rounds(self.mechanism)
        size = sum(v.size for v in self._noisy().values())
        self.correlated = None if correlated is None else CorrelatedNoise(correlated, size)
        self.logs = {place: MechanismLog() for place in ("training", "update")}

    def values(self) -> dict[str, Array]:
        """Return the global values of every parameter, by transformers' name."""
        return self.edge | self.body

    def parts(self, client: int, round_: int, with_body: bool) -> ClientParts:
        """Return what a client starts its local steps from."""
        tensors = self.values() if with_body else dict(self.edge)
        fixed = frozenset(self.edge.keys() - self.edge_trained)
        return ClientParts(client, round_, tensors, dict(self.handed), fixed)

    def capacity(self) -> int:
        """Return how many copies of T to run stacked."""
        if self.defence.training is not None:
            return 1  # per-example clipping works on transformers' own layers
        size = sum(v.size for v in self.body.values())
        return stack_size(size, self.split.whole.config.intermediate_size, self.config)

    def open_round(self, round_: int, examples: int, participants: int, with_body: bool) -> None:
        """Start the average of a round over so many clients, who hold so many examples."""
        self.before = self._standing()
        if isinstance(self.mechanism, Identity):
            training = self.config.training
            mean = training.averaging == "mean"
            self.average = Weighted(examples) if mean else Robust(training, self._noisy())
            return
        draws = self.noise.draws("update", round_)
        shared = None if self.correlated is None else self.correlated.of(round_, draws)
        self.average = Noised(self.mechanism, self._noisy(), participants, draws, shared)
        self.average.witness = self.witness

    def _standing(self) -> Standing:
        """Return all that a round moves before it closes."""
        return self.edge, self.body, self.handed, self.states.get(-1)

    def skip_round(self) -> None:
        """Go back to where the round began; what was added to its average goes."""
        self.edge, self.body, self.handed, moments = self.before
        self.average, self.copies = None, None
        self.states.pop(-1, None)
        if moments is not None:
            self.states[-1] = moments

    def _noisy(self) -> dict[str, Array]:
        """Return the values that rounds change, in the order in which their noise is drawn."""
        return {n: v for n, v in self.edge.items() if n in self.edge_trained} | self.body

    def open_group(self, clients: Sequence[int]) -> None:
        """Give every client of a group its own copy of T (`parallel`)."""
        group, keep = tuple(clients), self.config.training.optimizer_state == "keep"
        if group in self.held:
            self.copies, self.group = self.held[group], group
            self.copies.restart(self.body)
            return
        for other in [own for own in self.held if set(own) & set(group)]:
            self.states |= zip(other, self.held.pop(other).moments(), strict=True)
        self.group = group
        if not self.body:
            self.copies = Passing(self.config, len(clients), self.split.body)
            return
        names, config = self.split.body_names, self.config
        states = [self.states.pop(c, {}) if keep else {} for c in clients]
        if len(clients) == 1:
            self.copies = self._plain(clients[0], states[0])
            return
        self.copies = StackedCopies(self.split.body, names, config, self.body, states)
        few = self.config.training.clients_per_round
        if keep and few in (None, self.config.data.clients):  # else hardly a group comes again
            self.held[group] = self.copies

    def open_turn(self, client: int) -> None:
        """Let the one body T serve the next client (`sequential`)."""
        if not self.body:
            self.copies = Passing(self.config, 1, self.split.body)
        elif self.copies is None or self.config.training.optimizer_state == "reset":
            self.copies = self._plain(client, self.states.get(-1, {}))

    def _plain(self, client: int, state: Mapping[str, Array]) -> PlainCopy:
        """Return T itself, serving one client with these moments."""
        names, private = self.split.body_names, None
        if self.defence.training is not None:
            values = sum(p.numel() for p in self.split.whole.parameters())
            share = Share(self.expected[client], values, self.noise)
            private = PrivateStep({"body": self.split.body}, names, self.defence.training, share)
        plain = PlainCopy(self.split.body, names, self.config, private)
        plain.load(self.body, state)
        return plain

    def forward(self, messages: Sequence[SmashedData | None]) -> list[HiddenStates]:
        """Return Z for every client's A; None of a client that is gone."""
        width = self.split.whole.config.hidden_size
        hidden = self._copies().forward(all_smashed(messages, width, self.config))
        self.shapes = [each.hidden.shape for each in hidden]
        return hidden

    def backward(
        self, messages: Sequence[HiddenGradient | None], rate: float
    ) -> list[SmashedGradient]:
        """Take every client's G_Z, update T, return every G_A; None of a client that is gone."""
        every = all_gradients(messages, self.shapes, self.config)
        return self._copies().backward(every, rate)

    def norms(self, message: HiddenGradient) -> ExampleNorms:
        """Return what each example's gradient of T measures (DP-SGD)."""
        return self._private_copy().norms(message)

    def apply(self, message: ClipFactors, rate: float) -> None:
        """Update T by the clipped and noised gradient (DP-SGD)."""
        noise = self._private_copy().apply(message, rate)
        self.logs["training"] += MechanismLog(noise=noise)

    def take(self, update: ClientUpdate) -> None:
        """Add one client's update, and its copy of T, to the round's average."""
        if not self.trained:
            self.trained = dict(zip(self.group, self._copies().values(), strict=True))
            if self.config.training.optimizer_state == "reset":
                self.copies = None  # gradients and moments: three times T, beside the sums
                self.split.body.zero_grad()
        self.collect(update, self.trained.pop(update.client))

    def close_group(self) -> None:
        """Let a group's copies of T go, but for those whose moments are kept in them."""
        if self.config.training.optimizer_state == "keep" and self.group not in self.held:
            self.states |= zip(self.group, self._copies().moments(), strict=True)
        self.copies, self.group, self.trained = None, (), {}

    def collect(self, update: ClientUpdate, body: Mapping[str, Array] | None = None) -> None:
        """Add one client's update (and the copy of T trained for it) to the round's average."""
        if self.average is None:
            raise RuntimeError("expected an open round")
        self.average.add(update.weight, update.tensors | dict(body or {}))

    def close_turn(self, update: ClientUpdate, hand_on: bool) -> None:
        """Take in one client's turn: its parts go to the next client, or into the average."""
        copies = self._copies()
        (self.body,) = copies.values()
        if self.config.training.optimizer_state != "reset":
            (self.states[-1],) = copies.moments()
        self.handed = dict(update.moments)
        if hand_on:
            self.edge = self.edge | {n: dense(v) for n, v in update.tensors.items()}
        else:
            self.collect(update)

    def undo_turn(self) -> None:
        """Let go of what a client's turn made of T, as though it had taken none (`sequential`)."""
        self.copies = None

    def _adapt(self, average: Noised) -> None:
        """Move the clip on, where the mechanism adapts it."""
        adaptive, log = adaptive_clip(self.mechanism), average.log
        if adaptive is not None:
            unclipped = log.records - log.clipped
            counts = unclipped, log.records, average.divisor
            self.mechanism = adaptive.after(*counts, average.draws)

    def close_round(self) -> None:
        """Make the round's average the new global values."""
        if self.average is None:
            raise RuntimeError("expected an open round")
        new = self.average.result()
        if isinstance(self.average, Noised):
            self.logs["update"] += self.average.log
            self._adapt(self.average)
        self.edge = {n: new.get(n, v) for n, v in self.edge.items()}
        self.body = {n: new.get(n, v) for n, v in self.body.items()}
        self.average = None

    def report(self) -> dict[str, MechanismLog]:
        """Return the logs of the mechanisms at work here, by place."""
        return self.logs

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return what the server carries from round to round besides the global values."""
        arrays = {f"{c}/{n}": v for c, state in self._states().items() for n, v in state.items()}
        arrays |= {f"handed/{n}": v for n, v in self.handed.items()}
        logs = {place: log.to_json() for place, log in self.logs.items()}
        plain: dict[str, Any] = {"logs": logs, "clip_norm": self.mechanism.clip_norm}
        if self.correlated is not None:  # how far it is, and nothing of the noise itself
            plain["noised_rounds"] = self.correlated.round
        return arrays, plain

    def restore(
        self, values: Mapping[str, Array], arrays: Mapping[str, Array], plain: Mapping[str, Any]
    ) -> None:
        """Set the global values and what `snapshot` returned."""
        self.edge = {n: values[n] for n in self.edge}
        self.body = {n: values[n] for n in self.body}
        self.states, self.handed = {}, {}
        self.copies, self.group, self.held = None, (), {}
        for key, value in arrays.items():
            owner, name = key.split("/", 1)
            if owner == "handed":
                self.handed[name] = value
            else:
                self.states.setdefault(int(owner), {})[name] = value
        self.logs = {place: MechanismLog.from_json(log) for place, log in plain["logs"].items()}
        adaptive = adaptive_clip(self.mechanism)
        if adaptive is not None:
            self.mechanism = adaptive.at(plain["clip_norm"])
        if self.correlated is None:
            return
        if self.noise.mode == "repeatable":
            done = plain["noised_rounds"]
            self.correlated.replay(done, lambda round_: self.noise.draws("update", round_))
        else:  # its key is gone: a launch of its own, whose rounds the ledger counts
            self.correlated.begin(plain["noised_rounds"])

    def _states(self) -> dict[int, dict[str, Array]]:
        """Return T's moments, those that held groups have in place included."""
        found = dict(self.states)
        for group, copies in self.held.items():
            found |= zip(group, copies.moments(), strict=True)
        return found

    def _private_copy(self) -> PlainCopy | Passing:
        if not isinstance(self.copies, PlainCopy | Passing):
            raise RuntimeError("expected an open turn, or a group of one client")
        return self.copies

    def _copies(self) -> Copies:
        if self.copies is None:
            raise RuntimeError("expected an open group or turn")
        return self.copies
