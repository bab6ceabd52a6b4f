"""Finding out how a CSV file is written, from its beginning: delimiter, quotes, encoding, and the line of column names.

Each delimiter and way of quoting is tried; the one is taken in which the lines before the names are fewest, the names are as
many as the cells of a row, most rows are of one length, no quotes are left in cells, most cells are values, and the columns
are most. Where another delimiter fits as well, the user is asked.
"""

import csv
import io
import os
import re
from itertools import islice
from typing import NamedTuple, TypedDict

from numlp.data.csv_header import LETTER, is_header, is_value, names_of_cells, numbers_as_names, row_width
from numlp.data.csv_lines import MAX_ROW, MOST_ABOVE, Dialect, find_encoding, open_text, skip_lines, strip_end
from numlp.errors import ArgumentError, FormatError, check_count, printable

_SAMPLE = 1 << 17  # characters that are looked at
_DELIMITERS = (",", ";", "\t", "|", " ")
_NAMED = {"tab": "\t", r"\t": "\t", "blank": " ", "space": " "}
_MOST_CELLS, _MOST_ROWS = 1000, 200  # that are looked at for values, and for quotes
_CLEARLY = 0.2  # more values of all cells, to prefer one delimiter to another
_SEP_LINE = re.compile(r'"?sep=(\\t|.)"?(\r\n|\r|\n)', re.IGNORECASE | re.DOTALL)


class CsvOptions(TypedDict, total=False):
    """What the user may say about a CSV file; what is None or left out is found.

    delimiter: one character, or "tab", or "blank" for any number of blanks; quote: one character or "none"; encoding: a
    codec of Python; header: whether the first line holds the column names; skip_rows: number of lines to leave out.
    """

    delimiter: str | None
    quote: str | None
    encoding: str | None
    header: bool | None
    skip_rows: int | None


class _Reading(NamedTuple):
    """The rows of the beginning, read in one way, with the number of the line that each ends at."""

    dialect: Dialect
    rows: list[tuple[int, list[str]]]


def find_dialect(path: str | os.PathLike[str], options: CsvOptions | None = None) -> Dialect:
    """Return how a CSV file is written, by its first 131,072 characters.

    Errors  ArgumentError for an option that cannot be; FormatError for a file that is not text, and for a first line that
        may be both names and a row; OSError if the file cannot be opened.
    """
    where, options = os.fspath(path), options or {}
    delimiter, quote, skip = _given(options, where)
    encoding = find_encoding(path, where, options.get("encoding"))
    text, whole = _beginning(path, where, encoding, skip)
    sep = 0
    if not skip and (said := _SEP_LINE.match(text)):
        delimiter, skip, sep, text = delimiter or _NAMED.get(said[1], said[1]), 1, 1, text[said.end() :]
    best = _best(_readings(text, whole, delimiter, quote), where)
    if best is None:
        return Dialect(delimiter or ",", '"' if quote is None else quote, encoding=encoding, skip=skip, notes=skip - sep)
    notes = _notes(best.rows) if options.get("skip_rows") is None else 0
    before = skip + (best.rows[notes - 1][0] if notes else 0)
    dialect = best.dialect._replace(encoding=encoding, skip=before, notes=before - sep)
    rows = [cells for _, cells in best.rows[notes:]]
    header = options.get("header")
    if header is None and (header := is_header(rows[0], rows[1:])) is None:
        advice = "use --header or --no-header, or --skip-rows if the table begins further down"
        raise FormatError(
            f"{where} line {dialect.skip + 1}: it must be clear whether this line holds the column names or a row, got "
            f"{printable(', '.join(rows[0]), 60)}; {advice}"
        )
    if not header and any(cells[0][:1] != "#" for _, cells in best.rows[:notes]):
        advice = f"use --skip-rows {dialect.skip}, if the rows begin below"
        advice += ", or --delimiter tab for a single column" if len(rows[0]) == 2 else ""
        raise FormatError(f"{where} line {skip + 1}: row must have {len(rows[0])} columns, got 1; {advice}")
    if not header:
        return dialect._replace(header=False, names=numbers_as_names(rows))
    names, shifted = names_of_cells(rows[0], rows[1:])
    return dialect._replace(skip=skip + best.rows[notes][0], names=names, row_names=shifted)


