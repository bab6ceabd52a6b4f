"""Tables of numbers and text from CSV and Parquet files, as Arrow tables; what cannot be read is named by line, column."""

import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from csv import writer
from typing import Any, Unpack

from numlp.data.arrow_columns import index_columns
from numlp.data.csv_dialect import CsvOptions, find_dialect
from numlp.data.csv_lines import MAX_ROW, Dialect, check_empty, csv_lines, wrong_width
from numlp.data.decimal_marks import Source
from numlp.data.number_texts import Marks
from numlp.data.text_columns import Texts, read_columns
from numlp.errors import ArgumentError, FormatError, MissingExtraError, printable, typed
from numlp.files import check_path, os_errors

SUFFIXES = (".csv", ".csv.gz", ".parquet")
# checked before anything is decoded: what a small file could make the reader hold
MOST_COLUMNS = 20_000
MOST_BYTES = 4 << 30
MOST_UNPACKED = 1 << 30  # of the text behind a .csv.gz; a plain file may have any size
_MAGIC = {  # the first bytes of files that are no text
    b"PAR1": "Parquet", b"\x1f\x8b": "gzip", b"PK\x03\x04": "an Excel workbook or a zip archive; save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV", b"BZh9": "bzip2; unpack it",
    b"\xfd7zX": "xz; unpack it", b"\x28\xb5\x2f\xfd": "zstd; unpack it",
}  # fmt: skip


def is_frame(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a table by its name."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def read_frame(
    path: str | os.PathLike[str],
    *,
    missing: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    drop: Collection[str] = (),
    default_missing: bool = True,
    marks: Marks | None = None,
    trained: Marks | None = None,
    **csv: Unpack[CsvOptions],
) -> Any:
    """Return a CSV or Parquet file, as its name says, as a pyarrow.Table of numbers, text and dates.

    How a CSV file is written is found by `find_dialect`, or given. An empty cell is a gap; in a column of numbers or dates
    so are the words of `value_texts.GAP_WORDS`. A column of a CSV file is one of numbers (float64) or of dates (ISO 8601,
    with or without a time) if all its other cells are, and text otherwise; if nine of ten are, the others are errors.
    Numbers may have thousands marks, a decimal comma, a currency, a percent sign, brackets or a sign behind, if all columns
    have one reading, which `text_columns.report_of` tells. A Parquet file says itself what its columns
    are; of them, the index of a pandas frame is left out.

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
    default_missing
        Whether the words of `value_texts.GAP_WORDS` are gaps among numbers and dates.
    marks, trained
        How the numbers of a CSV file are written; those of the file that a model was trained on.
    delimiter, quote, encoding, header, skip_rows
        As `CsvOptions`: how a CSV file is written, where it is not found rightly. The columns of a file without a line of
        names are named by their numbers, from "1".

    Errors  MissingExtraError without pyarrow; FormatError naming the file, and line and column where there is one; OSError
        if the file cannot be opened.
    """
    path = check_path(path, "read_frame")
    where = os.fspath(path)
    if not _is_parquet(path, where):
        texts = Texts(kinds or {}, missing, default_missing, marks or Marks(), trained)
        return read_csv_frame(path, texts, drop=drop, **csv)
    for flag, given in (("--missing", missing), ("--no-default-missing", not default_missing)):
        if given:
            raise FormatError(f"{where}: file must be CSV text for {flag}, got Parquet, which has gaps of its own")
    if marks not in (None, Marks()):
        raise FormatError(f"{where}: file must be CSV text for --decimal and --thousands, got Parquet, which has numbers")
    return read_parquet_frame(path, drop=drop)


def _is_parquet(path: str | os.PathLike[str], where: str) -> bool:
    """Whether a table is Parquet, by its name; FormatError if the content is not what the name says."""
    if not is_frame(path):
        raise FormatError(f"{where}: file must be a table, its name ending with {', '.join(SUFFIXES)}")
    with os_errors(path), open(path, "rb") as file:
        head = file.read(4)
    name = where.lower()
    found = next((what for mark, what in _MAGIC.items() if head.startswith(mark)), "something else")
    wanted = "Parquet" if name.endswith(".parquet") else "gzip" if name.endswith(".gz") else "text"
    if found != wanted and (wanted != "text" or found != "something else"):
        expected = {"Parquet": "Parquet", "gzip": "CSV text in gzip", "text": "CSV text"}[wanted]
        raise FormatError(f"{where}: file must be {expected}, as its name says, got {found}")
    return wanted == "Parquet"


