"""Whatever a CSV file is written like, the same table is read, or an error raised: never another table."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numlp.data.frames import read_frame
from numlp.data.tables import read_csv
from numlp.errors import NumlpError

pytest.importorskip("pyarrow")

TEXT = st.text(st.sampled_from("abcxyzéßñ 01,;|\t\"'\n\r.-\\#"), max_size=7).map(lambda text: text.replace("\r\n", "\n"))
NUMBER = st.one_of(st.integers(-2000, 2000).map(str), st.floats(-1e3, 1e3).map(repr), st.floats(-9, 9).map("{:.3f}".format))
NAME = TEXT.map(str.strip).filter(lambda text: any(c.isalpha() for c in text))
CELLS = {"number": NUMBER, "text": TEXT, "number with gaps": st.one_of(NUMBER, st.just(""))}
DIALECTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "quotechar": st.sampled_from('""\''),
        "backslash": st.sampled_from([False, False, True]),
        "lineterminator": st.sampled_from(["\n", "\r\n", "\r"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"]),
        "sep_line": st.booleans(),
        "trailing": st.sampled_from(["", "", "rows", "all", "two"]),
        "notes": st.sampled_from([0, 0, 1, 2]),
    }
)


@st.composite
def tables(draw: Any) -> tuple[list[str], list[list[str]]]:
    names = draw(st.lists(NAME, min_size=2, max_size=4, unique=True))
    kinds = [CELLS[draw(st.sampled_from(sorted(CELLS)))] for _ in names]
    return names, draw(st.lists(st.tuples(*kinds).map(list), min_size=1, max_size=6))


def write(path: Path, names: list[str] | None, rows: list[list[str]], how: dict[str, Any]) -> dict[str, Any]:
    """Write a table in a dialect, and return the options that must be given to read it."""
    text = io.StringIO()
    end, mark = how["lineterminator"], how["delimiter"]
    everything = "".join(sum(rows, names or []))
    # what Python would write without quotes, though a reader must take it for something else
    needs_quotes = set("\r\n") & set(everything) - set(end) or any(two in everything for two in ('\\"', "\\'"))
    needs_quotes = needs_quotes or (how["backslash"] and how["quotechar"] == "'")
    quoting = csv.QUOTE_ALL if needs_quotes else how["quoting"]
    plain = "\\" not in everything  # else nobody can tell what a backslash is for
    escape = {"escapechar": "\\", "doublequote": False} if how["backslash"] and plain else {}
    writer = csv.writer(text, delimiter=mark, quoting=quoting, quotechar=how["quotechar"], lineterminator=end, **escape)
    more = {"": 0, "rows": 1, "all": 1, "two": 2}[how["trailing"]]
    if names is not None:
        writer.writerow(names + [""] * (0 if how["trailing"] == "rows" else more))
    quoted = quoting == csv.QUOTE_NONNUMERIC
    writer.writerows([float(cell) if quoted and is_number(cell) else cell for cell in row] + [""] * more for row in rows)
    notes = "".join(f"made by hand {n}{end}" for n in range(how["notes"] if names else 0))
    sep = f"sep={mark}{end}" if how["sep_line"] else ""
    path.write_bytes((sep + notes + text.getvalue()).encode(how["encoding"]))
    return {"encoding": "cp1252"} if how["encoding"] == "cp1252" else {}


def is_number(cell: str) -> bool:
    try:
        return repr(float(cell)) == cell
    except ValueError:
        return False


@settings(max_examples=50, deadline=None)
@given(tables(), DIALECTS)
def test_table_in_any_dialect_is_the_same_table_or_an_error(folder: Path, table: Any, how: dict[str, Any]) -> None:
    names, rows = table
    options = write(folder / "t.csv", names, rows, how)
    try:
        found = read_frame(folder / "t.csv", kinds=dict.fromkeys(names, "category"), **options)
    except NumlpError:
        return
    expected = {name: [row[i] if row[i].strip() else None for row in rows] for i, name in enumerate(names)}
    assert found.to_pydict() == expected


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.one_of(NUMBER, st.sampled_from(["", "?", "n/a", "1 000"]))] * 3).map(list), min_size=1, max_size=5
    ),
    DIALECTS,
)
def test_rows_of_numbers_in_any_dialect_are_the_same_or_an_error(
    folder: Path, rows: list[list[str]], how: dict[str, Any]
) -> None:
    options = write(folder / "t.csv", None, rows, how)
    try:
        found = read_csv(folder / "t.csv", **options).x
    except NumlpError:
        return
    if len(rows) > 1 and not any(row[-1] for row in rows):  # no column, but a delimiter at the end of rows
        rows = [row[:-1] for row in rows]
    assert found.tolist() == [[float(cell) for cell in row] for row in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dialects")
