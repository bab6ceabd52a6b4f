"""What every optimizer has - the rate of the step, clipping, decay, factors for some parameters - and the plainest rule."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from numlp import kernels
from numlp.arena import aligned_empty, aligned_zeros
from numlp.attributes import Part, fixed, keep, keep_view, kept_names, number, result, setting
from numlp.config import description
from numlp.errors import ArgumentError
from numlp.optimizers.parts import (
    Array,
    Factors,
    check_factors,
    check_momentum,
    check_rate,
    check_steps,
    merged,
    named_parts,
    norm,
)
from numlp.schedules import Constant, Schedule

_NORM_EPSILON = 1e-6  # PyTorch's: keeps the quotient of equation (2) finite


class Optimizer(Part):
    """Changes flat parameters in place, given flat gradients.

    In each step, with the rate lr of the schedule, and for each parameter the factors a of the rate and c of the decay:

        g <- min(max(g, -clip_value), clip_value)                                   (1)
        g <- g min(1, clip_norm / (|g| + 1e-6)),  |g| over all gradients            (2)
        p <- (1 - a lr c weight_decay) p                                            (3)
        p <- p minus the step of the rule for g with the rate a lr                  (4)

    (1) and (2) work on a copy. Weights have the factors (1, 1) and biases (1, 0), unless `factors` says something else.
    `start` allocates the state and sets the step to 0; `fit` calls it. `rate` is lr of the last step. The state, where
    there is one, is one flat array as long as the parameters for each of `state_names`. `scale` multiplies lr and is 1
    after `start`; `ReduceOnPlateau` changes it.

    A subclass names its state and states its rule in `_update`, which returns whether the parameters are finite after it.

    Source  Pascanu, Mikolov, Bengio 2013, algorithm 1, for (2); Loshchilov, Hutter 2019 for (3).

    Parameters
    ----------
    learning_rate
        Above 0, or a `Schedule`.
    factors
        Pattern -> (a, c), each at least 0. A pattern such as "layers.0.*" or "*.b" is compared with the full name of a
        parameter, layers.<i>.<name>; the first one that fits counts.
    clip_norm, clip_value
        Above 0; None clips nothing.
    """

    state_names: tuple[str, ...] = ()
    number_names: tuple[str, ...] = ("n_steps", "rate", "scale")  # what else changes from step to step
    n_scratch = 1  # arrays as long as the parameters that the rule computes in
    learning_rate: float | Schedule = setting(check_rate)
    factors: Factors | None = fixed()
    clip_norm: float | None = number(optional=True, above=0)
    clip_value: float | None = number(optional=True, above=0)
    weight_decay: float | Schedule = fixed("build an AdamW, or a Lion")
    scale: float = number(low=0)
    n_steps: int = setting(check_steps)
    rate: float = result("set learning_rate or scale")
    lr: Any = result("set learning_rate")  # what other libraries call it
    _weight_decay: float | Schedule = 0.0
    _rate = 0.0

    def __repr__(self) -> str:
        return description(self)

    def __init__(
        self,
        learning_rate: float | Schedule,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.factors = None if factors is None else check_factors(factors, type(self).__name__)
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.n_steps, self.scale = 0, 1.0
        self._scratch: list[Array] = []

    def start(
        self,
        params: Array,
        n_weights: int | None = None,
        total_steps: int | None = None,
        slices: Mapping[str, slice] | None = None,
    ) -> None:
        """Begin a training of `total_steps` steps; the first `n_weights` parameters (all, if None) are weights.

        `slices` says where each named parameter lies, as `network.arena.slices` does; `factors` need it.
        """
        self._segments(params.size, params.size if n_weights is None else n_weights, slices)
        self._n_steps, self._scale = 0, 1.0
        self._total_steps = total_steps
        self._scratch = [aligned_empty(params.shape, params.dtype) for _ in range(self.n_scratch)]
        self._clipped = aligned_empty(0, params.dtype)
        for name in self.state_names:
            keep_view(self, name, aligned_zeros(params.shape, params.dtype))
        self._arrays = tuple(f"_{name}" for name in self.state_names)

    def step(self, params: Array, grads: Array) -> bool:
        """Update `params` in place, equations (1) to (4), and return whether all of them are finite numbers.

        Without `start`, all parameters count as weights.
        """
        if not self._scratch or self._scratch[0].shape != params.shape or self._scratch[0].dtype != params.dtype:
            self.start(params)
        rate, decay = self._now(self._learning_rate) * self._scale, self._now(self._weight_decay)
        self._rate = rate
        self._n_steps += 1
        self._advance()
        grads = self._clip(grads) if self._clip_norm or self._clip_value else grads
        for part, factor in self._decays if decay else ():
            kernels.shrink(params[part], 1 - rate * factor * decay)
        finite = True
        for part, factor in self._rates:
            state = [getattr(self, name)[part] for name in self._arrays]
            finite &= self._update(params[part], grads[part], rate * factor, state, [array[part] for array in self._scratch])
        return finite

    @property
    def ignores_size(self) -> bool:
        """Whether the step is as long for an infinite gradient as for others."""
        return self.clip_value is not None

    def state(self) -> dict[str, Any]:
        """Return all that changes from step to step, for `restore`: views of the arrays, and numbers."""
        kept: Any = kept_names(cast(Any, type(self)), live=True)
        numbers = {name[1:]: value for name in kept if isinstance(value := getattr(self, name), int | float)}
        return {name: getattr(self, name) for name in (*self.state_names, *self.number_names)} | {"settings": numbers}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on, after `start`, from where `state` was taken.

        Errors  ValueError if an array has another shape or dtype.
        """
        for name in self.state_names:
            own, saved = getattr(self, name), np.asarray(state[name])
            if saved.shape != own.shape or saved.dtype != own.dtype:
                raise ValueError(f"{name} must be {own.dtype} of shape {own.shape}, got {saved.dtype} of {saved.shape}")
            own[...] = saved
        for name, value in state.get("settings", {}).items():
            setattr(self, name, value)
        for name in self.number_names:
            keep(self, name, type(getattr(self, name))(state[name]))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the arrays of a pickle that knows them by their names only, too."""
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray) and name[0] != "_"}
        for name, array in arrays.items():
            keep_view(self, name, array)
        self._arrays = tuple(f"_{name}" for name in arrays)
        super().__setstate__({name: value for name, value in state.items() if name not in arrays})

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        """Apply the rule to a part of the parameters, and return whether all are finite; `state` as `state_names`."""
        raise NotImplementedError

    def _advance(self) -> None:
        """Change what is no array, once a step; `n_steps` counts from 1."""

    def _now(self, value: float | Schedule) -> float:
        """Return a number, or what a schedule has for this step."""
        if not isinstance(value, Schedule):
            return value
        if self._total_steps is None and not isinstance(value, Constant):
            raise ArgumentError(
                f"{type(self).__name__}.step: total_steps must be known to a schedule, got none; "
                "call start(params, n_weights, total_steps) first, as fit does"
            )
        return value(self.n_steps, self._total_steps or 0)

    def _clip(self, grads: Array) -> Array:
        """Return a clipped copy, equations (1) and (2)."""
        if self._clipped.shape != grads.shape:
            self._clipped = aligned_empty(grads.shape, grads.dtype)
        clipped = self._clipped
        if self.clip_value is not None:
            np.clip(grads, -self.clip_value, self.clip_value, out=clipped)
        else:
            np.copyto(clipped, grads)
        if self.clip_norm is not None:
            clipped *= min(1.0, self.clip_norm / (norm(clipped, self._scratch[0]) + _NORM_EPSILON))
        return clipped

    def _segments(self, size: int, n_weights: int, slices: Mapping[str, slice] | None) -> None:
        """Find the longest parts of the flat arrays with one factor of the rate, and with one of the decay."""
        parts = [(slice(0, n_weights), 1.0, 1.0), (slice(n_weights, size), 1.0, 0.0)]
        if self.factors:
            parts = named_parts(self.factors, n_weights, slices, f"{type(self).__name__}.start")
        self._rates = merged([(part, rate) for part, rate, _ in parts])
        self._decays = [(part, factor) for part, factor in merged([(p, a * c) for p, a, c in parts]) if factor]


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
    factors, clip_norm, clip_value
        As in `Optimizer`.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> p = np.array([1.0])
    >>> nl.SGD(0.1).step(p, np.array([2.0]))
    True
    >>> p.tolist()
    [0.8]
    """

    velocity: Array
    state_names: tuple[str, ...] = fixed()
    momentum: float = setting(check_momentum)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.1,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        factors: Factors | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(learning_rate, factors, clip_norm, clip_value)
        self.momentum = momentum
        self.nesterov = nesterov
        if nesterov and momentum == 0:
            raise ArgumentError("SGD: momentum must be above 0 with nesterov, got 0; give for example momentum=0.9")
        self.state_names = ("velocity",) if momentum else ()

    def _update(self, params: Array, grads: Array, rate: float, state: Sequence[Array], scratch: Sequence[Array]) -> bool:
        if self._momentum:
            return kernels.sgd_momentum(params, grads, state[0], rate, self._momentum, self._nesterov, scratch[0])
        return kernels.sgd(params, grads, rate, scratch[0])
