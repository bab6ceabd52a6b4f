"""Gradients of plain functions and objects with a forward and a backward pass, which are no layers of numlp."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.differences import GradientReport, random_states
from numlp.errors import ArgumentError, DTypeError, ShapeError
from numlp.undeclared import Undeclared, held, undeclared

Array = NDArray[Any]

_WHERE = "check_gradients"
_RATES = ("learning_rate", "lr", "eta")  # names of an argument of a backward pass that also takes a step


class Passes(NamedTuple):
    """A forward and a backward pass, the object they belong to, if there is one, and their name in messages."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    owner: Any
    name: str


def has_passes(part: Any) -> bool:
    """Whether an object has a forward and a backward pass."""
    return callable(getattr(part, "forward", None)) and callable(getattr(part, "backward", None))


def passes_of(forward: Any, backward: Any = None) -> Passes:
    """Return the passes of an object with `forward` and `backward`, or two functions.

    Errors  DTypeError if they are none.
    """
    if backward is None:
        name = type(forward).__name__
        return Passes(forward.forward, forward.backward, forward, name)
    for role, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise DTypeError(f"{_WHERE}: {role} must be a function, got {function!r}")
    owner = getattr(forward, "__self__", None)
    name = getattr(forward, "__qualname__", type(forward).__name__)
    return Passes(forward, backward, owner, name.rpartition("<locals>.")[2])


def input_names(function: Callable[..., Any]) -> list[str] | None:
    """Return the names of the arguments that a function must be given by position; None where they are not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function written in C may have none
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [p.name for p in positional if p.default is p.empty] or [p.name for p in positional[:1]]


def example_inputs(passes: Passes) -> dict[str, Array] | None:
    """Return random inputs that a forward pass takes, by name; None if it takes none of those tried.

    They are x; X and W; outputs and labels; X, W and b. Of an object that holds a matrix, x has as
    many columns as that has rows.
    """
    names = input_names(passes.forward) or []
    rng, n = np.random.default_rng(0), 5
    widths = [a.value.shape[0] for a in held(passes.owner) if np.ndim(a.value) == 2]
    labels = np.arange(n) % 4
    shapes: dict[int, list[tuple[Any, ...]]] = {
        1: [((n, width),) for width in (*widths, 4)],
        2: [((n, 4), (4, 3)), ((n, 4), np.eye(4, dtype=np.int64)[labels]), ((n, 4), labels)],
        3: [((n, 4), (4, 3), (3,)), ((n, 4), (4, 3), (1, 3))],
    }
    for low, high in ((-2.0, 2.0), (0.1, 0.9)):  # a logarithm takes the second
        for case in shapes.get(len(names), []):
            arrays = [rng.uniform(low, high, shape) if isinstance(shape, tuple) else shape for shape in case]
            try:
                with np.errstate(all="ignore"):
                    y, _ = _forward(passes, arrays)
            except Exception:  # another shape may do
                continue
            if np.isfinite(y).all():
                return dict(zip(names, arrays, strict=True))
    return None


def check_passes(passes: Passes, inputs: Any, rng: np.random.Generator, tolerance: float) -> GradientReport:
    """Compare what `backward` returns, and the gradients its object keeps, with central differences of `forward`.

    Errors  ArgumentError, DTypeError, ShapeError about inputs, outputs and gradients that cannot be compared.
    """
    if isinstance(inputs, np.ndarray) or not isinstance(inputs, Sequence | Mapping) or not len(inputs):
        raise DTypeError(f"{_WHERE}: inputs must be a list of the arguments of forward, got {inputs!r}")
    names = list(inputs) if isinstance(inputs, Mapping) else input_names(passes.forward) or []
    names = names if len(names) == len(inputs) else [f"x{i}" for i in range(len(inputs))]
    arrays = [np.array(x, copy=True) for x in (inputs.values() if isinstance(inputs, Mapping) else inputs)]
    arrays = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in arrays]  # labels stay integers
    trained = {name: x for name, x in zip(names, arrays, strict=True) if x.dtype.kind == "f"}
    if not trained:
        raise ArgumentError(f"{_WHERE}: inputs must hold at least 1 array of floats, got dtype {arrays[0].dtype}")
    report = GradientReport(passes.name, tolerance)
    restore = random_states(passes.owner)
    y, _ = _forward(passes, arrays)
    # a backward pass that takes no dy is that of the sum of the outputs: of a loss
    cotangent = np.asarray(rng.normal(size=y.shape)) if _takes_dy(passes, names) else np.ones(y.shape)

    def outputs() -> Array:
        restore()
        return _forward(passes, arrays)[0]

    def value() -> float:
        return float(np.sum(cotangent * outputs()))

    if not report.check_repeatable(value):
        return report
    restore()
    _, cache = _forward(passes, arrays)
    returned = _backward(passes, dict(zip(names, arrays, strict=True)), cotangent.copy(), cache)
    if returned is None:
        report.failures.append(f"{_WHERE}: {passes.name}: backward must return d{', d'.join(trained)}, got None")
    for name, stated in _by_input(returned, names, trained).items():
        if stated is None:
            report.unchecked.append(name)
        else:
            report.compare(f"d{name}", _shaped(passes, f"d{name}", stated, trained[name]), trained[name], value)
    if passes.owner is not None:
        for found in undeclared(passes.owner, outputs, list(trained.values())):
            _compare_held(report, passes, found, value)
    return report


def _forward(passes: Passes, arrays: Sequence[Array]) -> tuple[Array, list[Any]]:
    """Return y as floats, and what forward returns besides: a cache for backward."""
    result = passes.forward(*(array.copy() for array in arrays))  # it may change them
    y, *cache = result if isinstance(result, tuple) and result else (result,)
    y = np.asarray(y)
    if y.dtype.kind != "f":
        raise DTypeError(f"{_WHERE}: {passes.name} must return floats, got {y.dtype if y.size else result!r}")
    return y, cache


def _backward(passes: Passes, inputs: dict[str, Array], cotangent: Array, cache: list[Any]) -> Any:
    """Call backward with what it asks for: nothing, inputs, dy, dy and forward's cache, or dy and inputs in any order."""
    needs = input_names(passes.backward)
    rate = next((name for name in _RATES if needs and name in inspect.signature(passes.backward).parameters), None)
    if rate is not None and rate not in inputs:
        return passes.backward(cotangent, **{rate: 0.0})  # a step of length 0
    if needs is not None and not _takes_dy(passes, inputs):
        return passes.backward(*(inputs[name] for name in needs))
    if needs is None or len(needs) == 1:
        return passes.backward(cotangent)
    if len([name for name in needs if name not in inputs]) == 1:
        return passes.backward(*(inputs.get(name, cotangent) for name in needs))
    if cache and len(needs) == 2:
        return passes.backward(cotangent, cache[0] if len(cache) == 1 else tuple(cache))
    if len(needs) == 1 + len(inputs):
        return passes.backward(cotangent, *inputs.values())
    raise ArgumentError(
        f"{_WHERE}: backward must take (dy), or (dy, {', '.join(inputs)}), or (dy, cache) where forward returns (y, cache), "
        f"got ({', '.join(needs)})"
    )


