"""Rows of numbers from a CSV file."""

import csv
import gzip
import os
import zlib
from array import array
from collections.abc import Iterator
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from numlp.errors import ArgumentError, FormatError, printable
from numlp.files import check_path, os_errors

_MAX_ROW = 1 << 20  # characters: a row is held as text, at up to 60 bytes a cell
_MOST_COUNTED = 999


class Table(NamedTuple):
    """The numbers `x` (n, n_columns) float64, and the column names, or () for a file without a header."""

    x: NDArray[np.float64]
    names: tuple[str, ...]


def read_csv(path: str | os.PathLike[str]) -> Table:
    """Return a CSV file of numbers; a first line with a cell that is no number is taken as the column names.

    So a header in which every name is a number ("0,1,2") is taken as a row: give one column a name with a letter.

    Errors  FormatError naming line and column for what is not a finite number, with the count, a row of another length or
        of more than 1,048,576 characters, an empty file or one that is not UTF-8 text; OSError if it cannot be read.
    """
    path = check_path(path, "read_csv")
    where = os.fspath(path)
    names: tuple[str, ...] = ()
    width, numbers = 0, array("d")  # 8 bytes a number, whatever the length of a row
    first, bad = "", 0
    for line, cells in csv_lines(path, where):
        row = _numbers(cells)
        if row is None and not width:
            names = tuple(cell.strip() for cell in cells)
            width = len(names)
            continue
        width = width or len(cells)
        if len(cells) != width:
            raise FormatError(f"{where} line {line}: row must have {width} columns, got {len(cells)}")
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
    return Table(np.frombuffer(numbers).reshape(-1, width), names)


def split_target(table: Table, target: str, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (x, y): the other columns, and the column named `target`.

    Errors  ArgumentError listing the columns if there is none of that name, or more than one.
    """
    columns = printable(", ".join(table.names)) if table.names else "no names: the file has no header line"
    if target not in table.names:
        raise ArgumentError(f"{where}: target must be one of the columns ({columns}), got {target!r}")
    if table.names.count(target) > 1:  # the other one would give the answer away
        raise ArgumentError(f"{where}: target must be one column, got {target!r} more than once in ({columns})")
    i = table.names.index(target)
    return np.delete(table.x, i, axis=1), table.x[:, i]


def csv_lines(path: str | os.PathLike[str], where: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of a CSV file, in gzip if its name says so, without empty lines.

    Errors  FormatError for a row of more than 1,048,576 characters, what is not UTF-8 text, and gzip that is not whole;
        OSError if it cannot be read.
    """
    taken = 0  # characters of the row being read, which may have many lines

    def lines(file: TextIO) -> Iterator[str]:
        nonlocal taken
        while text := file.readline(_MAX_ROW + 1 - taken):
            taken += len(text)
            if taken > _MAX_ROW:
                raise FormatError(
                    f"{where} line {reader.line_num + 1}: row must have at most {_MAX_ROW:,} characters, got more"
                )
            yield text

    opened = gzip.open if where.lower().endswith(".gz") else open
    with os_errors(path), opened(path, "rt", newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(lines(file), strict=True, delimiter=delimiter)
        try:
            for cells in reader:
                taken = 0
                if cells:
                    yield reader.line_num, cells
        except csv.Error as error:
            raise FormatError(
                f"{where} line {reader.line_num}: file must be CSV text, got {printable(str(error))}"
            ) from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(f"{where}: file must be whole gzip, got {error}") from error
        except UnicodeDecodeError as error:  # the file is decoded ahead of the reader: the line is not known
            byte = error.object[error.start]
            raise FormatError(
                f"{where}: file must be CSV text in UTF-8, got the byte 0x{byte:02x}, {error.reason}"
            ) from error


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
