"""How much the tests try: everything with NUMLP_TESTS=all, as in .ci/run; else, for each change, what says something new."""

import os
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest

ALL = os.environ.get("NUMLP_TESTS") == "all"
exhaustive = pytest.mark.exhaustive  # deselected without NUMLP_TESTS=all


def examples(n: int) -> int:
    """Return how many of n examples are tried: all, or a tenth and at least 10."""
    return n if ALL else max(10, n // 10)


def pairs(*arguments: Sequence[Any]) -> list[Any]:
    """Return all combinations of arguments; those are exhaustive that are not needed for each value to occur once."""
    longest = max(map(len, arguments))
    needed = {tuple(i % len(values) for values in arguments) for i in range(longest)}
    places = product(*(range(len(values)) for values in arguments))
    return [parameters([values[i] for values, i in zip(arguments, place, strict=True)], place in needed) for place in places]


def first_uses(combinations: Iterable[Sequence[Any]]) -> list[Any]:
    """Return combinations; those are exhaustive whose values have all occurred before."""
    seen: set[tuple[int, str]] = set()
    found = []
    for values in combinations:
        own = {(i, str(value)) for i, value in enumerate(values)}
        found.append(parameters(values, not own <= seen))
        seen |= own
    return found


def parameters(values: Sequence[Any], is_needed: bool) -> Any:
    """Return the arguments of one test, exhaustive unless needed."""
    return pytest.param(*values, id="-".join(map(str, values)), marks=() if is_needed else exhaustive)
