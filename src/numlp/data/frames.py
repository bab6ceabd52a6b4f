"""Tables of numbers and text from CSV and Parquet files, as Arrow tables; what cannot be read is named by line, column."""

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from shlex import quote
from typing import Any

from numlp.data.dates import as_utc
from numlp.data.tables import csv_lines
from numlp.errors import FormatError, MissingExtraError, printable

SUFFIXES = (".csv", ".csv.gz", ".parquet")
# checked before anything is decoded: what a small file could make the reader hold
MOST_COLUMNS = 20_000
MOST_BYTES = 4 << 30
MOST_UNPACKED = 1 << 30  # of the text behind a .csv.gz; a plain file may have any size
_NEARLY = 0.9  # a column with this share of numbers is one of numbers, and its texts are errors
# as Arrow reads them; a number that is not finite is found later
_NUMBER = r"^([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(?i:nan))$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
_DECIMAL_COMMA = r"^([+-]?[0-9]*),([0-9]+([eE][+-]?[0-9]+)?)$"
_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"


def is_frame(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a table by its name."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def read_frame(
    path: str | os.PathLike[str],
    *,
    missing: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
) -> Any:
    """Return a CSV or Parquet file, as its name says, as a pyarrow.Table of numbers, text and dates.

    An empty cell is a gap. Cells are parted by commas, or as the line of names is by semicolons or tabs: then a number may
    have a decimal comma. A column of a CSV file is one of numbers (float64, of which nan is a gap) or of dates (ISO 8601,
    with or without a time) if all its cells are, and text otherwise; if nine of ten are, the others are errors. A Parquet
    file says itself what its columns are.

    Parameters
    ----------
    path
        .csv or .csv.gz, UTF-8 with a line of column names; or .parquet.
    missing
        Texts in a CSV file that are gaps, such as n/a.
    kinds
        {column of a CSV file: what it is}: "category" for text whatever it holds, "number" or "date" for what it must be.
    drop
        Columns to leave out, without a look at what they hold.

    Errors  MissingExtraError without pyarrow; FormatError naming the file, and line and column where there is one; OSError
        if the file cannot be opened.
    """
    where = os.fspath(path)
    if not _is_parquet(path, where):
        return read_csv_frame(path, missing=missing, kinds=kinds, drop=drop)
    if missing:
        raise FormatError(f"{where}: file must be CSV text for --missing, got Parquet, which has gaps of its own")
    return read_parquet_frame(path, drop=drop)


def _is_parquet(path: str | os.PathLike[str], where: str) -> bool:
    """Whether a table is Parquet, by its name; FormatError if the content is not what the name says."""
    if not is_frame(path):
        raise FormatError(f"{where}: file must be a table, its name ending with {', '.join(SUFFIXES)}")
    with open(path, "rb") as file:
        head = file.read(4)
    name = where.lower()
    found = "Parquet" if head == _PARQUET else "gzip" if head[:2] == _GZIP else "something else"
    wanted = "Parquet" if name.endswith(".parquet") else "gzip" if name.endswith(".gz") else "something else"
    if found != wanted:
        expected = {"Parquet": "Parquet", "gzip": "CSV text in gzip", "something else": "CSV text"}[wanted]
        raise FormatError(f"{where}: file must be {expected}, as its name says, got {found}")
    return wanted == "Parquet"


