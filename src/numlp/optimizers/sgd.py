"""From gradients to better parameters: `step(params, grads)` on the two flat arrays of a network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ArgumentError, check_number
from numlp.kernels import reference as kernels
from numlp.schedules import Constant, Schedule

Array = NDArray[Any]


class Optimizer:
    """Changes flat parameters in place, given flat gradients.

    `start` allocates the state and sets the step to 0; `fit` calls it. `learning_rate` is a number or a schedule;
    `rate` is what the last step used. The state, where there is one, is a flat array as long as the parameters.

    Parameters
    ----------
    learning_rate
        Above 0, or a `Schedule`.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float | Schedule) -> None:
        self.learning_rate = learning_rate
        if isinstance(learning_rate, Schedule):
            self._schedule = learning_rate
        else:
            self.learning_rate = check_number(learning_rate, type(self).__name__, "learning_rate", above=0)
            self._schedule = Constant(self.learning_rate)
        self.n_steps = 0
        self.rate = 0.0
        self._scratch: Array | None = None

    def start(self, params: Array, n_weights: int | None = None, total_steps: int | None = None) -> None:
        """Begin a training of `total_steps` steps; the first `n_weights` parameters (all, if None) are weights."""
        self.n_steps = 0
        self._total_steps = total_steps
        self._weights = slice(0, n_weights)
        self._scratch = np.empty_like(params)
        for name in self.state_names:
            setattr(self, name, np.zeros_like(params))

    def step(self, params: Array, grads: Array) -> None:
        """Update `params` in place. Without `start`, all parameters count as weights."""
        if self._scratch is None or self._scratch.shape != params.shape or self._scratch.dtype != params.dtype:
            self.start(params)
        if self._total_steps is None and not isinstance(self._schedule, Constant):
            raise ArgumentError(
                f"{type(self).__name__}.step: total_steps must be known to a schedule, got none; "
                "call start(params, n_weights, total_steps) first, as fit does"
            )
        self.rate = self._schedule(self.n_steps, self._total_steps or 0)
        self.n_steps += 1
        self._update(params, grads, self._scratch)

    def _update(self, params: Array, grads: Array, scratch: Any) -> None:
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's look-ahead.

        p <- p - lr g                                                    (1)  momentum 0
        v <- mu v + g;  p <- p - lr v                                    (2)  momentum mu
        v <- mu v + g;  p <- p - lr (g + mu v)                           (3)  nesterov

    Source  Robbins, Monro 1951; Polyak 1964; Sutskever, Martens, Dahl, Hinton 2013 (in PyTorch's form).

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    momentum
        mu in [0, 1).
    nesterov
        Equation (3) instead of (2); needs a momentum.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.SGD(0.1).step(p, np.array([2.0]))
    >>> p.tolist()
    [0.8]
    """

    velocity: Array

    def __init__(self, learning_rate: float | Schedule = 0.1, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(learning_rate)
        self.momentum = check_number(momentum, "SGD", "momentum", low=0, below=1)
        self.nesterov = nesterov
        if nesterov and momentum == 0:
            raise ArgumentError("SGD: momentum must be above 0 with nesterov, got 0; give for example momentum=0.9")
        self.state_names = ("velocity",) if momentum else ()

    def _update(self, params: Array, grads: Array, scratch: Any) -> None:
        if self.momentum:
            kernels.sgd_momentum(params, grads, self.velocity, self.rate, self.momentum, self.nesterov, scratch)
        else:
            kernels.sgd(params, grads, self.rate, scratch)
