"""The decimal mark of a CSV file: found from all its columns, or asked for where two readings fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.number_texts import DECIMALS, STYLES, Marks, NumberTexts
from numlp.errors import FormatError, printable, typed

Array = NDArray[Any]

_SOME = 1000


class Source(NamedTuple):
    """Where texts come from: the file's name, delimiter and column names, its lines, and the texts of a column once more."""

    where: str
    delimiter: str
    names: Sequence[str | None]
    lines: Callable[[], Iterator[tuple[int, list[str]]]]
    column: Callable[[str], Any]

    def place(self, name: str, text: str) -> str:
        """Return how a message names the first cell of a column that is a text, or holds NUL if that is the text."""
        i = self.names.index(name)
        for line, row in self.lines():
            if len(row) > i and (row[i].strip() == text or (text == "\0" and text in row[i])):
                return f"{self.where} line {line} column {printable(name, 60)!r}"
        return f"{self.where} column {printable(name, 60)!r}"


def find_marks(
    numbers: dict[str, NumberTexts], plain: Mapping[str, Any], again: Callable[[str], NumberTexts],
    source: Source, given: Marks, trained: Marks | None,
) -> tuple[Marks, dict[str, int]]:  # fmt: skip
    """Return the marks of a file, and {column: the index of its style in `STYLES`} for the columns in `numbers`.

    `plain` are columns of plain numbers, as float64 with a point or none before the fraction. Those that may be read
    otherwise, too, are read `again` as texts, which puts them among `numbers`. In a file with commas between its cells the
    point is nevertheless a decimal one if all cells of such columns have it, and nothing else says that it is not.

    Errors  FormatError naming cells that contradict each other, or one that may be two numbers and the options that decide.
    """
    choices = {name: _decimals(_styles(name, numbers, source, given)) for name in numbers if _marked(numbers[name]).any()}
    usual = source.delimiter == "," and all(len(own) < len(DECIMALS) for own in choices.values())
    for name, values in plain.items():
        if _has_fraction(values):
            choices[name] = {"."}
            if not (given.styles()[0] and _proves_point(values)):
                again(name)
                choices[name] = _decimals(_styles(name, numbers, source, given))
                usual = usual and bool(_marked(numbers[name]).all())
    if source.delimiter == "," and trained and trained.decimal == ",":  # the file says one thing, the training another
        trained, usual = Marks(units=trained.units), False
    decimal = _decide(choices, numbers, again, source, trained, usual) if choices else given.decimal
    styles = {}
    for name in numbers:
        fits = _styles(name, numbers, source, given)
        styles[name] = next(int(k) for k in np.flatnonzero(fits) if decimal in (None, STYLES[k][0]))
    units = {name: unit for name, style in styles.items() if (unit := _unit(name, numbers[name], style, source))}
    thousands = sorted(STYLES[k][1] for k in styles.values() if STYLES[k][1])
    found = Marks(decimal, thousands[-1] if thousands else None, units)
    if trained is not None:
        _check_units(found, trained, plain, numbers, source)
        if given == Marks():
            _check_roles(found, trained, numbers, source)
    return found, styles


def _styles(name: str, numbers: Mapping[str, NumberTexts], source: Source, given: Marks) -> Array:
    """Return which of `STYLES` all texts of a column fit, of those that the given marks allow; FormatError if none does."""
    own = numbers[name]
    fits: Array = own.fits.all(axis=1) & given.styles()
    if fits.any():
        return fits
    allowed = own.fits[given.styles()]
    misfit = ~np.asarray(np.logical_and.accumulate(allowed, axis=1).any(axis=0))
    text, last = own.first(misfit), int(np.argmax(misfit))
    flags = [
        f"--{flag} {typed(mark)}" for flag, mark in (("decimal", given.decimal), ("thousands", given.thousands)) if mark
    ]
    expected = f"as {' '.join(flags)} says" if flags else "like the others of its column"
    if allowed[:, last].any():
        clash = ~np.asarray((allowed & allowed[:, [last]]).any(axis=0))
        expected += f", such as {printable(own.first(clash), 40)!r}"
    raise FormatError(
        f"{source.place(name, text)}: number must be written {expected}, got {printable(text, 40)!r}; correct it, or use "
        f"--categorical {typed(name)}"
    )