def _takes_dy(passes: Passes, names: Iterable[str]) -> bool:
    """Whether backward takes dy: not if it takes nothing, or is a function of inputs only, as the derivative of a loss."""
    needs = input_names(passes.backward)
    return needs is None or (len(needs) > 0 and (passes.owner is not None or not set(needs) <= {*names}))


def _by_input(returned: Any, names: Sequence[str], trained: Mapping[str, Array]) -> dict[str, Any]:
    """Return the gradient of each input of floats; None for one that backward does not compute.

    Errors  ShapeError if there are fewer or more.
    """
    if returned is None:
        return dict.fromkeys(trained)
    if isinstance(returned, Mapping):
        return {name: returned.get(f"d{name}", returned.get(name)) for name in trained}
    gradients = list(returned) if isinstance(returned, tuple | list) else [returned]
    if len(gradients) == len(trained):
        return dict(zip(trained, gradients, strict=True))
    if len(gradients) == len(names):
        return {name: gradient for name, gradient in zip(names, gradients, strict=True) if name in trained}
    raise ShapeError(
        f"{_WHERE}: backward must return {len(trained)} gradients, one for each of "
        f"{', '.join(trained)}, got {len(gradients)}"
    )


def _shaped(passes: Passes, name: str, stated: Any, array: Array) -> Array:
    """Return a gradient as an array, if it has the shape of what it belongs to."""
    stated = np.asarray(stated)
    if stated.shape != array.shape or stated.dtype.kind not in "fiu":
        found = stated.shape if stated.dtype.kind in "fiu" else repr(stated)
        raise ShapeError(f"{_WHERE}: {passes.name}: {name} must have shape {array.shape}, got {found}")
    return stated


def _compare_held(report: GradientReport, passes: Passes, found: Undeclared, value: Callable[[], float]) -> None:
    """Compare the gradient that an object keeps of one of its parameters."""
    array, gradient, _ = found
    if gradient is None:
        report.unchecked.append(array.name)
        if not found.is_constant:
            report.failures.append(
                f"{_WHERE}: {report.subject} must have a gradient for each array that its output depends on, got none for "
                f"{array.name}; let backward set self.d{array.name}, or begin the name of a constant with an underscore"
            )
        return
    stated = _shaped(passes, gradient.name, gradient.value, np.asarray(array.value))
    if not isinstance(array.value, np.ndarray):
        number = np.array(array.value)

        def value_of_number() -> float:
            array.put(number)
            return value()

        report.compare(gradient.name, stated, number, value_of_number)
        array.put(number)
    elif array.value.dtype != np.float64:
        report.unchecked.append(array.name)
        report.failures.append(
            f"{_WHERE}: {report.subject}: {array.name} must be float64 to be compared with central differences, "
            f"got {array.value.dtype}; use astype(np.float64)"
        )
    else:
        report.compare(gradient.name, stated, array.value, value)
