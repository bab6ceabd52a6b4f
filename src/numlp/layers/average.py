"""Several stacks of layers side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.arena import Parameter, aligned_empty
from numlp.attributes import fixed, result
from numlp.errors import ArgumentError, DTypeError, ShapeError
from numlp.layers.dense import Layer, bind_stack, check_stack, first_trained

Array = NDArray[Any]


class Average(Layer):
    """The mean of what K stacks of layers make of the same rows: an ensemble as one layer, and so as one model.

        y = 1/K sum_k stack_k(x)                                         (1)
        dx = sum_k (dy / K back through stack k)                         (2)

    Inside, the parameters are named `<stack>.<index>.<name>`: `0.1.W` is the W of the second layer of the first stack.
    `outputs` holds what each stack gave in the last forward. For probabilities, let each stack end in `Softmax`.

    Shapes  x (N, I), y (N, O): the same for each stack.
    Errors  ShapeError if the layers or the stacks do not fit together; ArgumentError, DTypeError for anything else.
    Source  Hansen, Salamon 1990.

    Parameters
    ----------
    stacks
        At least one; each a sequence of at least one layer.

    Examples
    --------
    >>> import numlp as nl
    >>> both = nl.Average([[nl.Dense(8, 4, "relu"), nl.Dense(4, 2)], [nl.Dense(8, 2)]])
    >>> [parameter.name for parameter in both.parameters()]
    ['0.0.W', '0.0.b', '0.1.W', '0.1.b', '1.0.W', '1.0.b']
    """

    stacks: tuple[tuple[Layer, ...], ...] = fixed()
    takes_any_scale: bool = fixed()
    outputs: list[Array] = result("it is what the stacks gave in the last forward")

    def __init__(self, stacks: Sequence[Sequence[Layer]]) -> None:
        if not isinstance(stacks, list | tuple) or not all(isinstance(stack, list | tuple) for stack in stacks):
            raise DTypeError(f"Average: stacks must be a list of lists of layers, got {stacks!r}")
        if not stacks:
            raise ArgumentError("Average: stacks must hold at least 1 stack, got none")
        self.stacks = tuple(tuple(stack) for stack in stacks)
        for stack in self.stacks:
            check_stack(stack, "Average")
        sizes = [(stack[0].n_in, stack[-1].n_out) for stack in self.stacks]
        for k, size in enumerate(sizes):
            if size != sizes[0]:
                raise ShapeError(f"Average: stack {k} must have the inputs and outputs of stack 0, {sizes[0]}, got {size}")
        layers = [layer for stack in self.stacks for layer in stack]
        if len({id(layer) for layer in layers}) < len(layers):
            raise ArgumentError("Average: a layer must belong to one stack, got one in two; build a new layer")
        self.n_in, self.n_out = sizes[0]
        self.takes_any_scale = all(stack[0].takes_any_scale for stack in self.stacks)
        self._outputs: list[Array] = []

    def parameters(self) -> Sequence[Parameter]:
        """Those of the stacks, named `<stack>.<index>.<name>`."""
        return tuple(
            p._replace(name=f"{k}.{i}.{p.name}")
            for k, stack in enumerate(self.stacks)
            for i, layer in enumerate(stack)
            for p in layer.parameters()
        )

    def bind(
        self, values: Mapping[str, Array], gradients: Mapping[str, Array], rng: np.random.Generator, dtype: np.dtype[Any]
    ) -> None:
        """Hand each layer of each stack its views."""
        super().bind(values, gradients, rng, dtype)
        for k, stack in enumerate(self.stacks):
            bind_stack(stack, f"{k}.", values, gradients, rng, dtype)

    def reserve(self, batch_size: int, need_dx: bool) -> None:
        """Allocate y, a share of dy for each stack, dx if needed, and the buffers of the stacks."""
        super().reserve(batch_size, need_dx)
        self._y = aligned_empty((batch_size, self.n_out), self.dtype)
        self._share = aligned_empty(self._y.shape, self.dtype)
        self._dx = aligned_empty((batch_size if need_dx else 0, self.n_in), self.dtype)
        for stack in self.stacks:
            for i, layer in enumerate(stack):
                layer.reserve(batch_size, need_dx or i > first_trained(stack))

    def forward(self, x: Array, training: bool = False) -> Array:
        """Equation (1)."""
        y = self._y[: len(x)]
        self._outputs = outputs = []
        for stack in self.stacks:
            inner = x
            for layer in stack:
                inner = layer.forward(inner, training)
            outputs.append(inner)
        np.copyto(y, outputs[0])
        for output in outputs[1:]:
            y += output
        y /= len(self.stacks)
        return y

    def backward(self, dy: Array) -> Array | None:
        """Equation (2). A stack may overwrite what it is given, so each is given a copy."""
        share, dx = self._share[: len(dy)], self._dx[: len(dy)]
        dx.fill(0)
        for stack in self.stacks:
            np.divide(dy, len(self.stacks), out=share)
            gradient: Array | None = share
            for layer in reversed(stack if self._need_dx else stack[first_trained(stack) :]):
                assert gradient is not None  # only the first of these layers returns None
                gradient = layer.backward(gradient)
            if self._need_dx:
                dx += gradient
        return dx if self._need_dx else None

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Whether the first layer of each stack takes this dtype."""
        return all(stack[0].accepts(dtype) for stack in self.stacks)

    def check(self, x: Array, where: str) -> None:
        """Ask the first layer of each stack."""
        for stack in self.stacks:
            stack[0].check(x, where)

    def example(self, x: Array) -> Array:
        """Rows that the first layer of the first stack takes."""
        return self.stacks[0][0].example(x)

    def _label(self) -> str:
        return f"{len(self.stacks)} x {self.n_in} -> {self.n_out}"
