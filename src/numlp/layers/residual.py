"""A way around a stack of layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.arena import Parameter, aligned_empty
from numlp.attributes import fixed
from numlp.layers.dense import Layer, bind_stack, check_stack, first_trained

Array = NDArray[Any]


class Residual(Layer):
    """A stack of layers, and the identity beside it: the stack learns what to add.

        y = x + stack(x)                                                 (1)
        dx = dy + (dy back through the stack)                            (2)

    Inside, the parameters are named `<index>.<name>`: `0.W` is the W of the first layer of the stack.

    Shapes  x, y (N, O): the stack takes as many columns as it gives.
    Errors  ShapeError if the layers do not fit together; ArgumentError, DTypeError for anything else.
    Source  He, Zhang, Ren, Sun 2016, eq. 1.

    Parameters
    ----------
    layers
        At least one; each takes as many inputs as the one before gives outputs, the first as many as the last gives.

    Examples
    --------
    >>> import numlp as nl
    >>> block = nl.Residual([nl.LayerNorm(8), nl.Dense(8, 32, "gelu"), nl.Dense(32, 8)])
    >>> [parameter.name for parameter in block.parameters()]
    ['0.gamma', '0.beta', '1.W', '1.b', '2.W', '2.b']
    """

    stacks: tuple[tuple[Layer, ...], ...] = fixed()

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        check_stack(self.layers, "Residual", closed=True)
        self.n_in = self.n_out = self.layers[0].n_in
        self.stacks = (self.layers,)
        self._first_trained = first_trained(self.layers)

    def parameters(self) -> Sequence[Parameter]:
        """Those of the stack, named `<index>.<name>`."""
        return tuple(p._replace(name=f"{i}.{p.name}") for i, layer in enumerate(self.layers) for p in layer.parameters())

    def bind(
        self, values: Mapping[str, Array], gradients: Mapping[str, Array], rng: np.random.Generator, dtype: np.dtype[Any]
    ) -> None:
        """Hand each layer of the stack its views."""
        super().bind(values, gradients, rng, dtype)
        bind_stack(self.layers, "", values, gradients, rng, dtype)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, the copy of dy if dx is needed, and the buffers of the stack."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._dx = aligned_empty((batch_size if need_dx else 0, self.n_out), self.dtype)
        for i, layer in enumerate(self.layers):
            layer.reserve(batch_size, need_dx=need_dx or i > self._first_trained)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        inner = x
        for layer in self.layers:
            inner = layer.forward(inner, training)
        return np.add(x, inner, out=self._y[: len(x)])

    def backward(self, dy: Array) -> Array | None:
        """Equation (2). The stack may overwrite dy, so it is copied first."""
        gradient: Array | None = dy
        if self._need_dx:
            dx = self._dx[: len(dy)]
            np.copyto(dx, dy)
        for layer in reversed(self.layers if self._need_dx else self.layers[self._first_trained :]):
            assert gradient is not None  # only the first of these layers returns None
            gradient = layer.backward(gradient)
        if not self._need_dx:
            return None
        dx += gradient
        return dx

    def check(self, x: Array, where: str) -> None:
        """Ask the first layer of the stack."""
        self.layers[0].check(x, where)

    def example(self, x: Array) -> Array:
        """Rows that the first layer of the stack takes."""
        return self.layers[0].example(x)

    def _label(self) -> str:
        return ", ".join(map(repr, self.layers))
