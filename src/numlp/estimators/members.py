"""Several sets of parameters of one network: an ensemble that takes the buffers of one."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from numlp.config import from_config, to_config
from numlp.errors import CheckpointError
from numlp.layers import LAYERS, Average, Layer, Softmax
from numlp.losses import ClassificationLoss, CrossEntropy, Loss
from numlp.network import Network

Array = NDArray[np.floating]


class Members:
    """A network, and for each member of the ensemble its flat parameters.

    The network has no state, and its own parameters are those of the member that was asked last. With `exact` a second one,
    built when it is first asked, computes in float64: there, what a row gets does not depend on the rows beside it, up to
    1e-12 of it; in float32 up to 1e-6, as matrix products and loops take rows at the end of a block in another order.
    """

    def __init__(self, network: Network, params: Sequence[Array], exact: bool = False) -> None:
        self.network, self.params, self.exact = network, list(params), exact

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.params)

    def outputs(self, x: Array) -> Iterator[Array]:
        """Yield what each member makes of the rows, (n, n_out)."""
        for params in self.params:
            self._asked.params[...] = params
            yield self._asked.outputs(x, progress=False)

    def scale_outputs(self, factor: float) -> None:
        """Multiply the last layer's parameters, and so all outputs."""
        last = len(self.network.layers) - 1
        for params in self.params:
            for name in ("W", "b"):
                params[self.network.arena.slices[f"layers.{last}.{name}"]] *= factor

    def to_network(self) -> Network:
        """Return one network that gives the mean of all members: of their probabilities, if they are classifiers."""
        loss = self.network.loss
        end: list[type[Softmax]] = [Softmax] if isinstance(loss, ClassificationLoss) else []
        stacks = [[*_copies(self.network), *(kind(self.network.n_out) for kind in end)] for _ in self.params]
        together = Network([Average(stacks)], loss=CrossEntropy() if end else loss)
        for k, params in enumerate(self.params):
            self.network.params[...] = params
            for i, values in enumerate(self.network.arena.values):
                for name, array in values.items():
                    together.arena.values[0][f"{k}.{i}.{name}"][...] = array
        return together

    @cached_property
    def _asked(self) -> Network:
        """The network that computes the outputs."""
        return Network(_copies(self.network), dtype=np.float64, loss=self.network.loss) if self.exact else self.network

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
        kinds = [[to_config(layer) for layer in stack] for stack in average.stacks]
        wanted = ["Softmax"] if isinstance(loss, ClassificationLoss) else []
        if any(kind != kinds[0] for kind in kinds) or [k["type"] for k in kinds[0] if k["type"] == "Softmax"] != wanted:
            raise CheckpointError(f"{where}: members must be alike, and end as their task wants, got {kinds}"[:200])
        network = Network([from_config(kind, LAYERS) for kind in kinds[0] if kind["type"] != "Softmax"], loss=loss)
        params = []
        for k in range(len(kinds)):
            for i, values in enumerate(network.arena.values):
                for name, array in values.items():
                    array[...] = together.arena.values[0][f"{k}.{i}.{name}"]
            params.append(network.params.copy())
        return cls(network, params)


def _copies(network: Network) -> list[Layer]:
    """Return new layers like those of a network."""
    return [from_config(to_config(layer), LAYERS) for layer in network.layers]
