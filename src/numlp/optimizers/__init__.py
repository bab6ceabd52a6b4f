"""From gradients to better parameters: `step(params, grads)` on the two flat arrays of a network."""

from numlp.optimizers.adam import Adam, AdamW
from numlp.optimizers.sgd import SGD, Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.__name__: optimizer for optimizer in (SGD, Adam, AdamW)}

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Optimizer"]