def _decide(
    choices: Mapping[str, set[str]], numbers: Mapping[str, NumberTexts], again: Callable[[str], NumberTexts],
    source: Source, trained: Marks | None, usual: bool,
) -> str:  # fmt: skip
    """Return the decimal mark that all columns allow: of two, the point if that is usual, or the one of the training."""
    left = set(DECIMALS).intersection(*choices.values())
    if len(left) == 1:
        return left.pop()
    if left and usual:
        return "."
    if not left:
        first, other = (next(name for name, own in choices.items() if own == {mark}) for mark in DECIMALS)
        a, b = (_example(numbers[name] if name in numbers else again(name), len(DECIMALS) - 1) for name in (first, other))
        raise FormatError(
            f"{source.place(other, b)}: number must have the decimal mark of the file, a point as {printable(a, 40)!r} in "
            f"column {printable(first, 60)!r}, got {printable(b, 40)!r}; correct one of them, or use --categorical "
            f"{typed(other)}"
        )
    known = {} if trained is None else {trained.thousands: "thousands", trained.decimal: "decimal"}
    for mark, other in (DECIMALS, DECIMALS[::-1]):
        if mark in known and any(numbers[name].has(mark).any() for name in choices if name in numbers):
            return mark if known[mark] == "decimal" else other
    name = next(iter(choices))
    text = _example(numbers[name], len(DECIMALS))
    mark = "," if "," in text else "."
    one = numbers[name].take(np.array(numbers[name].texts.to_pylist()) == text)
    styles = {STYLES[k][0]: int(k) for k in np.flatnonzero(one.fits[:, 0])}
    fraction, whole = (f"{one.values(styles.pop(own))[0]:.15g}" for own in (mark, *(set(DECIMALS) - {mark})))
    raise FormatError(
        f"{source.place(name, text)}: number must have one reading, got {printable(text, 40)!r}, which may be {whole} or "
        f"{fraction}; use --thousands {mark} for {whole}, or --decimal {mark} for {fraction}"
    )


def _unit(name: str, numbers: NumberTexts, style: int, source: Source) -> str:
    """Return the currency of a column or "%"; FormatError if it has several."""
    own = numbers.units[numbers.units != ""]
    if not len(own):
        return ""
    # money may stand beside numbers without a currency, percentages only beside 0
    differs = (numbers.units != own[0]) & ((numbers.units != "") | ((own[0] == "%") & (numbers.values(style) != 0)))
    if differs.any():
        text, first = numbers.first(differs), numbers.first(numbers.units == own[0])
        raise FormatError(
            f"{source.place(name, text)}: number must have the unit of its column, as {printable(first, 40)!r}, got "
            f"{printable(text, 40)!r}; convert it, or use --categorical {typed(name)}"
        )
    return str(own[0])


def _check_units(
    found: Marks, trained: Marks, plain: Mapping[str, Any], numbers: dict[str, NumberTexts], source: Source
) -> None:
    """Raise FormatError if a column is in percent or in a currency, and was not so in training."""
    for name in {*plain, *numbers}:
        now, then = found.units.get(name, ""), trained.units.get(name, "")
        if now == then or ("%" not in (now, then) and not (now and then)):
            continue
        if not now and not (plain[name].to_numpy() if name in plain else numbers[name].values(0)).any():
            continue
        words = [f"numbers in {unit}" if unit else "plain numbers" for unit in (then, now)]
        raise FormatError(
            f"{source.where}: column {printable(name, 60)!r} must hold {words[0]}, as the file that the model was trained "
            f"on, got {words[1]}; convert them"
        )


def _check_roles(found: Marks, trained: Marks, numbers: Mapping[str, NumberTexts], source: Source) -> None:
    """Raise FormatError if a decimal mark was one between thousands in training, or the other way round."""
    for now, then, role in ((found.decimal, trained.thousands, "thousands"), (found.thousands, trained.decimal, "decimal")):
        if not now or now != then:
            continue
        examples = ((name, own.first(own.has(now))) for name, own in numbers.items() if own.has(now).any())
        name, text = next(examples, (None, ""))
        at, got = (source.where, "a decimal mark") if name is None else (source.place(name, text), repr(printable(text, 40)))
        raise FormatError(
            f"{at}: numbers must be written as in the file that the model was trained on, with {now!r} as {role} mark, got "
            f"{got}; if it is right, use --decimal {typed(str(found.decimal))}"
        )


def _decimals(styles: Array) -> set[str]:
    """Return the decimal marks of some of `STYLES`."""
    return {STYLES[k][0] for k in np.flatnonzero(styles)}


def _marked(numbers: NumberTexts) -> Array:
    """Return which texts have a mark that may be a decimal mark."""
    return numbers.has(".") | numbers.has(",")


def _example(numbers: NumberTexts, n_decimals: int) -> str:
    """Return the first text with a mark, if there is one of those that allow so many decimal marks."""
    points = [np.array([decimal == own for decimal, _ in STYLES]) for own in DECIMALS]
    count = sum(numbers.fits[own].any(axis=0).astype(int) for own in points)
    marked = _marked(numbers)
    return numbers.first(marked & (count == n_decimals) if (marked & (count == n_decimals)).any() else marked)


def _has_fraction(values: Any) -> bool:
    """Return whether some numbers, as float64, are not whole."""
    numbers = values.to_numpy()
    return any((np.floor(part) < part).any() for part in (numbers[:_SOME], numbers[_SOME:]))


def _proves_point(values: Any) -> bool:
    """Return whether plain numbers, as float64, hold one whose point cannot be a thousands mark: 0.5, 1234.5, 1.0625."""
    numbers = values.to_numpy()
    for part in (numbers[:_SOME], numbers[_SOME:]):  # mostly the first ones do
        size = np.abs(part[np.floor(part) < part])
        if ((size < 1) | (size >= 1000) | (np.abs(size * 1000 - np.rint(size * 1000)) > 1e-6)).any():
            return True
    return False
