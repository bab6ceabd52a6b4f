"""The first row of a CSV file: column names, or a row of the table; and the names of the columns."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from numlp.data.value_texts import GAP_WORDS

_MOST_ROWS = 200  # that are looked at
_LEAST_COUNT = 3  # columns that count from 0 may be named so
_NEARLY = 0.9  # a column with this share of values is one of values
_EXPONENT = re.compile(r"(?<=[0-9.])[eE][+-]?(?=[0-9])|(?<=[0-9])[Tt](?=[0-9])|(?<=[0-9])[Zz]$")
LETTER = re.compile(r"[^\W\d]|[;|\t]")
_DATE = re.compile("[0-9] *[-/:] *[0-9]")  # or a time
_NO_VALUE = re.compile(r"[,.][,.]|,$|\n|\r")
_WORDS = GAP_WORDS | {"inf", "infinity"}  # that stand among numbers


def is_header(first: list[str], rows: list[list[str]]) -> bool | None:
    """Return whether the first row holds the names of the columns; None where it may and may not.

    In a column of values a word is a name, and so is a date above numbers; a value is none, and a gap says nothing. In a
    column of words, a word that comes again is no name. Numbers that count, such as 0, 1, 2 or 2019, 2020, may be names
    beside words.
    """
    if not any(first):
        return False
    rows = [cells for cells in rows if len(cells) == len(first)][:_MOST_ROWS]
    names = values = gaps = again = new = 0
    columns = list(zip(*rows, strict=True)) or [()] * len(first)
    for cell, column in zip(first, columns, strict=True):
        below = [c for c in column if not _is_gap(c)]
        typed = (not rows or len(below) > 0) and sum(map(is_value, below)) >= _NEARLY * len(below)
        date = _DATE.search(cell) and below and not any(map(_DATE.search, below))  # above what is no date
        gap, value = _is_gap(cell), is_value(cell) and not date
        names += typed and not gap and not value
        values += typed and value
        gaps += typed and gap
        again += not typed and not gap and cell in below
        new += not typed and not gap and not value and cell not in below
    numbers = [cell for cell in first if is_value(cell)]
    counts = _count_up(numbers)
    index = bool(rows) and not first[0].strip() and _count_up(columns[0])
    if names:
        sure = counts and (float(numbers[0]) == 0 or len(numbers) > 3)
        return None if gaps > names or (values and not sure and names <= 2 * values) else True
    if len(first) >= _LEAST_COUNT and first == [str(i) for i in range(len(first))]:
        return None  # as pandas names the columns of an array
    if values:
        pandas = index and float(columns[0][0]) == 0 and _count_up(["-1", *first[1:]])
        sure = values > 3 or (pandas and len(rows) > 4)
        return False if not pandas and (again or not (counts and new)) else sure or None
    if gaps:
        return False if not new else index or None
    return new > 0 or not again or len(first) == 1


def names_of_cells(first: list[str], rows: list[list[str]]) -> tuple[tuple[str | None, ...], bool]:
    """Return the name of each cell of a row, and whether its first cell has none in the line of names."""
    width = row_width([first, *rows])
    names, rows = list(first), [cells for cells in rows if len(cells) == width]
    more = width - len(names)
    shifted = False
    if not any(map(str.strip, names[width:])):
        del names[width:]
    if more > 0 and not any(any(cells[-more:]) for cells in rows):
        names += [""] * more
    elif more == 1 and len({cells[0] for cells in rows if cells[0]}) == len(rows):
        if len(rows) == 1 or not is_header(rows[0], rows[1:]):  # names of rows as R writes them, and no line above the names
            names, shifted = ["", *names], True
    if len(names) != width or not rows:
        return tuple(names), shifted
    empty = [not name and not any(cells[i] for cells in rows) for i, name in enumerate(names)]
    several = sum(not name for name in names) - sum(empty) > 1
    named = (name or (str(i + 1) if several else "") for i, name in enumerate(names))
    return tuple(None if left else name for name, left in zip(named, empty, strict=True)), shifted


def numbers_as_names(rows: list[list[str]]) -> tuple[str | None, ...]:
    """Return the numbers of the columns as their names, None for a last one that a delimiter at the end of rows makes."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    names: list[str | None] = [str(i + 1) for i in range(width)]
    if len(rows) > 1 and width > 1 and not any(cells[-1] for cells in rows):
        names[-1] = None
    return tuple(names)


def row_width(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of cells that most rows below the first have; of several such numbers that of the first row."""
    counts = Counter(map(len, rows[1:] or rows))
    return max(counts, key=lambda width: (counts[width], width == len(rows[0]) > 1, width), default=0)


def is_value(cell: str) -> bool:
    """Whether a cell is a number, an amount, a date or a time, however it is written: digits, and no letters."""
    rest = _EXPONENT.sub("", cell.strip())
    return any(c.isdigit() for c in rest) and not LETTER.search(rest) and not _NO_VALUE.search(rest)


def _is_gap(cell: str) -> bool:
    """Whether a cell says nothing: without letters and digits, or a word for a gap."""
    text = cell.strip().lower()
    return text.lstrip("+-") in _WORDS or not any(c.isalnum() for c in text)


def _count_up(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers, each one more than the one before, or three or more at even steps."""
    if not all(re.fullmatch(r"\s*-?[0-9]{1,9}(\.[0-9]{1,6})?\s*", cell) for cell in cells) or len(cells) < 2:
        return False
    steps = {round(float(b) - float(a), 6) for a, b in pairwise(cells)}
    return steps == {1} or (len(cells) > 2 and len(steps) == 1 and steps != {0})
