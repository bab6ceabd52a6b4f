"""Rows of numbers from a CSV file."""

import csv
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ArgumentError, FormatError


class Table(NamedTuple):
    """The numbers `x` (n, n_columns) float64, and the column names, or () for a file without a header."""

    x: NDArray[np.float64]
    names: tuple[str, ...]


def read_csv(path: str | os.PathLike[str]) -> Table:
    """Return a CSV file of numbers; a first line that is not all numbers is taken as the column names.

    Errors  FormatError naming line and column for what is not a finite number, a row of another length, an empty file or
        one that is not UTF-8 text; OSError if it cannot be read.
    """
    where = os.fspath(path)
    names: tuple[str, ...] = ()
    rows: list[NDArray[np.float64]] = []
    for line, cells in _lines(path, where):
        if not rows and not names and not _are_numbers(cells):
            names = tuple(cell.strip() for cell in cells)
            continue
        width = len(names) or len(rows[0] if rows else cells)
        if len(cells) != width:
            raise FormatError(f"{where} line {line}: row must have {width} columns, got {len(cells)}")
        try:
            row = np.array(cells, dtype=np.float64)
        except ValueError:
            row = np.array([np.nan])
        if not np.isfinite(row).all():
            column = next(i for i, cell in enumerate(cells) if not _are_numbers([cell]))
            name = names[column] if names else column + 1
            raise FormatError(f"{where} line {line} column {name!r}: {cells[column]!r} is not a finite number")
        rows.append(row)
    if not rows:
        raise FormatError(f"{where}: file must have at least 1 row of numbers, got none")
    return Table(np.stack(rows), names)


def split_target(table: Table, target: str, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (x, y): the other columns, and the column named `target`.

    Errors  ArgumentError listing the columns if there is none of that name.
    """
    if target not in table.names:
        columns = ", ".join(table.names) if table.names else "no names: the file has no header line"
        raise ArgumentError(f"{where}: target must be one of the columns ({columns}), got {target!r}")
    i = table.names.index(target)
    return np.delete(table.x, i, axis=1), table.x[:, i]


def _lines(path: str | os.PathLike[str], where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells), without empty lines."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except (csv.Error, UnicodeDecodeError) as error:
            raise FormatError(f"{where} line {reader.line_num + 1}: file must be CSV text in UTF-8, got {error}") from error


def _are_numbers(cells: list[str]) -> bool:
    try:
        return all(np.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False