def column_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the columns of a CSV or Parquet file, without a look at the rows.

    Errors  as `read_frame`.
    """
    where = os.fspath(path)
    if not _is_parquet(path, where):
        return _header(path, where)
    pa = _pyarrow()
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return _names(file.schema_arrow.names, where)
    except (pa.ArrowException, MemoryError, UnicodeError, OSError) as error:
        raise _damaged(error, where) from error


def read_csv_frame(
    path: str | os.PathLike[str],
    *,
    missing: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
) -> Any:
    """Read a CSV file, whatever its name; as `read_frame`."""
    pa, where = _pyarrow(), os.fspath(path)
    if where.lower().endswith(".gz"):
        _check_unpacked(path, where)
    names = _header(path, where)
    delimiter = _delimiter(path, where)
    try:
        kept = [name for name in names if name not in set(drop)]
        table = _cells(path, names, kept, missing, delimiter)
        if not table.num_rows:
            raise FormatError(f"{where}: file must have at least 1 row below the column names, got none")
        for i, name in enumerate(kept):  # one after the other: the text of a column goes when its numbers are there
            column = _column(table.column(i), path, name, names.index(name), (kinds or {}).get(name), delimiter)
            table = table.set_column(i, name, column)
    except (pa.ArrowException, MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        _complain(path, where, len(names))
        raise FormatError(f"{where}: file must be CSV text, got {_first_line(error)}") from error
    return table


def read_parquet_frame(path: str | os.PathLike[str], *, drop: Collection[str] = ()) -> Any:
    """Read a Parquet file, whatever its name; as `read_frame`.

    What its footer declares is checked before a page is decoded, checksums and codes of dictionaries after it.
    """
    pa, where = _pyarrow(), os.fspath(path)
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            kept = _declared(file, where, drop)
            table = file.read(columns=kept, use_threads=False).select(kept)
        table.validate(full=True)
    except (pa.ArrowException, MemoryError, UnicodeError, OSError) as error:
        raise _damaged(error, where) from error
    if not table.num_rows:
        raise FormatError(f"{where}: file must have at least 1 row, got none")
    return table


def _damaged(error: BaseException, where: str) -> BaseException:
    """Return what to raise for what Arrow says about a Parquet file."""
    if isinstance(error, OSError) and error.errno:
        return error
    return FormatError(f"{where}: file must be whole Parquet, got {_first_line(error)}")


def _pyarrow() -> Any:
    try:
        import pyarrow.csv
    except ImportError as error:
        raise MissingExtraError(f"a table from a file needs pyarrow: pip install 'numlp[table]' ({error})") from error
    return pyarrow


def _header(path: str | os.PathLike[str], where: str) -> list[str]:
    """Return the column names of a CSV file."""
    _, names = next(_lines(path, where), (0, []))
    if not names:
        raise FormatError(f"{where}: file must have a line of column names, got an empty file")
    return _names(names, where)


def _delimiter(path: str | os.PathLike[str], where: str) -> str:
    """Return what parts the cells of a CSV file, by its line of names."""
    _, names = next(csv_lines(path, where), (0, []))
    return next((mark for mark in ";\t" if len(names) == 1 and mark in names[0]), ",")


def _lines(path: str | os.PathLike[str], where: str) -> Iterator[tuple[int, list[str]]]:
    return csv_lines(path, where, _delimiter(path, where))


def _check_unpacked(path: str | os.PathLike[str], where: str) -> None:
    """Raise FormatError if gzip is damaged, or holds more text than it may, before any of it is kept."""
    size = 0
    try:
        with gzip.open(path) as stream:
            while piece := stream.read(1 << 20):
                size += len(piece)
                if size > MOST_UNPACKED:
                    raise FormatError(
                        f"{where}: text behind gzip must have at most {MOST_UNPACKED:,} bytes, got more; unpack it first"
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(f"{where}: file must be whole gzip, got {error}") from error


def _names(names: list[str], where: str) -> list[str]:
    """Return the names if they are a table's: not too many, and each once."""
    if not 0 < len(names) <= MOST_COLUMNS:
        raise FormatError(f"{where}: file must have 1 to {MOST_COLUMNS:,} columns, got {len(names):,}")
    name, times = Counter(names).most_common(1)[0]
    if any("\0" in name for name in names):
        raise FormatError(f"{where}: column names must be text, got a NUL character in one")
    if times > 1:
        raise FormatError(f"{where}: column names must differ, got {printable(name, 60)!r} {times} times")
    return names


def _cells(path: str | os.PathLike[str], names: list[str], kept: list[str], missing: Sequence[str], delimiter: str) -> Any:
    """Return a CSV file as a table of text, with gaps."""
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=kept,
        null_values=["", *missing],
        strings_can_be_null=True,
    )
    return csv.read_csv(
        os.fspath(path),
        read_options=csv.ReadOptions(use_threads=False),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=options,
    )


