"""Adam and its relatives."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numlp import kernels
from numlp.attributes import number
from numlp.optimizers.parts import Array, Factors, decay
from numlp.optimizers.sgd import Optimizer
from numlp.schedules import Schedule


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
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.Adam(0.1).step(p, np.array([2.0]))
    True
    >>> p.round(6).tolist()
    [0.9]
    """

    m: Array
    v: Array
    state_names: tuple[str, ...] = ("m", "v")
    beta1: float = number(low=0, below=1)
    beta2: float = number(low=0, below=1)
    epsilon: float = number(above=0)

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(learning_rate, factors, clip_norm, clip_value)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (m, v), (change,) = state, scratch
        return kernels.adam(params, grads, m, v, self._n_steps, rate, self._beta1, self._beta2, self._epsilon, change)


class AMSGrad(Adam):
    """Adam that divides by the largest running mean of the squared gradient so far: a parameter's step only shrinks.

        m, v as in Adam;  u <- max(u, v)                                           (1)
        p <- p - lr (m / (1 - b1^t)) / (sqrt(u / (1 - b2^t)) + epsilon)            (2)

    Source  Reddi, Kale, Kumar 2018, algorithm 2, with Adam's corrections (PyTorch's Adam(amsgrad=True)).

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    beta1, beta2, epsilon
        As in `Adam`.
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.AMSGrad(0.1).step(p, np.array([2.0]))
    True
    >>> p.round(6).tolist()
    [0.9]
    """

    v_max: Array
    state_names = ("m", "v", "v_max")

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (m, v, v_max), (change,) = state, scratch
        kernels.running_mean(m, grads, self.beta1, change)
        kernels.running_square(v, grads, self.beta2, change)
        np.maximum(v_max, v, out=v_max)
        _quotient(m, v_max, 1 - self.beta2**self.n_steps, self.epsilon, change)
        change *= rate / (1 - self.beta1**self.n_steps)
        params -= change
        return kernels.all_finite(params)


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
        At least 0, or a `Schedule`.
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.AdamW(0.1, weight_decay=0.5).step(p, np.array([0.0]))
    True
    >>> p.tolist()
    [0.95]
    """

    weight_decay: float | Schedule = decay()

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | Schedule = 0.01,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options: dict[str, Any] = {"factors": factors, "clip_norm": clip_norm, "clip_value": clip_value}
        super().__init__(learning_rate, beta1, beta2, epsilon, **options)
        self.weight_decay = weight_decay


class NAdam(AdamW):
    """Adam with Nesterov's look-ahead: the step uses the momentum the next step will have.

        mu_t = b1 (1 - 0.96^(t momentum_decay) / 2);  M_t = mu_1 ... mu_t                            (1)
        m, v as in Adam;  d = (1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) m                  (2)
        p <- p - lr d / (sqrt(v / (1 - b2^t)) + epsilon)                                             (3)

    The decay is decoupled.

    Source  Dozat 2016, algorithm 2 and section 3.2 (in PyTorch's form).

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    beta1, beta2, epsilon
        As in `Adam`.
    weight_decay
        At least 0, or a `Schedule`.
    momentum_decay
        At least 0.
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.NAdam(0.1).step(p, np.array([2.0]))
    True
    >>> p.round(4).tolist()
    [0.8944]
    """

    n_scratch = 2
    number_names = (*Optimizer.number_names, "_product")
    _product = 1.0  # M of equation (1)
    momentum_decay: float = number(low=0)

    def __init__(
        self,
        learning_rate: float | Schedule = 2e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | Schedule = 0.0,
        momentum_decay: float = 4e-3,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options: dict[str, Any] = {"factors": factors, "clip_norm": clip_norm, "clip_value": clip_value}
        super().__init__(learning_rate, beta1, beta2, epsilon, weight_decay, **options)
        self.momentum_decay = momentum_decay

    def _mu(self, t: int) -> float:
        return self.beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))

    def _advance(self) -> None:
        before = self._product if self.n_steps > 1 else 1.0
        self._product = before * self._mu(self.n_steps)

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (m, v), (change, other) = state, scratch
        kernels.running_mean(m, grads, self.beta1, change)
        kernels.running_square(v, grads, self.beta2, change)
        mu, mu_next = self._mu(self.n_steps), self._mu(self.n_steps + 1)
        np.multiply(m, mu_next / (1 - self._product * mu_next), out=change)
        np.multiply(grads, (1 - mu) / (1 - self._product), out=other)
        other += change
        _quotient(other, v, 1 - self.beta2**self.n_steps, self.epsilon, change)
        change *= rate
        params -= change
        return kernels.all_finite(params)


class RAdam(AdamW):
    """Adam without its second moment for as long as that is known from too few gradients, then rectified.

        m, v as in Adam;  n = 2 / (1 - b2) - 1;  n_t = n - 2 t b2^t / (1 - b2^t)                     (1)
        r = sqrt((n_t - 4) (n_t - 2) n / ((n - 4) (n - 2) n_t))                                      (2)
        p <- p - lr r (m / (1 - b1^t)) / ((sqrt(v) + epsilon) / sqrt(1 - b2^t))     if n_t > 5       (3)
        p <- p - lr (m / (1 - b1^t))                                                otherwise        (4)

    n is the length of a simple moving average with the same centre of mass. The decay is decoupled.

    Source  Liu, Jiang, He et al. 2020, algorithm 2 (in PyTorch's form, with its threshold of 5).

    Parameters
    ----------
    learning_rate
        lr, above 0, or a `Schedule`.
    beta1, beta2, epsilon
        As in `Adam`.
    weight_decay
        At least 0, or a `Schedule`.
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.RAdam(0.1).step(p, np.array([2.0]))  # equation (4)
    True
    >>> p.round(6).tolist()
    [0.8]
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | Schedule = 0.0,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        options: dict[str, Any] = {"factors": factors, "clip_norm": clip_norm, "clip_value": clip_value}
        super().__init__(learning_rate, beta1, beta2, epsilon, weight_decay, **options)

    def _rectification(self) -> float:
        """Return r of equation (2), or 0 where it is not defined."""
        t, longest = self.n_steps, 2 / (1 - self.beta2) - 1
        length = longest - 2 * t * self.beta2**t / (1 - self.beta2**t)
        if length <= 5:
            return 0.0
        return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        (m, v), (change,) = state, scratch
        kernels.running_mean(m, grads, self.beta1, change)
        kernels.running_square(v, grads, self.beta2, change)
        correction, rectification = math.sqrt(1 - self.beta2**self.n_steps), self._rectification()
        if rectification:
            _quotient(m, v, 1.0, self.epsilon, change)
            change *= correction * rectification * rate / (1 - self.beta1**self.n_steps)
        else:
            np.multiply(m, rate / (1 - self.beta1**self.n_steps), out=change)
        params -= change
        return kernels.all_finite(params)


def _quotient(m: Array, v: Array, correction: float, epsilon: float, out: Array) -> None:
    """Write m / (sqrt(v / correction) + epsilon)."""
    np.sqrt(v, out=out)
    out *= 1 / math.sqrt(correction)
    out += epsilon
    np.divide(m, out, out=out)
