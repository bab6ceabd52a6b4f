"""A rule that looks at signs only."""

from collections.abc import Sequence

import numpy as np

from numlp import kernels
from numlp.attributes import number
from numlp.optimizers.parts import Array, Factors, decay
from numlp.optimizers.sgd import Optimizer
from numlp.schedules import Schedule


class Lion(Optimizer):
    """Every parameter moves by lr, in the direction of the sign of a momentum; only that momentum is kept.

        p <- p - lr sign(b1 m + (1 - b1) g)                              (1)
        m <- b2 m + (1 - b2) g                                           (2)

    The decay is decoupled. Rates are three to ten times smaller than for `Adam`, decays as much larger.

    Source  Chen, Liang, Huang et al. 2023 (Symbolic discovery of optimization algorithms), program 1.

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    beta1, beta2
        b1, b2 in [0, 1).
    weight_decay
        At least 0, or a `Schedule`.
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0, 1.0])
    >>> nl.Lion(0.1).step(p, np.array([2.0, -0.001]))
    True
    >>> p.tolist()
    [0.9, 1.1]
    """

    state_names = ("m",)
    m: Array
    beta1: float = number(low=0, below=1)
    beta2: float = number(low=0, below=1)
    weight_decay: float | Schedule = decay()

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.99,
        weight_decay: float | Schedule = 0.0,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(learning_rate, factors, clip_norm, clip_value)
        self.beta1, self.beta2, self.weight_decay = beta1, beta2, weight_decay

    @property
    def ignores_size(self) -> bool:
        """Only the sign counts."""
        return True

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (m,), (change,) = state, scratch
        np.subtract(grads, m, out=change)
        change *= 1 - self.beta1
        change += m
        np.sign(change, out=change)
        change *= rate
        params -= change
        kernels.running_mean(m, grads, self.beta2, change)
        return kernels.all_finite(params)
