"""From gradients to better parameters: `step(params, grads)` on the two flat arrays of a network."""

import inspect
import math

from numlp.optimizers.adam import Adam, AdamW, AMSGrad, NAdam, RAdam
from numlp.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from numlp.optimizers.lbfgs import LBFGS
from numlp.optimizers.lion import Lion
from numlp.optimizers.sgd import SGD, Optimizer

# rules for a step; LBFGS has none and is no entry
OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.__name__: optimizer
    for optimizer in (SGD, RMSprop, Adagrad, Adadelta, Adam, AMSGrad, AdamW, NAdam, RAdam, Lion)
}


def usual_rate(kind: type[Optimizer]) -> float:
    """Return the learning rate that an optimizer has by default; infinity if it has none."""
    parameter = inspect.signature(kind).parameters.get("learning_rate")
    default = None if parameter is None else parameter.default
    return float(default) if isinstance(default, int | float) else math.inf


__all__ = [
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "LBFGS",
    "Lion",
    "NAdam",
    "OPTIMIZERS",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "SGD",
    "usual_rate",
]