def describe_dialect(dialect: Dialect) -> str:
    """Return in words what is not ordinary about a CSV file, or nothing."""
    delimiter = {"\t": "tabs", " ": "blanks"}.get(dialect.delimiter, repr(dialect.delimiter))
    empty, n = dialect.names.count(None), dialect.notes
    words = {
        f"separated by {delimiter}": dialect.delimiter != ",",
        f"quoted by {dialect.quote!r}" if dialect.quote else "without quotes": dialect.quote != '"',
        "with \\ before a quote in quotes": dialect.escape,
        "with blanks before quotes": dialect.blanks,
        dialect.encoding.upper(): dialect.encoding != "utf-8-sig",
        f"{n} line{'s' * (n > 1)} before the column names left out": n and dialect.header,
        f"{n} line{'s' * (n > 1)} before the first row left out": n and not dialect.header,
        "no line of column names: they are 1, 2, ...": not dialect.header,
        "the first cell of a row has no column name": dialect.row_names,
        f"{empty} empty column{'s' * (empty > 1)} without a name left out": empty,
    }
    return ", ".join(text for text, said in words.items() if said)


def _given(options: CsvOptions, where: str) -> tuple[str | None, str | None, int]:
    """Return delimiter, quote and the number of lines to leave out, as the user gives them."""
    delimiter, quote, skip = options.get("delimiter"), options.get("quote"), options.get("skip_rows")
    if delimiter is not None:
        delimiter = _NAMED.get(delimiter, delimiter)
        if len(delimiter) != 1 or delimiter in '"\r\n\0':
            raise ArgumentError(f"{where}: --delimiter must be one character, tab or blank, got {delimiter!r}")
    if quote is not None:
        quote = "" if quote == "none" else quote
        if len(quote) > 1 or quote in (delimiter, "\r", "\n", "\0", " "):
            raise ArgumentError(f"{where}: --quote must be one character beside the delimiter, or none, got {quote!r}")
    return delimiter, quote, 0 if skip is None else check_count(skip, where, "--skip-rows", least=0)


def _beginning(path: str | os.PathLike[str], where: str, encoding: str, skip: int) -> tuple[str, bool]:
    """Return the beginning of a file behind `skip` lines, up to the end of a line, and whether that is the whole file."""
    with open_text(path, where, encoding) as file:
        skip_lines(file, skip, where)
        text = file.read(_SAMPLE)
        whole = len(text) < _SAMPLE
        if not whole:  # up to the last end of a line
            text += file.readline(MAX_ROW)
            text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    if text.count("\0") * 4 > len(text):
        advice = "--encoding utf-16-le, or utf-16-be"
        raise FormatError(f"{where}: file must be CSV text, got NUL in more than a quarter; use {advice}, if it is text")
    return text, whole


def _readings(text: str, whole: bool, delimiter: str | None, quote: str | None) -> list[_Reading]:
    """Return the ways in which a text can be read as rows."""
    found: list[_Reading] = []
    for mark in _DELIMITERS if delimiter is None else (delimiter,):
        if mark not in text and delimiter is None and mark != ",":
            continue
        for character in _quotes(text, mark) if quote is None else (quote,):
            for dialect in _variants(text, Dialect(mark, character)):
                rows = _rows(text, whole, dialect)
                if rows == [] and text and character == '"':  # the first row is longer than what is looked at
                    return []
                if rows is not None:
                    found.append(_Reading(dialect, rows))
        if quote is None and not any(reading.dialect.delimiter == mark for reading in found) and not _has_quoted(text, mark):
            found.append(_Reading(Dialect(mark, ""), _rows(text, whole, Dialect(mark, "")) or []))
    return found


def _variants(text: str, dialect: Dialect) -> list[Dialect]:
    """Return a dialect with and without backslashes before quotes in cells, and blanks before a cell in quotes."""
    found = [dialect]
    if dialect.quote:
        quote, delimiter = re.escape(dialect.quote), re.escape(dialect.delimiter)
        if re.search(rf"(?<!\\)(\\\\)*\\{quote}", text):
            found.insert(0, dialect._replace(escape="\\"))
        if dialect.delimiter != " " and re.search(f"{delimiter} +{quote}", text):
            found += [variant._replace(blanks=True) for variant in found]
    return found


