"""Tables of numbers and text from CSV and Parquet files, as Arrow tables; what cannot be read is named by line, column."""

import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from csv import writer
from datetime import datetime
from shlex import quote
from typing import Any, Unpack

from numlp.data.csv_dialect import CsvOptions, find_dialect
from numlp.data.csv_lines import MAX_ROW, Dialect, check_empty, csv_lines
from numlp.data.dates import as_utc
from numlp.errors import ArgumentError, FormatError, MissingExtraError, printable

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
    **csv: Unpack[CsvOptions],
) -> Any:
    """Return a CSV or Parquet file, as its name says, as a pyarrow.Table of numbers, text and dates.

    How a CSV file is written is found by `find_dialect`, or given. An empty cell is a gap. Where cells are not separated by
    commas, a number may have a decimal comma. A column of a CSV file is one of numbers (float64, of which nan is a gap) or
    of dates (ISO 8601, with or without a time) if all its cells are, and text otherwise; if nine of ten are, the others are
    errors. A Parquet file says itself what its columns are.

    Parameters
    ----------
    path
        .csv, .csv.gz, or .parquet.
    missing
        Texts in a CSV file that are gaps, such as n/a.
    kinds
        {column of a CSV file: what it is}: "category" for text whatever it holds, "number" or "date" for what it must be.
    drop
        Columns to leave out, without a look at what they hold.
    delimiter, quote, encoding, header, skip_rows
        As `CsvOptions`: how a CSV file is written, where it is not found rightly. The columns of a file without a line of
        names are named by their numbers, from "1".

    Errors  MissingExtraError without pyarrow; FormatError naming the file, and line and column where there is one; OSError
        if the file cannot be opened.
    """
    where = os.fspath(path)
    if not _is_parquet(path, where):
        return read_csv_frame(path, missing=missing, kinds=kinds, drop=drop, **csv)
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


def column_names(path: str | os.PathLike[str], **csv: Unpack[CsvOptions]) -> list[str]:
    """Return the names of the columns of a CSV or Parquet file, without a look at the rows.

    Errors  as `read_frame`.
    """
    dialect = frame_dialect(path, **csv)
    if dialect:
        return [name for name in dialect.names if name is not None]
    where = os.fspath(path)
    pa = _pyarrow()
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return _names(file.schema_arrow.names, where)
    except (pa.ArrowException, MemoryError, UnicodeError, OSError) as error:
        raise _damaged(error, where) from error


def frame_dialect(path: str | os.PathLike[str], **csv: Unpack[CsvOptions]) -> Dialect | None:
    """Return how the CSV file of a table is written, None for Parquet.

    Errors  as `read_frame`.
    """
    where = os.fspath(path)
    if not _is_parquet(path, where):
        return _table_dialect(path, where, csv)
    if given := [name for name, value in csv.items() if value is not None]:
        flag = f"--{given[0].replace('_', '-')}"
        raise ArgumentError(f"{where}: file must be CSV text for {flag}, got Parquet")
    return None


