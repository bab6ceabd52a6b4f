"""L-BFGS: curvature from the last few gradients, on all rows at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.attributes import fixed
from numlp.errors import ArgumentError, check_count, check_number
from numlp.optimizers.parts import Array
from numlp.optimizers.sgd import Optimizer


class LBFGS(Optimizer):
    """A quasi-Newton method: an estimate H of the inverse Hessian from the last `memory` steps, and a line search.

        p <- p - a H g,  a found by the strong Wolfe conditions                                          (1)
        H = V^T ... V^T H_0 V ... V + ...,  V = 1 - y s^T / (y^T s),  s, y the changes of p and g        (2)

    For small data and smooth losses: `fit(..., optimizer=LBFGS(), batch_size=None)`. An iteration counts as an epoch of one
    step, `max_steps` replaces `epochs`, and `rate` is 1. SciPy does it, in float64; a network of dtype float64 gets
    furthest. It asks for the loss and its gradient several times an iteration, and expects the same answer at the same
    point: dropout, noise and callbacks that change gradients or parameters are the user's own risk, and running means of a
    batch norm see every attempt of the line search.

    Source  Nocedal 1980; Byrd, Lu, Nocedal, Zhu 1995; Nocedal, Wright 2006, algorithm 7.4.

    Parameters
    ----------
    max_steps
        Iterations at most.
    memory
        Pairs (s, y) kept.
    tolerance
        At least 0: training ends when no number of the gradient is larger.

    Examples
    --------
    >>> import numpy as np, numlp as nl
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> network = nl.Network([nl.Dense(1, 1)], rng=0, dtype="float64")
    >>> history = nl.fit(network, (x, 3 * x + 2), loss=nl.SquaredError(), optimizer=nl.LBFGS(), batch_size=None)
    >>> network.params.round(4).tolist()
    [3.0, 2.0]
    """

    learning_rate: Any = fixed("it finds its steps by a line search")
    clip_norm: Any = fixed("it takes gradients as they are")
    clip_value: Any = fixed("it takes gradients as they are")
    scale: Any = fixed("it finds its steps by a line search")

    def __init__(self, max_steps: int = 200, memory: int = 10, tolerance: float = 1e-6) -> None:
        super().__init__(1.0)
        self.max_steps = check_count(max_steps, "LBFGS", "max_steps")
        self.memory = check_count(memory, "LBFGS", "memory")
        self.tolerance = check_number(tolerance, "LBFGS", "tolerance", low=0)
        self._rate = 1.0

    def step(self, params: Array, grads: Array) -> bool:
        """Refuse: one gradient is not enough for a line search."""
        raise ArgumentError(
            "LBFGS.step: the loss must be known at several points, got one gradient; use fit(..., batch_size=None)"
        )

    def minimize(
        self,
        objective: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
        start: Array,
        after: Callable[[NDArray[np.float64]], Any],
    ) -> None:
        """Lower `objective(p)`, which gives (value, gradient), from `start` on.

        `after(p)` is called at the end of each iteration and may raise StopIteration.
        """
        from scipy.optimize import minimize

        options = {
            "maxiter": self.max_steps,
            "maxfun": 25 * (self.max_steps + 1),  # a line search takes 20 at the most
            "maxcor": self.memory,
            "gtol": self.tolerance,
            "ftol": 0.0,
        }
        minimize(objective, start.astype(np.float64), jac=True, method="L-BFGS-B", callback=after, options=options)
