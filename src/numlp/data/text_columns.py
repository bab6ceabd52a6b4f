"""Columns of a CSV file as numbers, dates or text: all are looked at together, as a file has one decimal mark."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.dates import as_utc
from numlp.data.decimal_marks import Source, find_marks
from numlp.data.number_texts import Marks, NumberTexts, look_like_numbers
from numlp.data.value_texts import GAP_WORDS, TRUTHS
from numlp.errors import FormatError, printable, typed

Array = NDArray[Any]

_NEARLY = 0.9  # a column with this share of numbers is one of numbers, and its texts are errors
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
_TYPED = 100  # characters of a cell or a name that somebody may type
_SPELLINGS = 100  # of two words in small letters and capitals there are fewer
_REPORT = b"numlp"  # among the metadata of an Arrow schema


@dataclass(frozen=True)
class Texts:
    """How the texts of a CSV file are to be read."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    default_missing: bool = True
    marks: Marks = field(default_factory=Marks)
    trained: Marks | None = None  # those of the file that a model was trained on


@dataclass
class Report:
    """What was found in a CSV file: marks, {column: reading}, {column: {word for a gap: count}}, words that no cell is."""

    marks: Marks = field(default_factory=Marks)
    readings: dict[str, str] = field(default_factory=dict)
    gaps: dict[str, dict[str, int]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)


def report_of(table: Any) -> Report:
    """Return what was found in the texts of a table that `read_columns` made; of another one, nothing."""
    about = json.loads((table.schema.metadata or {}).get(_REPORT, "{}"))
    return Report(**about | {"marks": Marks(**about["marks"])}) if about else Report()


def read_columns(columns: dict[str, Any], source: Source, wanted: Texts) -> Any:
    """Return a table with numbers and dates in the columns that hold them; `report_of` says how they were read.

    `columns` are texts, and used up: the text of a column goes when its numbers are there.

    Errors  FormatError naming line and column of a cell that is not what the others are, or may be two numbers.
    """
    import pyarrow as pa

    reader, plain = _Reader(source, wanted), {}
    for name in columns:
        columns[name] = values = reader.read(name, columns[name])
        if pa.types.is_floating(values.type):
            plain[name] = values
    reader.report.marks, styles = find_marks(reader.numbers, plain, reader.again, source, wanted.marks, wanted.trained)
    for name, style in styles.items():
        columns[name] = reader.values(name, style)
    about = vars(reader.report) | {"marks": asdict(reader.report.marks)}
    return pa.table(columns).replace_schema_metadata({_REPORT: json.dumps(about)})


def words_among_values(texts: Sequence[str]) -> list[str]:
    """Return the texts that have the shape neither of a number nor of a date, trimmed."""
    import pyarrow as pa
    from pyarrow import compute

    trimmed = compute.utf8_trim_whitespace(pa.array(texts, pa.string()))
    values = look_like_numbers(trimmed) | compute.match_substring_regex(trimmed, _DATE).to_numpy(zero_copy_only=False)
    return [str(text) for text in trimmed.filter(pa.array(~values)).to_pylist()]


class _Different(NamedTuple):
    """The trimmed texts of a column, the different ones that are no gaps, and their counts."""

    cells: Any
    texts: Any
    counts: Array


