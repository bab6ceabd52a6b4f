"""What may be assigned to a network after it was built, and how it is checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numlp.data.inputs import Inputs
from numlp.errors import ArgumentError, DTypeError, check_choice, check_number
from numlp.inference import flat
from numlp.layers import Layer, check_stack
from numlp.losses import Loss


def new_generator(network: Any, name: str, rng: Any) -> np.random.Generator:
    """Return the generator of a seed, and give it to the layers that draw from the one before."""
    try:
        generator = np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"Network: rng must be a seed or a numpy.random.Generator, got {rng!r:.60}") from error
    before = getattr(network, "_rng", None)
    for layer in flat(network.layers) if before is not None else ():
        for attribute, value in list(vars(layer).items()):
            if value is before:
                setattr(layer, attribute, generator)
    return generator


def check_loss(network: Any, name: str, loss: Any) -> Loss | None:
    """Return a loss or None."""
    if loss is not None and not isinstance(loss, Loss):
        hint = f"; call it: {loss.__name__}()" if isinstance(loss, type) else ""
        raise DTypeError(f"Network: loss must be a Loss or None, got {loss!r:.60}{hint}")
    return loss


def check_class_names(network: Any, name: str, class_names: Any) -> tuple[str, ...] | None:
    """Return the names as a tuple, one for each output."""
    return _class_names(class_names, network.n_out)


def check_network(
    layers: Sequence[Layer], dtype: DTypeLike, class_names: Sequence[str] | None, l2: float
) -> tuple[tuple[str, ...] | None, float]:
    """Return class names and l2 as a network keeps them; raise if it could not be built from these arguments."""
    check_stack(layers, "Network")
    check_choice(str(np.dtype(dtype)), ("float32", "float64"), "Network", "dtype")
    return _class_names(class_names, layers[-1].n_out), check_number(l2, "Network", "l2", low=0)


def _class_names(class_names: Any, n_out: int) -> tuple[str, ...] | None:
    if class_names is None:
        return None
    if not hasattr(class_names, "__iter__") or isinstance(class_names, set | frozenset):  # a set has no order
        raise DTypeError(f"Network: class_names must be a sequence of names, got {class_names!r:.60}")
    names = tuple(str(each) for each in class_names)
    if len(names) != n_out:
        raise ArgumentError(f"Network: class_names must have {n_out} names, one for each output, got {len(names)}")
    return names


def check_inputs(network: Any, name: str, found: Any) -> Inputs | None:
    """Return a description of inputs, or None."""
    if found is not None and not isinstance(found, Inputs):
        raise DTypeError(f"Network: inputs must be Inputs or None, got {found!r:.60}")
    return found


def check_dict(network: Any, name: str, found: Any) -> dict[str, Any]:
    """Return a dict whose keys are texts, as JSON wants them."""
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise DTypeError(f"Network: {name} must be a dict whose keys are texts, got {found!r:.60}")
    return found