def _quotes(text: str, delimiter: str) -> tuple[str, ...]:
    """Return the quotes to try, the likely one first: that with which a cell begins."""
    double, single = (re.search(f"(^|[\r\n{re.escape(delimiter)}]){quote}", text) for quote in "\"'")
    return ('"',) if not single else ('"', "'") if double else ("'", '"')


def _has_quoted(text: str, delimiter: str) -> bool:
    """Whether a cell begins and ends with a quote."""
    cells = (cell.strip() for cell in re.split(f"[\r\n{re.escape(delimiter)}]", text))
    return any(cell[:1] == cell[-1:] == '"' and len(cell) > 1 for cell in cells)


def _rows(text: str, whole: bool, dialect: Dialect) -> list[tuple[int, list[str]]] | None:
    """Return the rows of a text that are whole, None if it cannot be read so."""
    reader = dialect.reader(strip_end(line, dialect.delimiter) for line in io.StringIO(text, newline=""))
    rows = []
    try:
        for cells in reader:
            if cells:
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        cut = not whole and "unexpected end" in str(error)
        return rows if cut or "field limit" in str(error) else None
    return rows


def _best(readings: list[_Reading], where: str) -> _Reading | None:
    """Return the reading that fits best, None if none has a row; FormatError if another delimiter fits as well."""
    scored = sorted(((_score(reading), -i) for i, reading in enumerate(readings) if reading.rows), reverse=True)
    if not scored:
        return None
    highest, best = scored[0][0], readings[-scored[0][1]]
    for score, i in scored[1:]:
        mark, own = readings[-i].dialect.delimiter, best.dialect.delimiter
        if mark != own and score[0] and score[:6] == highest[:6] and score[6] > highest[6] - _CLEARLY:
            marks = f"{own!r} and {mark!r}, which both separate each row into as many cells"
            raise FormatError(f"{where}: file must have one delimiter, got {marks}; use --delimiter")
    return best


def _score(reading: _Reading) -> tuple[float, ...]:
    """Return how well a reading fits, to be compared with that of another."""
    notes = _notes(reading.rows)
    rows = [cells for _, cells in reading.rows[notes:]]
    width, below = row_width(rows), rows[1:]
    same = sum(len(cells) == width for cells in below) / max(len(below), 1) if below else 1.0
    cells = list(islice((cell for row in below or rows for cell in row), _MOST_CELLS))
    values = sum(map(is_value, cells)) / max(len(cells), 1)
    names, shifted = names_of_cells(rows[0], below) if rows else ((), False)
    fits = len(names) == width and not shifted
    likely = width > 1 and same >= 0.5
    blank = reading.dialect.delimiter == " "
    if blank:  # else text: numbers, or names in quotes as R writes them; a line of one word may be the name of one column
        likely = likely and same == 1 and values >= 0.5 and (fits or rows[0][0][:1] == '"')
        likely = likely and (not notes or reading.rows[0][1][0][:1] == "#" or is_header(rows[0], below) is True)
    inside = sum(cell.count('"') + cell.count("'") for row in rows[:_MOST_ROWS] for cell in row)
    return likely, not blank, -notes, fits, same, -inside, values, width


def _notes(rows: list[tuple[int, list[str]]]) -> int:
    """Return how many rows at the beginning are lines of text, comments or empty cells, and no row of the table."""
    lines = [cells for _, cells in rows]
    width = row_width(lines)
    if width < 2:
        return 0
    empty = max((k for k, cells in enumerate(lines[:MOST_ABOVE]) if not any(cells)), default=-1)
    above, below = lines[: empty + 1], lines[empty + 1 :]
    if above and below and below[0][-1] and not any(cells[-1] for cells in above) and is_header(below[0], below[1:]):
        return len(above)  # a spreadsheet with lines above the table, which fill less than its columns
    count = next((k for k, cells in enumerate(lines) if not _is_note(cells)), 0)
    while count and not any(lines[count - 1]) and is_header(lines[count], lines[count + 1 :]) is False:
        count -= 1  # a row of gaps
    return count


def _is_note(cells: list[str]) -> bool:
    """Whether a row of a table with several columns is a line of text, a comment, or cells that are all empty."""
    return not any(cells[1:]) and (not cells[0] or cells[0][:1] == "#" or LETTER.search(cells[0]) is not None)