def column_names(path: str | os.PathLike[str], **csv: Unpack[CsvOptions]) -> list[str]:
    """Return the names of the columns of a CSV or Parquet file, without a look at the rows.

    Errors  as `read_frame`.
    """
    _pyarrow()  # better missed before anything is said than after
    path = check_path(path, "column_names")
    dialect = frame_dialect(path, **csv)
    if dialect:
        return dialect.columns()
    where = os.fspath(path)
    schema = _schema(path, where)
    index = set(index_columns(schema))
    return [name for name in schema.names if name not in index]


def index_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the columns of a Parquet file that hold the index of a pandas frame, which are no columns of the table.

    Errors  as `read_frame`.
    """
    where = os.fspath(path)
    return index_columns(_schema(path, where)) if _is_parquet(path, where) else []


def _schema(path: str | os.PathLike[str], where: str) -> Any:
    """Return the Arrow schema of a Parquet file."""
    pa = _pyarrow()
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _names(file.schema_arrow.names, where)
            return file.schema_arrow
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
    path: str | os.PathLike[str], texts: Texts | None = None, *, drop: Collection[str] = (), **csv: Unpack[CsvOptions]
) -> Any:
    """Read a CSV file, whatever its name; as `read_frame`."""
    pa, where = _pyarrow(), os.fspath(path)
    if where.lower().endswith(".gz"):
        _check_unpacked(path, where)
    dialect = _table_dialect(path, where, csv)
    kept = {i: name for i, name in enumerate(dialect.names) if name is not None and name not in drop}
    try:
        columns = dict(zip(kept.values(), _cells(path, where, dialect, list(kept)), strict=True))
        if not any(map(len, columns.values())):
            raise _no_rows(where)

        def again(name: str) -> Any:
            return _cells(path, where, dialect, [dialect.names.index(name)])[0]

        source = Source(where, dialect.delimiter, dialect.names, lambda: csv_lines(path, where, dialect), again)
        return read_columns(columns, source, texts or Texts())
    except (pa.ArrowException, MemoryError, UnicodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        _complain(path, where, dialect)
        raise FormatError(f"{where}: file must be CSV text, got {_first_line(error)}") from error


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
    advice = "; rename one, or use --no-header if the first line is a row" if dialect.header else ""
    _names(dialect.columns(), where, advice)
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


def _names(names: list[str], where: str, advice: str = "; rename one") -> list[str]:
    """Return the names if they are a table's: not too many, and each once."""
    if not 0 < len(names) <= MOST_COLUMNS:
        raise FormatError(f"{where}: file must have 1 to {MOST_COLUMNS:,} columns, got {len(names):,}")
    name, times = Counter(names).most_common(1)[0]
    if any("\0" in name for name in names):
        raise FormatError(f"{where}: column names must be text, got a NUL character in one")
    if times > 1:
        raise FormatError(f"{where}: column names must differ, got {printable(name, 60)!r} {times} times{advice}")
    return names


def _cells(path: str | os.PathLike[str], where: str, dialect: Dialect, kept: list[int]) -> list[Any]:
    """Return columns of a CSV file, by their places, as text with gaps."""
    import pyarrow as pa
    from pyarrow import csv

    places = kept + [i for i, name in enumerate(dialect.names) if name is None]
    names = list(map(str, range(len(dialect.names))))
    source: Any = where
    if dialect.delimiter == " " or dialect.blanks:  # any number of blanks, which Arrow cannot leave out
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
            null_values=[""], strings_can_be_null=True,
        ),
    )  # fmt: skip
    for place, column in list(zip(places, table.columns, strict=True))[len(kept) :]:
        if column.null_count < len(column):
            for line, cells in csv_lines(path, where, dialect):
                check_empty(cells[place], where, line, place)
    return list(table.columns[: len(kept)])


def _complain(path: str | os.PathLike[str], where: str, dialect: Dialect) -> None:
    """Look for what is wrong with a CSV file that Arrow refuses, line by line, and raise FormatError if it is found."""
    width, line = len(dialect.names), 0
    for line, cells in csv_lines(path, where, dialect):
        if len(cells) != width:
            raise wrong_width(where, line, cells, width, dialect)
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
    left_out = {*drop, *index_columns(schema)}
    kept = [name for name in names if name not in left_out]
    for name in kept:
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        text = types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind) or types.is_null(kind)
        if not (number or text or types.is_date(kind) or types.is_timestamp(kind)):
            shown, got = printable(name, 60), printable(str(kind), 80)
            raise FormatError(
                f"{where}: column {shown!r} must hold numbers, text or dates, got {got}; use --drop {typed(name)}"
            )
    return kept


def _first_line(error: BaseException) -> str:
    return printable((str(error).splitlines() or [type(error).__name__])[0], 200)