class _Reader:
    """Reads the columns of a CSV file; those whose numbers are not plain ones wait until all columns are known."""

    def __init__(self, source: Source, wanted: Texts) -> None:
        self.source, self.wanted = source, wanted
        self.report = Report(unused=[word for word in wanted.missing if word.strip()])
        self.numbers: dict[str, NumberTexts] = {}
        self._waiting: dict[str, _Different] = {}

    def read(self, name: str, cells: Any) -> Any:
        """Return a column as numbers or dates if that is what all its cells are, else as it is."""
        import pyarrow as pa
        from pyarrow import compute

        kind = self.wanted.kinds.get(name)
        if compute.any(compute.match_substring(cells, "\0")).as_py():
            raise FormatError(f"{self.source.place(name, chr(0))}: cell must be text, got a NUL character")
        plain = self._without_missing(name, compute.utf8_trim_whitespace(cells))
        if plain.null_count == len(plain):
            return _gaps(len(plain), kind)
        if kind in (None, "number"):
            try:
                values = plain.cast(pa.float64())
            except pa.ArrowInvalid:
                pass
            else:
                if (infinite := compute.is_inf(values)) and compute.any(infinite).as_py():
                    self._refuse(name, plain.filter(infinite)[0].as_py(), compute.sum(infinite).as_py(), "number")
                if not compute.any(gaps := compute.is_nan(values)).as_py():
                    return values
                if self.wanted.default_missing:
                    self._note_gaps(name, plain.filter(gaps))
                    values = compute.if_else(gaps, pa.scalar(None, values.type), values)
                    return values if values.null_count < len(values) else _gaps(len(values), kind)
        if kind != "category":
            values = self._read_different(name, kind, self._different(plain))
            if values is not None:
                return values
        empty = compute.fill_null(compute.equal(plain, ""), True)
        return compute.if_else(empty, pa.scalar(None, cells.type), cells)

    def again(self, name: str) -> NumberTexts:
        """Return the texts of a column of plain numbers taken apart, which from now on waits as the others do."""
        from pyarrow import compute

        plain = self._without_missing(name, compute.utf8_trim_whitespace(self.source.column(name)))
        self._waiting[name] = self._different(plain)
        self.numbers[name] = NumberTexts.of(self._waiting[name].texts)
        return self.numbers[name]

    def values(self, name: str, style: int) -> Any:
        """Return the numbers of a column that has waited, and note how they were read."""
        import pyarrow as pa

        numbers, different = self.numbers[name], self._waiting[name]
        values = numbers.values(style)
        if not np.isfinite(values).all():
            wrong = ~np.isfinite(values)
            self._refuse(name, numbers.first(wrong), int(different.counts[wrong].sum()), "number")
        if reading := numbers.reading(style):
            self.report.readings[name] = reading
        return self._placed(name, different, pa.array(values))

    def _read_different(self, name: str, kind: str | None, different: _Different) -> Any:
        """Return a column as dates, or as texts that wait to be read as numbers; None if it is neither."""
        import pyarrow as pa

        if not len(different.texts):  # only words for a gap
            return self._placed(name, different, _gaps(0, kind))
        if kind == "number" and different.texts[0].as_py().lower() in TRUTHS:
            truths = [text.lower() for text in different.texts.to_pylist()]
            if TRUTHS.keys() >= set(truths):
                return self._placed(name, different, pa.array([TRUTHS[text] for text in truths]))
        if kind != "date" and self._may_be_numbers(kind, different):
            numbers = NumberTexts.of(different.texts)
            if self._are(name, kind, "number", different, ~numbers.are_numbers()):
                self.numbers[name], self._waiting[name] = numbers, different
                return different.cells
        if kind != "number":
            values, wrong = _dates(different)
            if self._are(name, kind, "date", different, wrong):
                return self._placed(name, different, values)
        if kind is None and TRUTHS.keys() >= {text.lower() for text in different.texts[:_SPELLINGS].to_pylist()}:
            return self._placed(name, different, different.texts)
        return None

    def _may_be_numbers(self, kind: str | None, different: _Different) -> bool:
        """Return whether it is worth the time to take the texts of a column apart."""
        return bool(kind or different.counts[look_like_numbers(different.texts)].sum() >= _NEARLY * different.counts.sum())

    def _are(self, name: str, kind: str | None, what: str, different: _Different, wrong: Array) -> bool:
        """Return whether no text is wrong; if nearly none is, or the column must be what it is not, raise FormatError."""
        bad, whole = int(different.counts[wrong].sum()), int(different.counts.sum())
        if bad and (kind or whole - bad >= _NEARLY * whole):
            self._refuse(name, different.texts[int(np.argmax(wrong))].as_py(), bad, what)
        return not bad

    def _different(self, plain: Any) -> _Different:
        """Return the different texts of a column, without gaps."""
        import pyarrow as pa
        from pyarrow import compute

        counted = compute.value_counts(plain)
        texts, counts = counted.field("values"), counted.field("counts").to_numpy()
        words = GAP_WORDS if self.wanted.default_missing else {""}
        gaps = compute.is_in(compute.utf8_lower(texts), value_set=pa.array(sorted(words))).to_numpy(zero_copy_only=False)
        own = ~gaps & texts.is_valid().to_numpy(zero_copy_only=False)
        return _Different(plain, texts.filter(pa.array(own)), counts[own])

    def _placed(self, name: str, different: _Different, values: Any) -> Any:
        """Return the value of each cell, and note the words that were gaps."""
        from pyarrow import compute

        places = compute.index_in(different.cells, value_set=different.texts)
        self._note_gaps(name, different.cells.filter(places.is_null()))
        return values.take(places)

    def _note_gaps(self, name: str, words: Any) -> None:
        from pyarrow import compute

        found = {row["values"]: row["counts"] for row in compute.value_counts(words).to_pylist() if row["values"]}
        if found:
            self.report.gaps[name] = found | self.report.gaps.get(name, {})

    def _without_missing(self, name: str, plain: Any) -> Any:
        """Return trimmed texts with gaps for those that the user says are gaps."""
        import pyarrow as pa
        from pyarrow import compute

        words = {word.strip() for word in self.wanted.missing} - {""}
        if not words:
            return plain
        gaps = compute.is_in(plain, value_set=pa.array(sorted(words)))
        self._note_gaps(name, plain.filter(gaps))
        seen = self.report.gaps.get(name, {})
        self.report.unused = [word for word in self.report.unused if word.strip() not in seen]
        return compute.if_else(gaps, pa.scalar(None, plain.type), plain)

    def _refuse(self, name: str, text: str, count: int, what: str) -> None:
        """Raise FormatError for a text that is not what the others of its column are."""
        shown, kind = printable(text, 40), self.wanted.kinds.get(name)
        a_number = "a finite number" if text.lower().lstrip("+-").startswith("inf") else "a number"
        wanted = a_number if what == "number" else "a date such as 2026-11-29 or 2026-11-29T08:30"
        hints = [f"--missing {typed(text)}"] if len(text) <= _TYPED else []
        hints += [] if kind or len(name) > _TYPED else [f"--categorical {typed(name)}"]
        use = f"use {', or '.join(hints)}; " if hints else ""
        cells = f"{count:,} such cell{'s' if count > 1 else ''} in the file"
        raise FormatError(f"{self.source.place(name, text)}: {shown!r} is not {wanted}; {use}{cells}")


def _gaps(n: int, kind: str | None) -> Any:
    """Return a column of n gaps."""
    import pyarrow as pa

    return pa.chunked_array([pa.nulls(n, {"number": pa.float64(), "date": pa.timestamp("us")}.get(kind or "", pa.string()))])


def _dates(different: _Different) -> tuple[Any, Array]:
    """Return texts as times in UTC, and which are none."""
    import pyarrow as pa
    from pyarrow import compute

    shaped = compute.match_substring_regex(different.texts, _DATE).to_numpy(zero_copy_only=False)
    if different.counts[shaped].sum() < _NEARLY * different.counts.sum():  # no dates: spare the look at each
        return None, ~shaped
    values = pa.array(map(_time, different.texts.to_pylist()), pa.timestamp("us"))
    return values, values.is_null().to_numpy(zero_copy_only=False)


def _time(text: str) -> datetime | None:
    """Return the time that a text names, in UTC, None if it names none."""
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError:  # such as the 30th of February
        return None
