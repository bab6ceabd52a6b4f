"""Which part of the flat parameters has which factor, and how long a gradient is."""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.attributes import setting
from numlp.errors import ArgumentError, DTypeError, ReadOnlyError, check_count, check_number
from numlp.schedules import Schedule

Array = NDArray[Any]
Factors = Mapping[str, tuple[float, float]]


def check_rate(optimizer: Any, name: str, value: Any) -> float | Schedule:
    """Return a learning rate: a schedule, or a number above 0."""
    return value if isinstance(value, Schedule) else check_number(value, type(optimizer).__name__, name, above=0)


def check_steps(optimizer: Any, name: str, value: Any) -> int:
    """Return a number of steps."""
    return check_count(value, type(optimizer).__name__, name, least=0)


def check_momentum(optimizer: Any, name: str, value: Any) -> float:
    """Return a momentum in [0, 1), which stays 0 if it was: then there is no array for it."""
    where, before = type(optimizer).__name__, getattr(optimizer, f"_{name}", value)
    momentum = check_number(value, where, name, low=0, below=1)
    if bool(before) != bool(momentum):
        raise ReadOnlyError(f"{where}: {name} must stay {'above 0' if before else '0'}, got {value}; build a new {where}")
    return momentum


def decay() -> Any:
    """Declare a weight decay: a schedule, or a number of at least 0."""
    return setting(_check_decay)


def _check_decay(optimizer: Any, name: str, value: Any) -> float | Schedule:
    return value if isinstance(value, Schedule) else check_number(value, type(optimizer).__name__, name, low=0)


def norm(values: Array, scratch: Array) -> float:
    """Return the Euclidean norm; values whose squares overflow or vanish are scaled first."""
    with np.errstate(over="ignore", under="ignore"):
        squared = kernels.sum_of_squares(values)
    if 0 < squared < math.inf:
        return math.sqrt(squared)
    largest = max(float(values.max()), -float(values.min())) if values.size else 0.0
    if largest == 0 or not math.isfinite(largest):
        return largest
    with np.errstate(under="ignore"):
        np.divide(values, largest, out=scratch)
        return largest * math.sqrt(kernels.sum_of_squares(scratch))


def check_factors(factors: Any, where: str) -> dict[str, tuple[float, float]]:
    """Return the factors as a dict, from a mapping or from the pairs a config has."""
    try:
        pairs = [(pattern, rate, decay) for pattern, (rate, decay) in dict(factors).items() if pattern + ""]
    except (TypeError, ValueError):
        raise DTypeError(
            f"{where}: factors must be a dict of pattern: (rate factor, decay factor), got {factors!r}; "
            'for example {"*.b": (0.1, 0.0)}'
        ) from None
    return {
        pattern: (
            check_number(rate, where, f"factors[{pattern!r}][0]", low=0),
            check_number(decay, where, f"factors[{pattern!r}][1]", low=0),
        )
        for pattern, rate, decay in pairs
    }


def named_parts(
    factors: Factors, n_weights: int, slices: Mapping[str, slice] | None, where: str
) -> list[tuple[slice, float, float]]:
    """Return (part, factor of the rate, factor of the decay) of each parameter, in the order of the flat array."""
    if slices is None:
        raise ArgumentError(f"{where}: slices must be given for factors, got none; pass network.arena.slices, as fit does")
    for pattern in factors:
        if not any(fnmatchcase(name, pattern) for name in slices):
            raise ArgumentError(
                f"{where}: factors must name parameters of the network, got {pattern!r}, which fits none of "
                f"{', '.join(slices)}"
            )
    parts = []
    for name, part in sorted(slices.items(), key=lambda item: item[1].start):
        usual = (1.0, 1.0 if part.start < n_weights else 0.0)
        found = next((pair for pattern, pair in factors.items() if fnmatchcase(name, pattern)), usual)
        parts.append((part, *found))
    return parts


def merged(parts: list[tuple[slice, float]]) -> list[tuple[slice, float]]:
    """Join neighbours of equal factors, and leave out empty parts."""
    joined: list[tuple[slice, float]] = []
    for part, factor in parts:
        if part.start == part.stop:
            continue
        if joined and joined[-1][1] == factor and joined[-1][0].stop == part.start:
            part = slice(joined.pop()[0].start, part.stop)
        joined.append((part, factor))
    return joined