def _column(cells: Any, path: str | os.PathLike[str], name: str, place: int, kind: str | None, delimiter: str) -> Any:
    """Return a column's cells as numbers or dates if that is what they are, else as they are."""
    from pyarrow import compute

    if compute.any(compute.match_substring(cells, "\0")).as_py():
        line = next(n for n, row in _lines(path, os.fspath(path)) if "\0" in row[place])
        raise FormatError(
            f"{os.fspath(path)} line {line} column {printable(name, 60)!r}: cell must be text, got a NUL character"
        )
    if kind == "category":
        return cells
    plain = compute.utf8_trim_whitespace(cells)
    if delimiter != ",":
        plain = compute.replace_substring_regex(plain, _DECIMAL_COMMA, r"\1.\2")
    whole = len(cells) - cells.null_count
    for read, what in ((_numbers, "number"), (_dates, "date")):
        if kind in (None, what):
            values, wrong = read(plain)
            bad = compute.sum(wrong).as_py() or 0
            if values is not None and not bad:
                return values
            if values is not None or kind or whole - bad >= _NEARLY * whole:
                raise FormatError(_complaint(path, name, place, cells.filter(wrong)[0].as_py(), bad, what, kind))
    return cells


def _numbers(cells: Any) -> tuple[Any, Any]:
    """Return text as numbers, None if some are not, and which are none or not finite."""
    import pyarrow as pa
    from pyarrow import compute

    try:
        values = cells.cast(pa.float64())
        return values, compute.is_inf(values)
    except pa.ArrowInvalid:
        return None, compute.invert(compute.match_substring_regex(cells, _NUMBER))


def _dates(cells: Any) -> tuple[Any, Any]:
    """Return text as times in UTC, None if some are not, and which are none."""
    import pyarrow as pa
    from pyarrow import compute

    shaped = compute.match_substring_regex(cells, _DATE)
    if (compute.sum(shaped).as_py() or 0) < _NEARLY * (len(cells) - cells.null_count):  # no dates: spare the look at each
        return None, compute.invert(shaped)
    values = pa.chunked_array([pa.array(map(_time, cells.to_pylist()), pa.timestamp("us"))])
    wrong = compute.and_(cells.is_valid(), values.is_null())
    return None if compute.any(wrong).as_py() else values, wrong


def _time(text: str | None) -> datetime | None:
    """Return the time that a text names, in UTC, None if it names none."""
    try:
        return None if text is None else as_utc(datetime.fromisoformat(text))
    except ValueError:  # such as the 30th of February
        return None


def _complaint(
    path: str | os.PathLike[str], name: str, place: int, cell: str, count: int, what: str, kind: str | None
) -> str:
    """Return what is to be said about a cell that is not what the others of its column are."""
    where, shown = os.fspath(path), printable(cell, 40)
    line = next(n for n, cells in _lines(path, where) if n > 1 and len(cells) > place and cells[place] == cell)
    a_number = "a finite number" if cell.strip().lower().lstrip("+-").startswith("inf") else "a number"
    wanted = a_number if what == "number" else "a date such as 2026-11-29 or 2026-11-29T08:30"
    or_text = "" if kind else f", or --categorical {quote(printable(name, 60))}"
    cells = f"{count:,} such cell{'s' if count > 1 else ''} in the file"
    at = f"{where} line {line} column {printable(name, 60)!r}"
    return f"{at}: {shown!r} is not {wanted}; use --missing {quote(shown)}{or_text}; {cells}"


def _complain(path: str | os.PathLike[str], where: str, width: int) -> None:
    """Look for what is wrong with a CSV file that Arrow refuses, line by line, and raise FormatError if it is found."""
    for line, cells in _lines(path, where):
        if len(cells) != width:
            raise FormatError(f"{where} line {line}: row must have {width:,} columns, got {len(cells):,}")


def _declared(file: Any, where: str, drop: Collection[str]) -> list[str]:
    """Return the names of the columns to read, if what a Parquet file declares is a table of a size that can be."""
    from pyarrow import types

    about, schema = file.metadata, file.schema_arrow
    names = _names(schema.names, where)
    declared = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    size = max(declared, about.num_rows * len(names) * 8)
    if size > MOST_BYTES:
        raise FormatError(f"{where}: table must take at most {MOST_BYTES:,} bytes, got {size:,} declared")
    kept = [name for name in names if name not in set(drop)]
    for name in kept:
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        text = types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind) or types.is_null(kind)
        if not (number or text or types.is_date(kind) or types.is_timestamp(kind)):
            shown, got = printable(name, 60), printable(str(kind), 80)
            raise FormatError(
                f"{where}: column {shown!r} must hold numbers, text or dates, got {got}; use --drop {quote(shown)}"
            )
    return kept


def _first_line(error: BaseException) -> str:
    return printable((str(error).splitlines() or [type(error).__name__])[0], 200)
