"""The learning rate as a pure function of the step: schedule(step, total_steps), step from 0 to total_steps - 1."""

import math
from dataclasses import dataclass
from typing import Any

from numlp.errors import ArgumentError, check_count, check_number


def _cosine(start: float, end: float, share: float) -> float:
    """From `start` (share 0) to `end` (share 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Schedule:
    """A learning rate for each step of a training: `schedule(step, total_steps)`.

    The rate is above 0, except at the very end of a decay. A schedule has no state: the same step gives the same rate.
    """

    def __call__(self, step: int, total_steps: int) -> float:
        """Return the learning rate of step `step`, 0 <= step < total_steps."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate in every step.

        lr(t) = learning_rate                                            (1)

    Examples
    --------
    >>> import numlp as nl
    >>> nl.Constant(0.1)(7, total_steps=10)
    0.1
    """

    learning_rate: float

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "Constant", "learning_rate", above=0)

    def __call__(self, step: int, total_steps: int) -> float:
        """Equation (1)."""
        return self.learning_rate


@dataclass(frozen=True)
class Cosine(Schedule):
    """From `learning_rate` down to `final` along half a cosine.

        lr(t) = final + (learning_rate - final) (1 + cos(pi t / T)) / 2,  T = total_steps        (1)

    Source  Loshchilov, Hutter 2017 (SGDR), eq. 5, one period.

    Examples
    --------
    >>> import numlp as nl
    >>> round(nl.Cosine(0.1)(5, total_steps=10), 6)
    0.05
    """

    learning_rate: float
    final: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "Cosine", "learning_rate", above=0)
        check_number(self.final, "Cosine", "final", low=0)

    def __call__(self, step: int, total_steps: int) -> float:
        """Equation (1)."""
        return _cosine(self.learning_rate, self.final, step / total_steps)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A straight rise over the first `steps` steps, then the schedule `then`.

        lr(t) = then(0) (t + 1) / steps            for t < steps         (1)
        lr(t) = then(t - steps) of T - steps       afterwards            (2)

    Source  Goyal et al. 2017, section 2.2.

    Examples
    --------
    >>> import numlp as nl
    >>> schedule = nl.WarmUp(2, nl.Constant(0.1))
    >>> [schedule(t, total_steps=4) for t in range(4)]
    [0.05, 0.1, 0.1, 0.1]
    """

    steps: int
    then: Schedule

    def __post_init__(self) -> None:
        check_count(self.steps, "WarmUp", "steps")
        if not isinstance(self.then, Schedule):
            raise ArgumentError(f"WarmUp: then must be a schedule, got {self.then!r}; a plain rate is Constant(rate)")

    def __call__(self, step: int, total_steps: int) -> float:
        """Equations (1) and (2)."""
        rest = max(1, total_steps - self.steps)
        if step < self.steps:
            return self.then(0, rest) * (step + 1) / self.steps
        return self.then(step - self.steps, rest)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to `peak` over the first part of training, then down to almost nothing, both along half a cosine.

        start = peak / start_divisor,  end = start / end_divisor,  T = total_steps,  a = rise T - 1       (1)
        lr(t) = cosine(start -> peak, t / a)                        for t <= a                            (2)
        lr(t) = cosine(peak -> end, (t - a) / (T - 1 - a))          afterwards                            (3)

    Source  Smith, Topin 2018; the divisors and the cosine as in PyTorch's OneCycleLR.

    Examples
    --------
    >>> import numlp as nl
    >>> schedule = nl.OneCycle(0.1)
    >>> [round(schedule(t, total_steps=10), 4) for t in (0, 2, 9)]
    [0.004, 0.1, 0.0]
    """

    peak: float
    rise: float = 0.3
    start_divisor: float = 25.0
    end_divisor: float = 1e4

    def __post_init__(self) -> None:
        check_number(self.peak, "OneCycle", "peak", above=0)
        check_number(self.rise, "OneCycle", "rise", above=0, below=1)
        check_number(self.start_divisor, "OneCycle", "start_divisor", low=1)
        check_number(self.end_divisor, "OneCycle", "end_divisor", low=1)

    def __call__(self, step: int, total_steps: int) -> float:
        """Equations (1) to (3)."""
        start = self.peak / self.start_divisor
        top = self.rise * total_steps - 1
        if step <= top:
            return _cosine(start, self.peak, step / top if top > 0 else 1.0)
        top = max(top, 0.0)  # so few steps that there is no rise
        return _cosine(self.peak, start / self.end_divisor, (step - top) / ((total_steps - 1 - top) or 1.0))


SCHEDULES: dict[str, type[Any]] = {s.__name__: s for s in (Constant, Cosine, WarmUp, OneCycle)}
