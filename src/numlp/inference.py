"""What prediction needs besides a network: copies of its layers for each caller, and a plan for small networks."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.arena import Arena
from numlp.attributes import keep, kept_names
from numlp.layers import AlphaDropout, Dense, Dropout, GaussianNoise, Layer
from numlp.working_copies import working_copy

Array = NDArray[Any]

_CHUNK = 1024  # rows of a pass, as a rule
_ALONE = 2**18  # parameters that one thread has read before a second thread has started
_NOISES = (Dropout, AlphaDropout, GaussianNoise)  # layers that do nothing outside training


def plan(layers: Sequence[Layer], arena: Arena) -> Array | None:
    """Return the plan of `kernels.mlp`; None unless all layers are dense, with ReLU or without, and small."""
    rows = []
    for i, layer in enumerate(layers):
        if type(layer) is Dense and layer.activation in ("relu", "identity") and layer.scale == 1:
            W, b = (arena.slices[f"layers.{i}.{name}"].start for name in "Wb")
            rows.append((W, b, layer.n_in, layer.n_out, layer.activation == "relu"))
        elif type(layer) not in _NOISES:
            return None
    return np.array(rows, np.int64) if rows and arena.params.size <= _ALONE else None


def flat(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield the layers, each followed by those inside it."""
    for layer in layers:
        yield layer
        for stack in layer.stacks:
            yield from flat(stack)


class Lent(NamedTuple):
    """A network for one caller, with copies of layers, and what follows the settings of these; None where nothing does."""

    network: Any
    copies: "LayerCopies | None"


class Copies:
    """Copies of one network that no thread uses at the moment: its numbers, and layers with buffers of their own.

    Layers of the user's own may keep anything, anywhere: with one of them, each call is given a new copy.
    """

    def __init__(self) -> None:
        self._free: list[Lent] = []

    def take(self, network: Any, batch_size: int) -> Lent:
        """Return a copy with buffers for so many rows, or for 0 rows the network itself."""
        if not batch_size:
            return Lent(network, None)
        try:
            lent = self._free.pop()
        except IndexError:  # one more caller than ever before
            lent = self._new(network)
        own, copies = lent
        if copies is not None and copies.has_settings:
            copies.follow()
        if batch_size > own.capacity:
            own.reserve(batch_size)
        return lent

    def give(self, lent: Lent) -> None:
        """Take a copy back."""
        if lent.copies is not None and not lent.copies.has_own_layers:
            self._free.append(lent)

    def _new(self, network: Any) -> Lent:
        own, copies = object.__new__(type(network)), LayerCopies(network)
        if not network.is_of_numlp():  # not for others: it makes each access to an attribute slower
            vars(own).update(vars(network))
        found = {"layers": copies.layers, "first_trained": len(copies.layers), "capacity": _CHUNK}
        found |= {name: getattr(network, name) for name in ("n_in", "n_out", "dtype")}
        for name, value in found.items():
            keep(own, name, value)
        return Lent(own, copies)


class LayerCopies:
    """Copies of the layers of a network: the same views of parameters and state, and buffers of their own.

    `follow` takes over the declared settings, which may have changed since.
    """

    def __init__(self, network: Any) -> None:
        copies: dict[int, tuple[Any, Any]] = {}  # id of a layer, or of what it holds -> it and its copy
        shared = (network.params, network.grads, network.state)
        self.layers: tuple[Layer, ...] = tuple(working_copy(layer, copies, shared) for layer in network.layers)
        for layer in self.layers:
            layer.reserve(_CHUNK, need_dx=False)
        layers: list[tuple[Any, Any]] = [pair for pair in copies.values() if isinstance(pair[0], Layer)]
        kept: Any = kept_names
        settings = [(vars(own), vars(source), kept(type(source), live=True)) for source, own in layers]
        self._settings = [entry for entry in settings if entry[2]]
        self.has_settings = bool(self._settings)
        self.has_own_layers = not all(source.is_of_numlp() for source, _ in layers)

    def follow(self) -> None:
        """Take over the settings."""
        for own, source, names in self._settings:
            for name in names:
                own[name] = source[name]
