"""Several sets of parameters of a few networks: an ensemble that takes the buffers of those."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from numlp.config import from_config, to_config
from numlp.errors import CheckpointError
from numlp.layers import LAYERS, Average, Layer, Softmax
from numlp.losses import ClassificationLoss, CrossEntropy, Loss
from numlp.network import Network

Array = NDArray[np.floating]


class Members:
    """Networks of one task, and for each of them the flat parameters of its members of the ensemble, network after network.

    The networks have no state, and their own parameters are those of the member that was asked last. With `exact` a second
    one of each, built when it is first asked, computes in float64: there, what a row gets does not depend on the rows beside
    it, up to 1e-12 of it; in float32 up to 1e-6, as matrix products and loops take rows at the end of a block in another
    order.
    """

    def __init__(self, networks: Sequence[Network], params: Sequence[Sequence[Array]], exact: bool = False) -> None:
        self.networks, self.params, self.exact = list(networks), [list(each) for each in params], exact

    def __len__(self) -> int:
        """Return the number of members."""
        return sum(map(len, self.params))

    def outputs(self, x: Array) -> Iterator[Array]:
        """Yield what each member makes of the rows, (n, n_out)."""
        for network, params in self._pairs(self._asked):
            network.params[...] = params
            yield network.outputs(x, progress=False)

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
            network.params[...] = params
            for i, values in enumerate(network.arena.values):
                for name, array in values.items():
                    together.arena.values[0][f"{k}.{i}.{name}"][...] = array
        return together

    def _pairs(self, networks: Sequence[Network]) -> list[tuple[Network, Array]]:
        """Return for each member the one of these networks that it belongs to, and its parameters."""
        return [(network, params) for network, each in zip(networks, self.params, strict=True) for params in each]

    @cached_property
    def _asked(self) -> list[Network]:
        """The networks that compute the outputs."""
        if not self.exact:
            return self.networks
        return [Network(_copies(network), dtype=np.float64, loss=network.loss) for network in self.networks]

    @classmethod
    def from_network(cls, together: Network, loss: Loss, where: str) -> "Members":
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
        return cls([network for network, _ in found.values()], [params for _, params in found.values()])


def _copies(network: Network) -> list[Layer]:
    """Return new layers like those of a network."""
    return [from_config(to_config(layer), LAYERS) for layer in network.layers]
