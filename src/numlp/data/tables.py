"""Rows of numbers from a CSV file."""

import os
from array import array
from collections.abc import Sequence
from typing import NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from numlp.data.csv_dialect import CsvOptions, find_dialect
from numlp.data.csv_lines import check_empty, csv_lines, wrong_width
from numlp.errors import ArgumentError, FormatError, printable
from numlp.files import check_path

_MOST_COUNTED = 999


class Table(NamedTuple):
    """The numbers `x` (n, n_columns) float64, and the column names, or () for a file without a header."""

    x: NDArray[np.float64]
    names: tuple[str, ...]


def read_csv(path: str | os.PathLike[str], **csv: Unpack[CsvOptions]) -> Table:
    """Return a CSV file of numbers, with or without a line of column names.

    How the file is written is found by `find_dialect`, or given: `delimiter`, `quote`, `encoding`, `header`, `skip_rows`. A
    first line is one of names if its cells are no numbers: a gap or a wrong cell among numbers is an error, as in any
    other line, and a line of numbers only ("1,2,4") is a row: give one column a name with a letter, or header=True. A first
    line of 0, 1, 2 and so on, as pandas names the columns of an array, is refused without `header`.

    Errors  FormatError naming line and column for what is not a finite number, with the count, a row of another length or
        of more than 1,048,576 characters, an empty file or one that is not text; ArgumentError for an option that cannot
        be; OSError if it cannot be read.
    """
    path = check_path(path, "read_csv")
    where, dialect = os.fspath(path), find_dialect(path, csv)
    names = tuple(name.strip() for name in dialect.names if name is not None) if dialect.header else ()
    width, empty = len(dialect.names), [i for i, name in enumerate(dialect.names) if name is None]
    numbers = array("d")  # 8 bytes a number, whatever the length of a row
    first, bad = "", 0
    for line, cells in csv_lines(path, where, dialect):
        width = width or len(cells)
        if len(cells) != width:
            raise wrong_width(where, line, cells, width, dialect)
        for i in reversed(empty):
            check_empty(cells.pop(i), where, line, i)
        row = _numbers(cells)
        if row is None or not np.isfinite(row).all():
            wrong = [i for i, cell in enumerate(cells) if not _is_finite(cell)]
            name = names[wrong[0]][:40] if names else wrong[0] + 1
            first = first or f"{where} line {line} column {name!r}: {cells[wrong[0]][:40]!r} is not a finite number"
            bad += len(wrong)
            if bad > _MOST_COUNTED:
                break
        elif not bad:
            numbers.frombytes(row.tobytes())
    if bad:
        count = f"{bad}" if bad <= _MOST_COUNTED else f"more than {_MOST_COUNTED}"
        raise FormatError(f"{first}; {count} such cell{'s' if bad > 1 else ''} in the file")
    if not numbers:
        raise FormatError(f"{where}: file must have at least 1 row of numbers, got none")
    return Table(np.frombuffer(numbers).reshape(-1, width - len(empty)), names)


def split_target(table: Table, target: str, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (x, y): the other columns, and the column named `target`.

    Errors  ArgumentError as `column_place`.
    """
    i = column_place(table, target, where, "target")
    return np.delete(table.x, i, axis=1), table.x[:, i]


def drop_columns(table: Table, names: Sequence[str], where: str) -> Table:
    """Return a table without the columns of these names.

    Errors  ArgumentError as `column_place`, and if no column is left.
    """
    places = {column_place(table, name, where, "--drop") for name in names}
    if len(places) == table.x.shape[1]:
        raise ArgumentError(f"{where}: --drop must leave a column, got all of them")
    kept = tuple(name for i, name in enumerate(table.names) if i not in places)
    return Table(np.delete(table.x, sorted(places), axis=1), kept)


def column_place(table: Table, name: str, where: str, flag: str) -> int:
    """Return the place of a column; in a file without names its number, from 1, is its name.

    Errors  ArgumentError listing the columns if there is none of that name, or more than one.
    """
    width = table.x.shape[1]
    numbers = f"1 to {width}: the file has no line of names, so columns are named by their number"
    columns = printable(", ".join(table.names)) if table.names else numbers
    known = table.names or tuple(str(i + 1) for i in range(width))
    if name not in known:
        raise ArgumentError(f"{where}: {flag} must be one of the columns ({columns}), got {name!r}")
    if known.count(name) > 1:  # the other one would give the answer away
        raise ArgumentError(f"{where}: {flag} must be one column, got {name!r} more than once in ({columns})")
    return known.index(name)


def _numbers(cells: list[str]) -> NDArray[np.float64] | None:
    """Return the cells as numbers, None if one is not a number."""
    if "_" in "".join(cells):  # Python reads 1_000 as a number
        return None
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return None


def _is_finite(cell: str) -> bool:
    number = _numbers([cell])
    return number is not None and bool(np.isfinite(number).all())
