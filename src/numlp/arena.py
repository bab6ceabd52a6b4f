"""One flat array for all parameters of a network, one for all gradients, one for what is fitted but not trained."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

_ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


class Parameter(NamedTuple):
    """Name, shape and role of one array of a layer.

    `weight`: trained and decayed; `bias`: trained, never decayed; `state`: kept and saved but not trained, such as
    the running mean of a batch norm.
    """

    name: str
    shape: tuple[int, ...]
    role: Literal["weight", "bias", "state"]


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array that begins on a 64-byte boundary; anywhere else, each register of numbers lies in two cache lines."""
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape if isinstance(shape, tuple) else (shape,)) * dtype.itemsize
    raw = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros, the first on a 64-byte boundary."""
    zeros = aligned_empty(shape, dtype)
    zeros.fill(0)
    return zeros


class Arena:
    """Flat arrays `params`, `grads` and `state`, and named views into them.

    `params` holds all weights first, then all biases: `params[:n_weights]` is what weight decay touches. `grads` has
    the same layout. An optimizer step is one pass over two flat arrays, a gradient norm one dot product, a
    snapshot one copy. `values[i][name]` and `gradients[i][name]` are C-contiguous views for layer i; they are
    written in place and never replaced. `slices["layers.<i>.<name>"]` is where a trained array lies in `params`.
    """

    def __init__(self, layers: Sequence[Sequence[Parameter]], dtype: DTypeLike) -> None:
        placed = [(i, parameter) for i, parameters in enumerate(layers) for parameter in parameters]
        sizes = {role: 0 for role in ("weight", "bias", "state")}
        for _, parameter in placed:
            sizes[parameter.role] += math.prod(parameter.shape)
        self.n_weights = sizes["weight"]
        self.params = aligned_zeros(sizes["weight"] + sizes["bias"], dtype)
        self.grads = aligned_zeros(self.params.size, dtype)
        self.state = aligned_zeros(sizes["state"], dtype)
        self.values: list[dict[str, NDArray[Any]]] = [{} for _ in layers]
        self.gradients: list[dict[str, NDArray[Any]]] = [{} for _ in layers]
        self.slices: dict[str, slice] = {}
        at = {"weight": 0, "bias": self.n_weights, "state": 0}
        for i, (name, shape, role) in placed:
            span = slice(at[role], at[role] + math.prod(shape))
            at[role] = span.stop
            if role == "state":
                self.values[i][name] = self.state[span].reshape(shape)
            else:
                self.slices[f"layers.{i}.{name}"] = span
                self.values[i][name] = self.params[span].reshape(shape)
                self.gradients[i][name] = self.grads[span].reshape(shape)
