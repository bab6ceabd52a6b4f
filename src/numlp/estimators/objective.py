"""What makes numlp's training take exactly scikit-learn's steps: its objective, its order of the rows, its epsilon."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.losses import Loss
from numlp.network import Network
from numlp.optimizers import Adam

Array = NDArray[Any]


class Objective(Loss):
    """A loss of numlp with scikit-learn's penalty, which a batch feels the less the more it weighs.

        L = scale mean_n l_n + mean_n c_n + alpha / (2 S) sum w^2                                  (1)

    S is the sum of the weights of the batch's rows (their number, without weights), w are the weights of the network. The
    penalty itself is the network's: `l2` becomes alpha / S with each batch. c_n is what a `deviance` has besides the loss of
    counts, t log t - t. `scale` is in the value only: scikit-learn prints the mean squared error over several outputs and
    descends on its sum. Each batch of an epoch counts as many times as it has rows, weighted or not.
    """

    warns_of_scale = False  # as scikit-learn

    def __init__(self, loss: Loss, network: Network, alpha: float, scale: float = 1.0, deviance: bool = False) -> None:
        self.loss = loss
        self.network = network
        self.alpha = alpha
        self.scale = scale
        self.deviance = deviance
        self.value = 0.0  # of the last batch, with the penalty

    def prepare(self, target: Any, n_outputs: int, dtype: np.dtype[Any], where: str) -> Array:
        """Return the target as the loss wants it."""
        return self.loss.prepare(target, n_outputs, dtype, where)

    def __call__(self, y: Array, target: Array, weight: Array | None = None) -> tuple[float, Array]:
        """Return (L without the penalty, the gradient of the loss), and set the network's `l2`."""
        value, dy = self.loss(y, target, weight)
        self.network.l2 = self.alpha / (self.loss.total_weight or 1.0)
        self._total_weight = float(len(y))
        value = self.scale * value + (_constant(target, weight) if self.deviance else 0.0)
        self.value = value + self.network.penalty()
        return value, dy


def _constant(target: Array, weight: Array | None) -> float:
    """Return the mean of t log t - t over the rows, summed over the columns."""
    logs = np.log(np.where(target > 0, target, 1))
    return float(np.average((target * logs - target).sum(axis=1), weights=weight))


class RowOrder(np.random.Generator):
    """Orders the rows of each epoch as scikit-learn does: the last order shuffled once more, or always as they came.

    With the same `random_state`, the same rows are in the same batches. What else is drawn comes from the network's bits.
    """

    def __init__(self, bits: np.random.BitGenerator, random: np.random.RandomState, shuffle: bool) -> None:
        super().__init__(bits)
        self._random, self._shuffle = random, shuffle
        self._order: Array | None = None

    def permutation(self, x: Any, axis: int = 0) -> Any:
        """Return the order of x rows for the next epoch."""
        if self._order is None:
            self._order = np.arange(x)
        if self._shuffle:
            moves = np.arange(x)
            self._random.shuffle(moves)
            self._order = self._order[moves]
        return self._order


class EarlyEpsilonAdam(Adam):
    """Adam whose epsilon is added before the second moment is corrected, as scikit-learn adds it.

        p <- p - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)                            (1)

    This is `Adam` with epsilon / sqrt(1 - b2^t) in step t.

    Source  Kingma, Ba 2015, section 2, the form before algorithm 1's last line is unfolded ("epsilon hat").
    """

    def __init__(self, learning_rate: Any, beta1: float, beta2: float, epsilon: float) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon)

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (m, v), (change,), epsilon = state, scratch, self.epsilon / math.sqrt(1 - self.beta2**self.n_steps)
        return kernels.adam(params, grads, m, v, self.n_steps, rate, self.beta1, self.beta2, epsilon, change)