def read_csv_frame(
    path: str | os.PathLike[str],
    *,
    missing: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
    **csv: Unpack[CsvOptions],
) -> Any:
    """Read a CSV file, whatever its name; as `read_frame`."""
    pa, where = _pyarrow(), os.fspath(path)
    if where.lower().endswith(".gz"):
        _check_unpacked(path, where)
    dialect = _table_dialect(path, where, csv)
    kept = {i: name for i, name in enumerate(dialect.names) if name is not None and name not in drop}
    try:
        columns = _cells(path, where, dialect, list(kept), missing)
        if not len(columns[0] if columns else ()):
            raise _no_rows(where)
        for k, (i, name) in enumerate(kept.items()):  # in turn: the text of a column goes when its numbers are there
            columns[k] = _column(columns[k], path, name, i, (kinds or {}).get(name), dialect)
    except (pa.ArrowException, MemoryError, UnicodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        _complain(path, where, dialect)
        raise FormatError(f"{where}: file must be CSV text, got {_first_line(error)}") from error
    return pa.table(columns, names=list(kept.values()))


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


def _table_dialect(path: str | os.PathLike[str], where: str, options: CsvOptions) -> Dialect:
    """Return how the CSV file of a table is written."""
    dialect = find_dialect(path, options)
    if not dialect.names:
        raise FormatError(f"{where}: file must have a line of column names, got an empty file")
    _names([name for name in dialect.names if name is not None], where)
    return dialect


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


def _cells(path: str | os.PathLike[str], where: str, dialect: Dialect, kept: list[int], missing: Sequence[str]) -> list[Any]:
    """Return columns of a CSV file, by their places, as text with gaps."""
    import pyarrow as pa
    from pyarrow import csv

    places = kept + [i for i, name in enumerate(dialect.names) if name is None]
    names = list(map(str, range(len(dialect.names))))
    source: Any = where
    if dialect.delimiter == " ":  # any number of blanks, which Arrow cannot separate by
        text = io.StringIO()
        writer(text).writerows(cells for _, cells in csv_lines(path, where, dialect))
        source, dialect = io.BytesIO(text.getvalue().encode()), Dialect(names=dialect.names)
    table = csv.read_csv(
        source,
        read_options=csv.ReadOptions(
            use_threads=False, column_names=names, skip_rows=dialect.skip, block_size=4 * MAX_ROW,
            encoding=dialect.encoding.removesuffix("-sig"),
        ),
        parse_options=csv.ParseOptions(
            delimiter=dialect.delimiter, quote_char=dialect.quote or False, escape_char=dialect.escape or False,
            newlines_in_values=True,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), include_columns=[names[i] for i in places],
            null_values=["", *missing], strings_can_be_null=True,
        ),
    )  # fmt: skip
    for place, column in list(zip(places, table.columns, strict=True))[len(kept) :]:
        if column.null_count < len(column):
            for line, cells in csv_lines(path, where, dialect):
                check_empty(cells[place], where, line, place)
    return list(table.columns[: len(kept)])


def _column(cells: Any, path: str | os.PathLike[str], name: str, place: int, kind: str | None, dialect: Dialect) -> Any:
    """Return a column's cells as numbers or dates if that is what they are, else as they are."""
    from pyarrow import compute

    if compute.any(compute.match_substring(cells, "\0")).as_py():
        line = next(n for n, row in csv_lines(path, os.fspath(path), dialect) if "\0" in row[place])
        raise FormatError(
            f"{os.fspath(path)} line {line} column {printable(name, 60)!r}: cell must be text, got a NUL character"
        )
    if kind == "category":
        return cells
    plain = compute.utf8_trim_whitespace(cells)
    if dialect.delimiter != ",":
        plain = compute.replace_substring_regex(plain, _DECIMAL_COMMA, r"\1.\2")
    whole = len(cells) - cells.null_count
    for read, what in ((_numbers, "number"), (_dates, "date")):
        if kind in (None, what):
            values, wrong = read(plain)
            bad = compute.sum(wrong).as_py() or 0
            if values is not None and not bad:
                return values
            if values is not None or kind or whole - bad >= _NEARLY * whole:
                raise FormatError(_complaint(path, name, place, cells.filter(wrong)[0].as_py(), bad, what, kind, dialect))
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
    path: str | os.PathLike[str], name: str, place: int, cell: str, count: int, what: str, kind: str | None,
    dialect: Dialect,
) -> str:  # fmt: skip
    """Return what is to be said about a cell that is not what the others of its column are."""
    where, shown = os.fspath(path), printable(cell, 40)
    line = next(n for n, cells in csv_lines(path, where, dialect) if len(cells) > place and cells[place] == cell)
    a_number = "a finite number" if cell.strip().lower().lstrip("+-").startswith("inf") else "a number"
    wanted = a_number if what == "number" else "a date such as 2026-11-29 or 2026-11-29T08:30"
    or_text = "" if kind else f", or --categorical {quote(printable(name, 60))}"
    cells = f"{count:,} such cell{'s' if count > 1 else ''} in the file"
    at = f"{where} line {line} column {printable(name, 60)!r}"
    return f"{at}: {shown!r} is not {wanted}; use --missing {quote(shown)}{or_text}; {cells}"


def _complain(path: str | os.PathLike[str], where: str, dialect: Dialect) -> None:
    """Look for what is wrong with a CSV file that Arrow refuses, line by line, and raise FormatError if it is found."""
    width, line = len(dialect.names), 0
    for line, cells in csv_lines(path, where, dialect):
        if len(cells) != width:
            raise FormatError(f"{where} line {line}: row must have {width:,} columns, got {len(cells):,}")
    if not line:
        raise _no_rows(where)


def _no_rows(where: str) -> FormatError:
    """Return what to raise for a file without rows."""
    return FormatError(f"{where}: file must have at least 1 row below the column names, got none")


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
