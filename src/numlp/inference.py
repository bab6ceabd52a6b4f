"""What prediction needs besides a network: copies of its layers for each caller, and a plan for small networks."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.arena import Arena
from numlp.attributes import keep, kept_names
from numlp.layers import AlphaDropout, Dense, Dropout, GaussianNoise, Layer

Array = NDArray[Any]

_CHUNK = 1024  # rows of a pass, as a rule
_ALONE = 2**18  # parameters that one thread has used up before another one is awake
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
    """Copies of one network that no thread uses at the moment: its numbers, and layers with buffers of their own."""

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
        if lent.copies is not None:
            self._free.append(lent)

    def _new(self, network: Any) -> Lent:
        own, copies = object.__new__(type(network)), LayerCopies(network.layers, _CHUNK)
        if not network.is_of_numlp():  # not for others: it makes each access to an attribute slower
            vars(own).update(vars(network))
        found = {"layers": copies.layers, "first_trained": len(copies.layers), "capacity": _CHUNK}
        found |= {name: getattr(network, name) for name in ("n_in", "n_out", "dtype")}
        for name, value in found.items():
            keep(own, name, value)
        return Lent(own, copies)


class LayerCopies:
    """Copies of bound layers: the same views of parameters and state, and buffers of their own.

    `follow` takes over the settings that may have changed since: those declared by layers of numlp, and of layers of the
    user's own everything but what `reserve` has allocated.
    """

    def __init__(self, layers: Sequence[Layer], batch_size: int) -> None:
        copies: dict[int, tuple[Layer, Layer]] = {}  # id of a layer -> it and its copy
        self.layers: tuple[Layer, ...] = tuple(_copied(layer, copies) for layer in layers)
        for layer in self.layers:
            layer.reserve(batch_size, need_dx=False)
        self._settings, self._others = [], []
        for source, own in copies.values():
            kind: Any = type(source)
            if kind.is_of_numlp():
                self._settings.append((vars(own), vars(source), kept_names(kind, live=True)))
            else:
                before = dict(vars(source))
                buffers = {name for name, value in vars(own).items() if value is not before.get(name)}
                self._others.append((vars(own), vars(source), buffers))
        self._settings = [entry for entry in self._settings if entry[2]]
        self.has_settings = bool(self._settings or self._others)

    def follow(self) -> None:
        """Take over the settings."""
        for own, source, names in self._settings:
            for name in names:
                own[name] = source[name]
        for own, source, buffers in self._others:
            own.update({name: value for name, value in dict(source).items() if name not in buffers})


def _copied(value: Any, copies: dict[int, tuple[Layer, Layer]]) -> Any:
    """Return a copy of a layer with copies of those inside it, or a list, tuple or dict of such copies.

    Anything without layers is returned as it is.
    """
    if isinstance(value, Layer):
        if id(value) not in copies:
            own = copy.copy(value)
            copies[id(value)] = value, own
            for name, inner in list(vars(value).items()):
                if (found := _copied(inner, copies)) is not inner:
                    vars(own)[name] = found
        return copies[id(value)][1]
    if type(value) in (list, tuple):
        items = [_copied(item, copies) for item in value]
        return type(value)(items) if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if type(value) is dict:
        found = {key: _copied(item, copies) for key, item in value.items()}
        return found if any(found[key] is not item for key, item in value.items()) else value
    return value
