"""Checks of what `fit` and `evaluate` are given, with a hint where it is what another library takes."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from numlp.callbacks import Callback
from numlp.data.splits import Dataset
from numlp.errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    as_array,
    check_finite,
    check_matrix,
    check_same_length,
    check_weight,
    check_within,
)
from numlp.hints import KEYWORDS, find_part
from numlp.layers import BatchNorm, Layer
from numlp.losses import LOSSES, Loss
from numlp.network import Network
from numlp.optimizers import LBFGS, OPTIMIZERS, Optimizer

Array = NDArray[Any]

_FEW = 8  # rows whose outputs tell whether a loss can use them
_PARTS: dict[type[Any], Mapping[str, type[Any]]] = {Loss: LOSSES, Optimizer: {**OPTIMIZERS, "LBFGS": LBFGS}}


def refuse_others(network: Any, others: Sequence[Any], unknown: Mapping[str, Any], where: str) -> None:
    """Raise DTypeError for what is no network, and for arguments that the function does not have, saying what to write."""
    if not isinstance(network, Network):
        raise DTypeError(f"{where}: network must be a Network, got {type(network).__name__}; write {where}(network, (x, y))")
    if others:
        pair = "(x, y, weight)" if len(others) == 2 else "(x, y)"
        raise DTypeError(
            f"{where}: data must be one pair, got {len(others) + 1} arguments after the network; write "
            f"{where}(network, {pair}), and all others by name"
        )
    for name in unknown:
        raise DTypeError(f"{where}: arguments must be those of its documentation, got {name!r}{KEYWORDS.get(name, '')}")


def check_part(part: Any, kind: type[Any], name: str) -> Any:
    """Return `part` if it is an instance of `kind`, with a hint for a class that was not called, or its name."""
    if isinstance(part, kind):
        return part
    hint = ""
    if isinstance(part, type):
        hint = f"; call it: {part.__name__}()"
    elif isinstance(part, str) and kind in _PARTS:
        found = find_part(part, _PARTS[kind])
        hint = f"; write {name}=numlp.{found or next(iter(_PARTS[kind]))}(), not its name"
    raise DTypeError(f"fit: {name} must be of type {kind.__name__}, got {part!r}{hint}")


def check_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return the callbacks as a list, if they are callbacks."""
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
        raise DTypeError(f"fit: callbacks must be a list, got {callbacks!r}; write callbacks=[...]")
    return [check_part(callback, Callback, "callbacks") for callback in callbacks]


def check_data(
    network: Network, loss: Loss, data: Any, where: str, *, finite: bool = True, warn: bool = False
) -> tuple[Array, Array, Array | None]:
    """Return (x, y, weight or None) checked against network and loss; warn about a range no network learns well from."""
    x, y, weight = _parts(data, where)
    x, y = check_matrix(x, where, "x", network.n_in), as_array(y, where, "y")
    check_same_length(x, y, where)
    low, high = check_finite(x, where, "x") if finite else (0.0, 0.0)
    dtype = network.batch_dtype(x)
    if dtype.kind == "f":
        check_within(low, high, x, dtype, where, "x")
    network.layers[0].check(x, where)
    y = loss.prepare(y, network.n_out, network.dtype, where)
    weight = None if weight is None else check_weight(weight, len(x), where)
    # Pixels takes bytes and divides them itself
    scaled_inside = network.layers[0].takes_any_scale or not loss.warns_of_scale or dtype != network.dtype
    if warn and not scaled_inside and max(-low, high) > 100:
        warnings.warn(
            f"{where}: x ranges from {low:g} to {high:g}, and a network learns best from inputs near [-1, 1]; for pixels "
            f"divide by 255, load with normalize=True, or put Pixels({network.n_in}) first and pass uint8",
            UserWarning,
            stacklevel=3,
        )
    return x, y, weight


def _parts(data: Any, where: str) -> tuple[Any, Any, Any]:
    """Return (x, y, weight or None) as they came."""
    if not (hasattr(data, "dtype") or isinstance(data, str | Mapping)):  # arrays of two rows would be pairs
        try:
            x, y, *rest = data
            (weight,) = rest or (None,)
            return x, y, weight
        except (TypeError, ValueError):
            pass
    part = {"fit": "train", "fit: validation": "validation"}.get(where, "test")
    hint = ""
    if isinstance(data, Dataset):
        hint = f"; give a part of it: data.{part}" + (", validation=data.validation" if part == "train" else "")
    elif isinstance(data, float):
        hint = "; a share is not taken: split the rows yourself"
    elif isinstance(data, list):
        hint = "; from a list of pairs: x, y = map(np.array, zip(*data))"
    elif isinstance(data, Iterator):
        hint = "; an iterator is not taken: make arrays of all its rows"
    kind = type(data).__name__
    raise DTypeError(f"{where}: data must be a pair (x, y), or (x, y, weight), got {kind}{hint}")


def check_outputs(network: Network, loss: Loss, x: Array, where: str) -> None:
    """Raise ArgumentError if the outputs for the first rows of x are not what the loss takes."""
    if type(loss).check_outputs is not Loss.check_outputs:
        loss.check_outputs(network.outputs(x[:_FEW], progress=False), where)


def check_batch_norm(network: Network, n_rows: int, batch_size: int) -> None:
    """Raise unless every batch but the last has two rows, where batch norm needs a variance."""
    layer = next((layer for layer in _inner(network.layers) if isinstance(layer, BatchNorm)), None)
    if layer is None or batch_size > 1:
        return
    why = f"of 2 or more rows, as a batch of one has no variance for {layer}"
    if n_rows == 1:
        raise ShapeError(f"fit: x must have batches {why}, got 1 row")
    raise ArgumentError(f"fit: batch_size must make batches {why}, got 1; take batch_size >= 2")


def _inner(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield each layer, and those inside it."""
    for layer in layers:
        yield layer
        for stack in layer.stacks:
            yield from _inner(stack)
