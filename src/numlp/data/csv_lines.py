"""Text and rows of CSV files as they are read, with bounds, and errors that name the line."""

import codecs
import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

from numlp.errors import ArgumentError, FormatError, printable
from numlp.files import os_errors

MAX_ROW = 1 << 20  # characters: a row is held as text, at up to 60 bytes a cell
MOST_ABOVE = 20  # lines that may stand above a table
_MARKS = (  # byte order marks; that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


class Dialect(NamedTuple):
    """How a CSV file is written.

    Attributes
    ----------
    delimiter, quote, escape : str
        One character each; " " stands for any number of blanks, an empty quote or escape for none.
    encoding : str
        A codec of Python.
    header : bool
        Whether a line of column names was found.
    names : tuple
        The name of each cell of a row; None for a column without a name whose cells are empty.
    skip : int
        Number of lines before the first row, that of the names included.
    notes : int
        Number of lines before the names.
    row_names : bool
        Whether the line of names is one short, as R writes it: the first column has no name.
    blanks : bool
        Whether blanks between a delimiter and the cell behind it are left out, as they stand before quotes.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    encoding: str = "utf-8-sig"
    header: bool = True
    names: tuple[str | None, ...] = ()
    skip: int = 0
    notes: int = 0
    row_names: bool = False
    blanks: bool = False

    def columns(self) -> list[str]:
        """Return the names of the columns that are read."""
        return [name for name in self.names if name is not None]

    def reader(self, lines: Iterator[str]) -> Any:
        """Return a csv.reader of lines of text."""
        return csv.reader(
            lines, strict=True, delimiter=self.delimiter, quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape or None, skipinitialspace=self.blanks or self.delimiter == " ",
        )  # fmt: skip


def find_encoding(path: str | os.PathLike[str], where: str, given: str | None) -> str:
    """Return the codec of a text file: that of its byte order mark, else `given`, else UTF-8.

    Errors  ArgumentError if `given` is unknown or not that of the mark.
    """
    try:
        name = codecs.lookup(given or "utf-8").name
        io.TextIOWrapper(io.BytesIO(), name)  # refuses what is no encoding of text
    except (LookupError, ValueError):
        raise ArgumentError(f"{where}: --encoding must be one that Python knows, such as cp1252, got {given!r}") from None
    with _binary(path, where) as file:
        head = file.read(4)
    found = next((codec for mark, codec in _MARKS if head.startswith(mark)), None)
    if found and given and not name.startswith(found.removesuffix("-sig")):
        raise ArgumentError(f"{where}: --encoding must be that of the file's byte order mark, {found}, got {given!r}")
    return found or ("utf-8-sig" if name == "utf-8" else name)


@contextmanager
def open_text(path: str | os.PathLike[str], where: str, encoding: str) -> Iterator[TextIO]:
    """Open a text file, in gzip if its name says so, with line ends as they are.

    Errors  FormatError naming the line of a wrong byte, and for gzip that is not whole; OSError if it cannot be opened.
    """
    with _binary(path, where) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        try:
            yield text
        except UnicodeError as error:
            raise _wrong_byte(path, where, encoding) from error


def csv_lines(path: str | os.PathLike[str], where: str, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the rows of a CSV file, without empty lines.

    Errors  FormatError for a row of more than 1,048,576 characters, and as `open_text`.
    """
    taken = 0  # characters of the row being read, which may have many lines

    def lines(file: TextIO) -> Iterator[str]:
        nonlocal taken
        while text := file.readline(MAX_ROW + 1 - taken):
            taken += len(text)
            if taken > MAX_ROW:
                raise row_too_long(where, dialect.skip + reader.line_num + 1)
            yield strip_end(text, dialect.delimiter)

    with open_text(path, where, dialect.encoding) as file:
        skip_lines(file, dialect.skip, where)
        reader = dialect.reader(lines(file))
        try:
            for cells in reader:
                taken = 0
                if cells:
                    yield dialect.skip + reader.line_num, cells
        except csv.Error as error:
            line = dialect.skip + reader.line_num
            raise FormatError(f"{where} line {line}: file must be CSV text, got {printable(str(error))}") from error


def strip_end(line: str, delimiter: str) -> str:
    """Return a line without the blanks at its end where blanks separate cells."""
    return line.rstrip(" \r\n") + "\n" if delimiter == " " and '"' not in line and "'" not in line else line


def skip_lines(file: TextIO, count: int, where: str) -> None:
    """Read over the first lines of a file."""
    for line in range(count):
        if len(file.readline(MAX_ROW + 1)) > MAX_ROW:
            raise row_too_long(where, line + 1)


def check_empty(cell: str | None, where: str, line: int, place: int) -> None:
    """Raise FormatError for a cell with text in a column without a name that was found to be empty."""
    if cell:
        raise FormatError(
            f"{where} line {line} column {place + 1}: cell must be empty in a column without a name, got "
            f"{printable(cell, 40)!r}; give the column a name"
        )


def wrong_width(where: str, line: int, cells: list[str], width: int, dialect: Dialect) -> FormatError:
    """Return what to raise for a row that has not as many cells as the names, or as the other rows."""
    if line <= dialect.skip + 1 or (len(cells) > width and line <= dialect.skip + MOST_ABOVE):
        advice = "use --skip-rows, if the table begins further down"
    elif len(cells) > width:
        advice = f"put a cell that holds {dialect.delimiter!r} in quotes"
    else:
        advice = "complete the row, or delete it"
    return FormatError(f"{where} line {line}: row must have {width:,} columns, got {len(cells):,}; {advice}")


def row_too_long(where: str, line: int) -> FormatError:
    """Return what to raise for a row beyond the limit."""
    return FormatError(f"{where} line {line}: row must have at most {MAX_ROW:,} characters, got more")


@contextmanager
def _binary(path: str | os.PathLike[str], where: str) -> Iterator[Any]:
    opened: Any = gzip.open if where.lower().endswith(".gz") else open
    with os_errors(path), opened(path, "rb") as file:
        try:
            yield file
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(f"{where}: file must be whole gzip, got {error}") from error


def _wrong_byte(path: str | os.PathLike[str], where: str, encoding: str) -> FormatError:
    """Return what to raise for a file with a byte that its encoding does not have: its line, and what stands before it."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line, before, got, kind = 1, "", "no whole character at the end", encoding.removesuffix("-sig").upper()
    with _binary(path, where) as file:
        try:
            while piece := file.read(1 << 16):
                text = decoder.decode(piece)
                line, before = line + text.count("\n"), (before + text)[-40:]
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            text = io.IncrementalNewlineDecoder(None, translate=True).decode(
                error.object[: error.start].decode(encoding, "ignore"), final=True
            )
            line, before = line + text.count("\n"), (before + text)[-40:]
            got = f"the byte 0x{error.object[error.start]:02x}, {error.reason}"
        except UnicodeError as error:  # no byte order mark
            got = printable(str(error), 100)
    after = f", after {printable(before.rpartition(chr(10))[2][-20:])!r}" if before else ""
    advice = "--encoding cp1252 for a file of Windows" if kind == "UTF-8" else "another --encoding"
    return FormatError(f"{where} line {line}: file must be CSV text in {kind}, got {got}{after}; use {advice}")
