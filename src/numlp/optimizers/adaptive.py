"""A rate for each parameter from the squares of its gradients: the family before Adam."""

from collections.abc import Sequence

import numpy as np

from numlp import kernels
from numlp.attributes import fixed, number, setting
from numlp.optimizers.parts import Array, Factors, check_momentum
from numlp.optimizers.sgd import Optimizer
from numlp.schedules import Schedule


class RMSprop(Optimizer):
    """The gradient divided by the root of a running mean of its square.

        v <- a v + (1 - a) g^2                                           (1)
        d = g / (sqrt(v) + epsilon)                                      (2)
        c <- a c + (1 - a) g;  d = g / (sqrt(v - c^2) + epsilon)         (3)  centered: by the standard deviation
        p <- p - lr d                                                    (4)  momentum 0
        b <- mu b + d;  p <- p - lr b                                    (5)  momentum mu

    Source  Tieleman, Hinton 2012, lecture 6e; Graves 2013, eq. 38-45, for (3) (in PyTorch's form).

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    alpha
        a in [0, 1).
    epsilon
        Above 0.
    momentum
        mu in [0, 1).
    centered
        Equation (3) instead of (2).
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.RMSprop(0.01).step(p, np.array([2.0]))
    True
    >>> p.round(6).tolist()
    [0.9]
    """

    state_names: tuple[str, ...] = fixed()
    alpha: float = number(low=0, below=1)
    epsilon: float = number(above=0)
    momentum: float = setting(check_momentum)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        alpha: float = 0.99,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(learning_rate, factors, clip_norm, clip_value)
        self.alpha = alpha
        self.epsilon = epsilon
        self.momentum = momentum
        self.centered = centered
        self.state_names = ("v", *(["mean"] if centered else []), *(["buffer"] if momentum else []))

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        v, *rest = state
        (change,) = scratch
        kernels.running_square(v, grads, self.alpha, change)
        if self.centered:
            mean = rest[0]
            kernels.running_mean(mean, grads, self.alpha, change)
            np.multiply(mean, mean, out=change)
            np.subtract(v, change, out=change)
            np.maximum(change, 0, out=change)  # a variance that rounding makes negative
            np.sqrt(change, out=change)
        else:
            np.sqrt(v, out=change)
        change += self.epsilon
        np.divide(grads, change, out=change)
        if self.momentum:
            buffer = rest[-1]
            buffer *= self.momentum
            buffer += change
            np.multiply(buffer, rate, out=change)
        else:
            change *= rate
        params -= change
        return kernels.all_finite(params)


class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of all its squares so far.

        s <- s + g^2;  p <- p - lr g / (sqrt(s) + epsilon)               (1)

    Source  Duchi, Hazan, Singer 2011, figure 1, with a diagonal matrix.

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    epsilon
        Above 0.
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.Adagrad(0.1).step(p, np.array([2.0]))
    True
    >>> p.round(6).tolist()
    [0.9]
    """

    state_names = ("total",)
    total: Array

    epsilon: float = number(above=0)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        epsilon: float = 1e-10,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(learning_rate, factors, clip_norm, clip_value)
        self.epsilon = epsilon

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (total,), (change,) = state, scratch
        np.multiply(grads, grads, out=change)
        total += change
        np.sqrt(total, out=change)
        change += self.epsilon
        np.divide(grads, change, out=change)
        change *= rate
        params -= change
        return kernels.all_finite(params)


class Adadelta(Optimizer):
    """Steps in the units of the parameters: the gradient times the ratio of two running roots.

        v <- rho v + (1 - rho) g^2                                       (1)
        d = sqrt(u + epsilon) / sqrt(v + epsilon) g                      (2)
        u <- rho u + (1 - rho) d^2                                       (3)
        p <- p - lr d                                                    (4)

    Source  Zeiler 2012, algorithm 1, where lr is 1.

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    rho
        In [0, 1).
    epsilon
        Above 0; it also sets the length of the first steps.
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.Adadelta().step(p, np.array([2.0]))
    True
    >>> p.round(6).tolist()
    [0.996838]
    """

    state_names = ("v", "u")
    n_scratch = 2
    v: Array
    u: Array

    rho: float = number(low=0, below=1)
    epsilon: float = number(above=0)

    def __init__(
        self,
        learning_rate: float | Schedule = 1.0,
        rho: float = 0.9,
        epsilon: float = 1e-6,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(learning_rate, factors, clip_norm, clip_value)
        self.rho = rho
        self.epsilon = epsilon

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (v, u), (change, other) = state, scratch
        kernels.running_square(v, grads, self.rho, change)
        np.add(u, self.epsilon, out=change)
        np.add(v, self.epsilon, out=other)
        change /= other
        np.sqrt(change, out=change)
        change *= grads
        kernels.running_square(u, change, self.rho, other)
        change *= rate
        params -= change
        return kernels.all_finite(params)
