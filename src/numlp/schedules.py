"""The learning rate as a pure function of the step: schedule(step, total_steps), step from 0 to total_steps - 1."""

import math
from dataclasses import dataclass
from typing import Any, NoReturn

from numlp.errors import ArgumentError, ReadOnlyError, check_count, check_number


def _cosine(start: float, end: float, share: float) -> float:
    """From `start` (share 0) to `end` (share 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _check_share(value: float, where: str, name: str) -> None:
    """Raise unless 0 < value <= 1."""
    if check_number(value, where, name, above=0) > 1:
        raise ArgumentError(f"{where}: {name} must be a number above 0 and at most 1, got {value}")


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
class Step(Schedule):
    """A fall by `factor` after every `every` steps.

        lr(t) = learning_rate factor^floor(t / every)                    (1)

    Parameters: `every` at least 1; `factor` above 0, at most 1.

    Examples
    --------
    >>> import numlp as nl
    >>> [nl.Step(1.0, every=2, factor=0.5)(t, total_steps=5) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    learning_rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "Step", "learning_rate", above=0)
        check_count(self.every, "Step", "every")
        _check_share(self.factor, "Step", "factor")

    def __call__(self, step: int, total_steps: int) -> float:
        """Equation (1)."""
        return float(self.learning_rate * self.factor ** (step // self.every))


@dataclass(frozen=True)
class Exponential(Schedule):
    """A fall by `factor` in every step.

        lr(t) = learning_rate factor^t                                   (1)

    Parameters: `factor` above 0, at most 1.

    Examples
    --------
    >>> import numlp as nl
    >>> [nl.Exponential(1.0, factor=0.5)(t, total_steps=4) for t in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    learning_rate: float
    factor: float

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "Exponential", "learning_rate", above=0)
        _check_share(self.factor, "Exponential", "factor")

    def __call__(self, step: int, total_steps: int) -> float:
        """Equation (1)."""
        return float(self.learning_rate * self.factor**step)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """From `learning_rate` down to `final` along a power of what is left of training.

        lr(t) = final + (learning_rate - final) (1 - t / T)^power,  T = total_steps        (1)

    Parameters: `power` above 0; 1 is a straight line.

    Examples
    --------
    >>> import numlp as nl
    >>> [nl.Polynomial(1.0, power=2)(t, total_steps=4) for t in range(4)]
    [1.0, 0.5625, 0.25, 0.0625]
    """

    learning_rate: float
    final: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "Polynomial", "learning_rate", above=0)
        check_number(self.final, "Polynomial", "final", low=0)
        check_number(self.power, "Polynomial", "power", above=0)

    def __call__(self, step: int, total_steps: int) -> float:
        """Equation (1)."""
        return float(self.final + (self.learning_rate - self.final) * (1 - step / total_steps) ** self.power)


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Half a cosine from `learning_rate` to `final`, again and again, each `growth` times as long as the one before.

        lr(t) = final + (learning_rate - final) (1 + cos(pi s / P)) / 2                    (1)

    s steps after the last restart, in a period of P steps: `period` for the first one, then `growth` P.

    Source  Loshchilov, Hutter 2017 (SGDR), eq. 5.

    Parameters: `period` and `growth` whole numbers of at least 1, in steps. Training should end with a period.

    Examples
    --------
    >>> import numlp as nl
    >>> schedule = nl.CosineRestarts(1.0, period=2, growth=2)
    >>> [round(schedule(t, total_steps=6), 4) for t in range(6)]
    [1.0, 0.5, 1.0, 0.8536, 0.5, 0.1464]
    """

    learning_rate: float
    period: int
    growth: int = 1
    final: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "CosineRestarts", "learning_rate", above=0)
        check_count(self.period, "CosineRestarts", "period")
        check_count(self.growth, "CosineRestarts", "growth")
        check_number(self.final, "CosineRestarts", "final", low=0)

    def __call__(self, step: int, total_steps: int) -> float:
        """Equation (1)."""
        since, period = step, self.period
        if self.growth == 1:
            since %= period
        while since >= period:
            since, period = since - period, period * self.growth
        return _cosine(self.learning_rate, self.final, since / period)


@dataclass(frozen=True)
class CosLog4(Schedule):
    """Four waves from 0 over `peak` to 0, each twice as long as the one before.

        lr(t) = peak (1 - cos(2 pi log2(1 + 15 t / T))) / 2,  T = total_steps              (1)

    It is 0 at t / T = 0, 1/15, 3/15, 7/15 and at the end: a network is good at several moments, early ones among them.

    Source  Holzmüller, Grinsztajn, Steinwart 2024 (RealMLP), section 3.

    Examples
    --------
    >>> import numlp as nl
    >>> [round(nl.CosLog4(1.0)(t, total_steps=30), 4) for t in (0, 2, 6, 14, 20)]
    [0.0, 0.0, 0.0, 0.0, 0.9838]
    """

    peak: float

    def __post_init__(self) -> None:
        check_number(self.peak, "CosLog4", "peak", above=0)

    def __call__(self, step: int, total_steps: int) -> float:
        """Equation (1)."""
        return _cosine(0.0, self.peak, 2 * math.log2(1 + 15 * step / total_steps))


@dataclass(frozen=True)
class FlatCosine(Schedule):
    """`learning_rate` for the first half of training, then down to 0 along half a cosine.

        lr(t) = learning_rate                                     for t <= T / 2           (1)
        lr(t) = learning_rate (1 + cos(pi (2 t / T - 1))) / 2     afterwards               (2)

    Examples
    --------
    >>> import numlp as nl
    >>> [round(nl.FlatCosine(1.0)(t, total_steps=8), 4) for t in range(8)]
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.8536, 0.5, 0.1464]
    """

    learning_rate: float

    def __post_init__(self) -> None:
        check_number(self.learning_rate, "FlatCosine", "learning_rate", above=0)

    def __call__(self, step: int, total_steps: int) -> float:
        """Equations (1) and (2)."""
        return _cosine(self.learning_rate, 0.0, max(0.0, 2 * step / total_steps - 1))


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


SCHEDULES: dict[str, type[Any]] = {
    schedule.__name__: schedule
    for schedule in (
        Constant, Step, Exponential, Polynomial, Cosine, CosineRestarts, CosLog4, FlatCosine, WarmUp, OneCycle,
    )
}  # fmt: skip


def _refuse(schedule: Schedule, name: str, *value: Any) -> NoReturn:
    """Raise ReadOnlyError, instead of what a frozen dataclass raises."""
    where, now = type(schedule).__name__, getattr(schedule, name, None)
    got = f"{value[0]!r:.60}" if value else "del"
    raise ReadOnlyError(
        f"{where}: {name} must stay {now!r:.60}, got {got}; build a new {where} and assign it to optimizer.learning_rate"
    )


for _kind in SCHEDULES.values():
    _kind.__setattr__ = _kind.__delattr__ = _refuse  # type: ignore[assignment]
