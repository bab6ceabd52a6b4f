"""Arrays that a layer or an object holds besides those it declares."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_DEPTH = 3  # of objects, dicts and lists inside each other
_FUNCTIONS = (type, FunctionType, MethodType, BuiltinFunctionType)
_NOT_SEARCHED = (*_FUNCTIONS, ModuleType, np.random.Generator)


class Held(NamedTuple):
    """An array or a float that an object holds, under the name by which its author knows it."""

    name: str
    owner: Any
    key: Any
    value: Any

    @property
    def is_private(self) -> bool:
        """Whether its name, or that of what it lies in, begins with an underscore."""
        return self.name.startswith("_") or "._" in self.name

    @property
    def is_writable(self) -> bool:
        """Whether its numbers can be changed."""
        return not isinstance(self.value, np.ndarray) or self.value.flags.writeable

    def put(self, value: Any) -> None:
        """Write other numbers into the array, and the array in its place again; or another float in its place."""
        is_array = isinstance(self.value, np.ndarray)
        if is_array:
            self.value[...] = value
        if isinstance(self.owner, dict | list):
            self.owner[self.key] = self.value if is_array else float(value)
        elif not isinstance(self.owner, tuple):
            setattr(self.owner, self.key, self.value if is_array else float(value))


def held(owner: Any, name: str = "", depth: int = _DEPTH) -> Iterator[Held]:
    """Yield the arrays and numbers of floats that an object holds, also those in its dicts, lists and objects."""
    if isinstance(owner, dict):
        items = [(f"{name}[{key!r}]", key, value) for key, value in owner.items()]
    elif isinstance(owner, list | tuple):
        items = [(f"{name}[{key}]", key, value) for key, value in enumerate(owner)]
    else:
        items = [(f"{name}.{key}" if name else key, key, value) for key, value in getattr(owner, "__dict__", {}).items()]
    for label, key, value in items:
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "f":
                yield Held(label, owner, key, value)
        elif isinstance(value, float | np.floating):
            if not isinstance(owner, tuple):
                yield Held(label, owner, key, value)
        elif depth and not isinstance(value, _NOT_SEARCHED):
            yield from held(value, label, depth - 1)


def gradient_of(array: Held, others: Sequence[Held]) -> Held | None:
    """Return the one of the others that is named as the gradient of an array: dW, grad_W, W_grad, grads["W"]."""
    wanted = _plain_name(array.name.split(".")[-1].split("[")[-1])
    for other in others:
        folder, _, last = other.name.rpartition("[")
        name = _plain_name(last if folder else other.name.rpartition(".")[2])
        in_gradients = folder.lstrip("_").startswith(("d", "g")) and name == wanted
        named = name in {prefix + wanted for prefix in ("d", "g", "grad", "gradient", "delta")}
        named = named or name in {wanted + suffix for suffix in ("grad", "gradient")}
        if (named or in_gradients) and np.shape(other.value) == np.shape(array.value) and other.name != array.name:
            return other
    return None


def _plain_name(name: str) -> str:
    """Return a name without underscores, quotes and brackets, which keeps its capitals: W and w are two arrays."""
    return "".join(character for character in name if character.isalnum())


class Undeclared(NamedTuple):
    """An array that changes the output and is not declared, with its gradient, if there is one.

    One without a gradient is a constant if it is private or an argument of the constructor.
    """

    array: Held
    gradient: Held | None
    is_constant: bool


def undeclared(part: Any, outputs: Callable[[], Array], declared: Sequence[Array]) -> list[Undeclared]:
    """Return the arrays of floats of an object whose change changes the outputs.

    Single numbers that have a gradient are among them; buffers and caches are not, because every
    forward pass writes them anew.

    Parameters
    ----------
    part
        An object after its backward pass.
    outputs
        Runs the forward pass, always with the same random numbers.
    declared
        Arrays that are known, and those that the outputs are computed from.
    """
    arrays = [array for array in held(part) if not any(_overlap(array.value, known) for known in declared)]
    saved = [(array, np.array(array.value)) for array in arrays if array.is_writable]

    def outputs_with(changed: Held | None = None) -> Array:
        for array, value in saved:  # a forward pass may change what the next one sees
            array.put(value)
        if changed is not None:
            changed.put(changed.value + np.random.default_rng(1).uniform(0.5, 1.5, np.shape(changed.value)))
        return outputs().copy()

    before = outputs_with()
    if not np.array_equal(before, outputs_with(), equal_nan=True):
        return []  # random numbers of its own: no two outputs can be compared
    settings = set(inspect.signature(type(part)).parameters)
    found: list[Undeclared] = []
    for array in arrays:
        gradient, is_array = gradient_of(array, arrays), isinstance(array.value, np.ndarray)
        if not array.is_writable or (gradient is None and not is_array):
            continue
        if any(_overlap(array.value, known.array.value) for known in found):
            continue
        if _changes(array, outputs_with, before):
            found.append(Undeclared(array, gradient, gradient is None and (array.is_private or array.name in settings)))
    outputs_with()
    return found


def _changes(array: Held, outputs_with: Callable[[Held], Array], before: Array) -> bool:
    """Return whether other numbers in an array give other outputs."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return not np.array_equal(before, outputs_with(array), equal_nan=True)
    except Exception:  # it was used, or nothing could fail
        return True


def _overlap(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def warn_of_undeclared(layers: Sequence[Any], declared: Sequence[Array], where: str) -> None:
    """Warn of arrays of floats that layers of the user's own hold when they are built, and do not declare."""
    for layer in layers:
        if type(layer).__module__.partition(".")[0] == "numlp":
            continue
        settings = set(inspect.signature(type(layer)).parameters)
        names = [
            array.name
            for array in held(layer)
            if isinstance(array.value, np.ndarray) and array.is_writable and not array.is_private
            if array.name not in settings and not any(_overlap(array.value, known) for known in declared)
        ]
        if names:
            warnings.warn(
                f"{where}: parameters() of {layer} must declare its arrays, got {', '.join(names)} "
                "besides, which are neither trained nor saved; declare them (docs/layers.md), or "
                "begin the name of a constant with an underscore",
                UserWarning,
                stacklevel=3,
            )
