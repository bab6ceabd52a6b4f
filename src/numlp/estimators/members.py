"""Several sets of parameters of a few networks: an ensemble that takes the buffers of those."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.config import from_config, to_config
from numlp.errors import CheckpointError
from numlp.finite import FEW
from numlp.layers import LAYERS, Average, Layer, Softmax
from numlp.losses import ClassificationLoss, CrossEntropy, Loss
from numlp.network import Network

Array = NDArray[np.floating]


class Members:
    """Networks of one task, and for each of them the flat parameters of its members of the ensemble, network after network.

    The networks have no state, and of them only the architecture counts. With `exact` the outputs are computed in
    float64: there, what a row gets does not depend on the rows beside it, up to 1e-12 of it; in float32 up to 1e-6, as
    matrix products and loops take rows at the end of a block in another order. Several threads may ask at once: each has
    networks of its own.
    """

    def __init__(self, networks: Sequence[Network], params: Sequence[Sequence[Array]], exact: bool = False) -> None:
        self.networks, self.params, self.exact = list(networks), [list(each) for each in params], exact
        self._asked: list[list[Network]] = [] if exact else [self.networks]  # that no thread uses at the moment

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the networks that are asked."""
        return {"networks": self.networks, "params": self.params, "exact": self.exact}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["networks"], state["params"], state["exact"])  # type: ignore[misc]

    def __len__(self) -> int:
        """Return the number of members."""
        return sum(map(len, self.params))

    def outputs(self, x: Array) -> Iterator[Array]:
        """Yield what each member makes of the rows, (n, n_out)."""
        try:
            networks = self._asked.pop()
        except IndexError:
            networks = [self._new(network) for network in self.networks]
        if len(x) <= FEW:
            x = x.astype(networks[0].dtype)  # once, and not for each member
        try:
            for network, params in self._pairs(networks):
                network.params[...] = params
                yield network.outputs(x, progress=False, copies=False)
        finally:
            self._asked.append(networks)

    def endings(self) -> Iterator[list[int]]:
        """Yield each choice that takes the last members of each network, of some perhaps none: their numbers, in order."""
        ends = np.cumsum([len(each) for each in self.params])
        for left_out in product(*(range(len(each) + 1) for each in self.params)):
            runs = zip(ends, self.params, left_out, strict=True)
            chosen = [k for end, each, n in runs for k in range(end - len(each) + n, end)]
            if chosen:
                yield chosen

    def keep(self, chosen: Sequence[int]) -> None:
        """Keep the members of these numbers."""
        number = iter(range(len(self)))
        self.params = [[params for params in each if next(number) in chosen] for each in self.params]

    def scale_outputs(self, factor: float) -> None:
        """Multiply the last layers' parameters, and so all outputs."""
        for network, params in self._pairs(self.networks):
            for name in ("W", "b"):
                params[network.arena.slices[f"layers.{len(network.layers) - 1}.{name}"]] *= factor

    def to_network(self) -> Network:
        """Return one network that gives the mean of all members: of their probabilities, if they are classifiers."""
        loss = self.networks[0].loss
        end: list[type[Softmax]] = [Softmax] if isinstance(loss, ClassificationLoss) else []
        members = self._pairs(self.networks)
        stacks = [[*_copies(network), *(kind(network.n_out) for kind in end)] for network, _ in members]
        together = Network([Average(stacks)], loss=CrossEntropy() if end else loss)
        for k, (network, params) in enumerate(members):
            for name, part in network.arena.slices.items():
                array = together.arena.values[0][f"{k}.{name.removeprefix('layers.')}"]
                array[...] = params[part].reshape(array.shape)
        return together

    def _pairs(self, networks: Sequence[Network]) -> list[tuple[Network, Array]]:
        """Return for each member the one of these networks that it belongs to, and its parameters."""
        return [(network, params) for network, each in zip(networks, self.params, strict=True) for params in each]

    def _new(self, network: Network) -> Network:
        """Return a network to ask for the outputs of members of this one."""
        return Network(_copies(network), dtype=np.float64 if self.exact else network.dtype, loss=network.loss)

    @classmethod
    def from_network(cls, together: Network, loss: Loss, where: str, exact: bool = False) -> "Members":
        """Return the members of what `to_network` gave; `loss` is that of one member.

        Errors  CheckpointError if it is another network.
        """
        average = together.layers[0]
        if len(together.layers) > 1 or not isinstance(average, Average) or together.state.size:
            raise CheckpointError(
                f"{where}: network must be an average of stacks without state, got {together.layers}"[:200]
            )
        wanted = ["Softmax"] if isinstance(loss, ClassificationLoss) else []
        found: dict[str, tuple[Network, list[Array]]] = {}
        for k, stack in enumerate(average.stacks):
            kinds = [to_config(layer) for layer in stack]
            if [kind["type"] for kind in kinds if kind["type"] == "Softmax"] != wanted:
                raise CheckpointError(f"{where}: members must end as their task wants, got {kinds}"[:200])
            if str(kinds) not in found:
                layers = [from_config(kind, LAYERS) for kind in kinds if kind["type"] != "Softmax"]
                found[str(kinds)] = Network(layers, loss=loss), []
            network, params = found[str(kinds)]
            for i, values in enumerate(network.arena.values):
                for name, array in values.items():
                    array[...] = together.arena.values[0][f"{k}.{i}.{name}"]
            params.append(network.params.copy())
        return cls([network for network, _ in found.values()], [params for _, params in found.values()], exact)


def _copies(network: Network) -> list[Layer]:
    """Return new layers like those of a network."""
    return [from_config(to_config(layer), LAYERS) for layer in network.layers]
