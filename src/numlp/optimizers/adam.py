"""Adam and its relatives."""

from typing import Any

from numpy.typing import NDArray

from numlp.errors import check_number
from numlp.kernels import reference as kernels
from numlp.optimizers.sgd import Optimizer
from numlp.schedules import Schedule

Array = NDArray[Any]


class Adam(Optimizer):
    """Each parameter's step is scaled by running means of its gradient and squared gradient.

        m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2                          (1)
        p <- p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)            (2)

    Source  Kingma, Ba 2015, algorithm 1.

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    beta1, beta2
        b1, b2 in [0, 1).
    epsilon
        Above 0.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.Adam(0.1).step(p, np.array([2.0]))
    >>> p.round(6).tolist()
    [0.9]
    """

    m: Array
    v: Array
    state_names = ("m", "v")

    def __init__(
        self, learning_rate: float | Schedule = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        super().__init__(learning_rate)
        where = type(self).__name__
        self.beta1 = check_number(beta1, where, "beta1", low=0, below=1)
        self.beta2 = check_number(beta2, where, "beta2", low=0, below=1)
        self.epsilon = check_number(epsilon, where, "epsilon", above=0)

    def _update(self, params: Array, grads: Array, scratch: Any) -> None:
        kernels.adam(params, grads, self.m, self.v, self.n_steps, self.rate, self.beta1, self.beta2, self.epsilon, scratch)


class AdamW(Adam):
    """Adam with weight decay taken out of the gradient: weights shrink by the same share whatever their gradients.

        w <- (1 - lr weight_decay) w, for weights only, not biases       (1)
        then Adam's step                                                 (2)

    Source  Loshchilov, Hutter 2019, algorithm 2 (in PyTorch's form, the decay scaled by lr).

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    beta1, beta2, epsilon
        As in `Adam`.
    weight_decay
        At least 0.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.AdamW(0.1, weight_decay=0.5).step(p, np.array([0.0]))
    >>> p.tolist()
    [0.95]
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon)
        self.weight_decay = check_number(weight_decay, "AdamW", "weight_decay", low=0)

    def _update(self, params: Array, grads: Array, scratch: Any) -> None:
        params[self._weights] *= 1 - self.rate * self.weight_decay
        super()._update(params, grads, scratch)
