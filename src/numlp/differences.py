"""Central differences, and the report of gradients that were compared with them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def numeric_gradient(
    function: Callable[[], float], array: Array, indices: Iterable[tuple[int, ...]], epsilon: float = 1e-6
) -> list[float]:
    """Return d function / d array[index] for each index, by central differences; `array` is float64, changed and restored.

    (f(a + e) - f(a - e)) / 2e                                       (1)
    """
    slopes = []
    for index in indices:
        saved = array[index]
        array[index] = saved + epsilon
        above = function()
        array[index] = saved - epsilon
        below = function()
        array[index] = saved
        slopes.append((above - below) / (2 * epsilon))
    return slopes


def random_states(part: Any) -> Callable[[], None]:
    """Return a function that puts the random generators an object may draw from back to where they are now.

    They are NumPy's global one and those that are attributes of the object.
    """
    common = np.random.get_state()  # noqa: NPY002 - of code that draws from it
    generators = [value for value in getattr(part, "__dict__", {}).values() if isinstance(value, np.random.Generator)]
    states = [generator.bit_generator.state for generator in generators]

    def restore() -> None:
        np.random.set_state(common)  # noqa: NPY002
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state

    return restore


class GradientCheck(float):
    """Largest error of the gradients that were compared, a float.

    Attributes
    ----------
    errors : dict
        The largest error of each gradient, by its name: {"dx": 1e-10, "dW": 3e-10}.
    """

    errors: dict[str, float]

    def __new__(cls, errors: dict[str, float]) -> "GradientCheck":
        """Keep the errors, and be the largest of them."""
        check = super().__new__(cls, max(errors.values(), default=0.0))
        check.errors = errors
        return check

    def __reduce__(self) -> tuple[Any, ...]:
        return GradientCheck, (self.errors,)

    def __repr__(self) -> str:
        return f"GradientCheck({float(self):.1e}, checked: {', '.join(self.errors)})"


@dataclass
class GradientReport:
    """What was compared with central differences.

    `subject` is what was checked, `errors` has the largest error of each gradient, `failures` a message for each
    gradient that is wrong or missing, `unchecked` the arrays that change the output and were not checked.
    """

    subject: str
    tolerance: float
    errors: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def check_repeatable(self, value: Callable[[], float]) -> bool:
        """Whether `value` is the same when it is computed again; if not, that is a failure."""
        first, second = value(), value()
        if first == second or (np.isnan(first) and np.isnan(second)):
            return True
        self.failures.append(
            f"check_gradients: {self.subject}: forward must return the same for the same inputs, got another output in a "
            "second call; let it draw random numbers from np.random or from a generator that is an attribute"
        )
        return False

    def compare(self, name: str, stated: Array, array: Array, value: Callable[[], float]) -> None:
        """Compare the stated gradient of `value` with respect to `array` with the numeric one."""
        indices = list(np.ndindex(array.shape))
        numeric = numeric_gradient(value, array, indices)
        found = [float(stated[index]) for index in indices]
        errors = [abs(f - n) / max(1.0, abs(n)) for f, n in zip(found, numeric, strict=True)]
        worst = int(np.argmax(errors)) if errors else 0
        self.errors[name] = errors[worst] if errors else 0.0
        if not self.errors[name] <= self.tolerance:
            place = f"[{', '.join(map(str, indices[worst]))}]" if indices[worst] else ""
            self.failures.append(
                f"check_gradients: {self.subject}: {name}{place} must be {numeric[worst]:.9g} (central difference), "
                f"got {found[worst]:.9g}"
            )
