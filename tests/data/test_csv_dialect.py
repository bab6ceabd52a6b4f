"""Whatever a CSV file is written like, the same table is read, or an error raised: never another table."""

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numlp.data.csv_dialect import describe_dialect, find_dialect
from numlp.data.frames import read_frame
from numlp.data.tables import read_csv
from numlp.errors import ArgumentError, FormatError, NumlpError

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
        "padded": st.booleans(),
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
    pad = mark * (len(names or ()) - 1) if how["padded"] else ""  # as spreadsheets do it
    lines = [f"made by hand {n}" for n in range(how["notes"])] + ([""] if how["padded"] else [])
    notes = "".join(f"{line}{pad}{end}" for line in lines if names)
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


# text, what is said about it, the names that are read, and the first cell of each row
FOUND: dict[str, tuple[str | bytes, str, list[str], list[Any]]] = {
    "plain": ("a,b\n1,x\n", "", ["a", "b"], [1.0]),
    "quoted names, semicolons": ('"a";"b, c"\n1;"x"\n', "separated by ';'", ["a", "b, c"], [1.0]),
    "comma in a name": ("a, m2;b\n1;x\n2;y\n", "separated by ';'", ["a, m2", "b"], [1.0, 2.0]),
    "decimal commas": ("1,5;2,5;0\n2,5;3,5;0\n", "separated by ';', no line of column names: they are 1, 2, ...", ["1", "2", "3"], [1.5, 2.5]),
    "bars": ("a|b\n1|x\n", "separated by '|'", ["a", "b"], [1.0]),
    "blanks": ("  a  b\n 1   2 \n10  20\n", "separated by blanks", ["a", "b"], [1.0, 10.0]),
    "other quote": ("'a','b, c'\n1,'it''s'\n", 'quoted by "\'"', ["a", "b, c"], [1.0]),
    "backslash": ('"a","b"\n"x \\"y\\", z","1"\n', "with \\ before a quote in quotes", ["a", "b"], ['x "y", z']),
    "quotes that are text": ('a\tb\n1\t"big" dog\n2\t5"\n', "separated by tabs, without quotes", ["a", "b"], [1.0, 2.0]),
    "UTF-16": ("a,b\né,1\n".encode("utf-16"), "UTF-16", ["a", "b"], ["é"]),
    "UTF-16, big end first": (b"\xfe\xff" + "a,b\né,1\n".encode("utf-16-be"), "UTF-16", ["a", "b"], ["é"]),
    "UTF-8 with mark": ("a,b\né,1\n".encode("utf-8-sig"), "", ["a", "b"], ["é"]),
    "sep line": ("sep=;\r\na;b\r\n1;2\r\n", "separated by ';'", ["a", "b"], [1.0]),
    "report above": ("Sales of May\n\na;b\n1;x\n2;y\n", "separated by ';', 1 line before the column names left out", ["a", "b"], [1.0, 2.0]),
    "comment above": ("# made by hand\na,b,c\n1,x,y\n2,y,z\n", "1 line before the column names left out", ["a", "b", "c"], [1.0, 2.0]),
    "spreadsheet with a title": ("Sales of May,,\n,,\na,b,c\nx,y,z\ny,x,z\n", "2 lines before the column names left out", ["a", "b", "c"], ["x", "y"]),
    "spreadsheet with facts above": ("Sensor,A1,\nPlace,Roof,\n,,\na,b,c\nx,y,z\ny,x,z\n", "3 lines before the column names left out", ["a", "b", "c"], ["x", "y"]),
    "names, then a row of gaps": ("a,b,\n,,\nx,y,\ny,x,\n", "1 empty column without a name left out", ["a", "b"], [None, "x", "y"]),
    "empty cells above": (",\n,\na,b\n1,x\n2,y\n", "2 lines before the column names left out", ["a", "b"], [1.0, 2.0]),
    "row of gaps first, words": (",,\nx,y,z\ny,x,z\nx,y,z\n", "no line of column names: they are 1, 2, ...", ["1", "2", "3"], [None, "x", "y", "x"]),
    "row of gaps first, numbers": (",\n1,2\n3,4\n", "no line of column names: they are 1, 2, ...", ["1", "2"], [None, 1.0, 3.0]),
    "blanks before quotes": ('a, "b, m2"\n1, "x, y"\n2, "y, x"\n', "with blanks before quotes", ["a", "b, m2"], [1.0, 2.0]),
    "one column of times": ("a\n2024-01-01 10:00\n2024-01-02 10:00\n", "", ["a"], [datetime(2024, 1, 1, 10), datetime(2024, 1, 2, 10)]),
    "unnamed at the end": ("a;b;;\n1;2;;\n3;4;;\n", "separated by ';', 2 empty columns without a name left out", ["a", "b"], [1.0, 3.0]),
    "comma more in names": ("a,b,\n1,2\n3,4\n", "", ["a", "b"], [1.0, 3.0]),
    "comma more in rows": ("a,b\n1,2,\n3,4,\n", "1 empty column without a name left out", ["a", "b"], [1.0, 3.0]),
    "names of rows": ('"a","b"\n"r1",1,2\n"r2",3,4\n', "the first cell of a row has no column name", ["", "a", "b"], ["r1", "r2"]),
    "unnamed with cells": (",a,\nx,1,2\ny,3,4\n", "", ["1", "a", "3"], ["x", "y"]),
    "index of pandas": (",a,b\n0,x,1\n1,y,2\n", "", ["", "a", "b"], [0.0, 1.0]),
    "no header": ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "no line of column names: they are 1, 2, ...", ["1", "2", "3"], [5.1, 4.9]),
    "no header, only words": ("p,x\ne,x\np,s\np,x\n", "no line of column names: they are 1, 2, ...", ["1", "2"], ["p", "e", "p", "p"]),
    "years as names": ("city,2019,2020,2021,2022\nParis,5,1,8,3\nRome,6,1,7,2\n", "", ["city", "2019", "2020", "2021", "2022"], ["Paris", "Rome"]),
    "months as names": ("city,2024-01,2024-02\nParis,5,1\nRome,6,1\n", "", ["city", "2024-01", "2024-02"], ["Paris", "Rome"]),
    "gap in the first row": ("1,,3\n4,5,6\n", "no line of column names: they are 1, 2, ...", ["1", "2", "3"], [1.0, 4.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_dialect_is_found_and_said_where_it_is_not_ordinary(name: str, tmp_path: Path) -> None:
    data, said, names, first = FOUND[name]
    path = tmp_path / "t.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    table = read_frame(path)
    assert (table.column_names, table.column(0).to_pylist()) == (names, first)
    assert describe_dialect(find_dialect(path)) == said


ASKED = {
    "numbers and a word": ("5.1,abc,3.5\n4.9,3.0,1.4\n", {}, "line 1: it must be clear whether this line holds the column names or a row, got 5.1, abc, 3.5; use --header or --no-header"),
    "names of an array in pandas": ("0,1,2\n0.5,1.5,2.5\n3.5,4.5,5.5\n", {}, "a row, got 0, 1, 2; use --header or --no-header"),
    "city and two years": ("city,2019,2020\nParis,5,1\nRome,6,1\n", {}, "use --header or --no-header"),
    "two delimiters": ("a;b,c\nx;y,z\n", {}, "file must have one delimiter, got ',' and ';', which both separate each row into as many cells; use --delimiter"),
    "report above numbers": ("Sales of May\n1,2\n3,4\n", {}, "line 1: row must have 2 columns, got 1; use --skip-rows 1, if the rows begin below"),
    "comment of several cells": ("# made, by me\na,b,c\n1,2,3\n4,5,6\n", {}, "line 2: row must have 2 columns, got 3; use --skip-rows, if the table begins further down"),
    "facts above": ("Sensor,A1\nPlace,Roof\na,b,c\n1,2,3\n4,5,6\n", {}, "line 3: row must have 2 columns, got 3; use --skip-rows, if the table begins further down"),
    "one column of decimal commas": ("a\n0,5\n1,5\n", {}, "or --delimiter tab for a single column"),
    "unnamed cell further down": ("a,b,\n" + "1,2,\n" * 50_000 + "1,2,3\n", {}, "line 50002 column 3: cell must be empty in a column without a name, got '3'; give the column a name"),
    "UTF-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), {}, "use --encoding utf-16-le, or utf-16-be, if it is text"),
    "other encoding": ("a,b\nx,é\n".encode("cp1252"), {}, "line 2: file must be CSV text in UTF-8, got the byte 0xe9, invalid continuation byte, after 'x,'; use --encoding cp1252 for a file of Windows"),
    "byte far down": (b"a,b\r\n" + b"x,y\r\n" * 99_999 + b"x,\xe9\r\n", {}, "line 100001: file must be CSV text in UTF-8, got the byte 0xe9"),
    "byte cp1252 has not": (b"a,b\nx,\x81\n", {"encoding": "cp1252"}, "line 2: file must be CSV text in CP1252, got the byte 0x81, character maps to <undefined>, after 'x,'; use another --encoding"),
    "unknown encoding": ("a,b\n1,2\n", {"encoding": "cp125"}, "--encoding must be one that Python knows, such as cp1252, got 'cp125'"),
    "no encoding of text": ("a,b\n1,2\n", {"encoding": "zlib"}, "--encoding must be one that Python knows, such as cp1252, got 'zlib'"),
    "other mark": ("a,b\n1,2\n".encode("utf-16"), {"encoding": "cp1252"}, "--encoding must be that of the file's byte order mark, utf-16, got 'cp1252'"),
    "delimiter": ("a,b\n1,2\n", {"delimiter": "::"}, "--delimiter must be one character, tab or blank, got '::'"),
    "quote": ("a,b\n1,2\n", {"quote": "xx"}, "--quote must be one character beside the delimiter, or none, got 'xx'"),
    "skip": ("a,b\n1,2\n", {"skip_rows": -1}, "--skip-rows must be a whole number of at least 0, got -1"),
    "skip all": ("a,b\n1,2\n", {"skip_rows": 2}, "file must have a line of column names, got an empty file"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_has_two_readings_or_none_is_an_error_with_the_way_out(name: str, tmp_path: Path) -> None:
    data, options, message = ASKED[name]
    path = tmp_path / "t.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises((ArgumentError, FormatError)) as error:
        read_frame(path, **options)
    assert str(error.value).startswith(str(path)) and message in str(error.value)


def test_each_option_takes_the_place_of_what_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b,c\nx;y,z\n")
    assert read_frame(path, delimiter=";").column_names == ["a", "b,c"]
    path.write_text("a\tb\n'1'\t'2'\n")
    assert read_frame(path, delimiter="tab", quote="none").to_pydict() == {"a": ["'1'"], "b": ["'2'"]}
    path.write_text("2019,2020\n1,2\n")
    assert read_frame(path).column_names == ["1", "2"]
    assert read_frame(path, header=True).to_pydict() == {"2019": [1.0], "2020": [2.0]}
    assert read_csv(path, header=True).names == ("2019", "2020")
    path.write_text("a,b\nc,d\n")
    assert read_frame(path, header=False).to_pydict() == {"1": ["a", "c"], "2": ["b", "d"]}
    path.write_text("1,2\nrubbish\na,b\n3,4\n")
    assert read_frame(path, skip_rows=2).to_pydict() == {"a": [3.0], "b": [4.0]}
    path.write_bytes("a,b\né,1\n".encode("cp1252"))
    assert read_frame(path, encoding="cp1252").to_pydict() == {"a": ["é"], "b": [1.0]}
