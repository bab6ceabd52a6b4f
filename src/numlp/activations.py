"""Pointwise functions by name: how to apply one, how to go back through it, how to draw weights before it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from numlp.kernels import reference as kernels

Array = NDArray[Any]


class Activation(NamedTuple):
    """`apply(z, out)` writes y = f(z); `backward(dy, kept, out)` writes dz = dy * f'(z).

    `kept` is the output y, so that y may take the place of z; only where f'(z) cannot be told from y it is the input z, and
    `keeps_input` says so. Both may work in place (`backward` on dy). `initializer` names the weights that keep the variance
    of a signal through f.
    """

    apply: Callable[[Array, Array], None]
    backward: Callable[[Array, Array, Array], None]
    initializer: str
    keeps_input: bool = False


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(kernels.identity, kernels.identity_backward, "glorot_uniform"),
    "relu": Activation(kernels.relu, kernels.relu_backward, "he_normal"),
    "sigmoid": Activation(kernels.sigmoid, kernels.sigmoid_backward, "glorot_uniform"),
    "tanh": Activation(kernels.tanh, kernels.tanh_backward, "glorot_uniform"),
    "softmax": Activation(kernels.softmax, kernels.softmax_backward, "glorot_uniform"),
}
