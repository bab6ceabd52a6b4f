import gzip
import sys
from datetime import datetime
from pathlib import Path

import pytest

from numlp.data import frames
from numlp.data.frames import column_names, index_names, read_frame
from numlp.errors import FormatError, MissingExtraError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

BAD = {
    "text among numbers": (
        b"a,b\n" + b"1,x\n" * 20 + b"soon,y\n",
        "line 22 column 'a': 'soon' is not a number; use --missing soon, or --categorical a; 1 such cell",
    ),
    "infinite": (b"a\n1\n\n1e999\ninf\n", "line 4 column 'a': '1e999' is not a number; use --missing 1e999"),
    "ragged": (b"a,b\n1,2\n3\n", "line 3: row must have 2 columns, got 1; complete the row, or delete it"),
    "a cell too many": (b"a,b\n" + b"1,2\n" * 20 + b"1,2,3\n", "line 22: row must have 2 columns, got 3; put a cell"),
    "empty": (b"", "got an empty file"),
    "header only": (b"a,b\n", "at least 1 row below the column names, got none"),
    "twice": (
        b"a,a\n1,2\n",
        "column names must differ, got 'a' 2 times; rename one, or use --no-header if the first line is a row",
    ),
    "not UTF-8": (b"a,b\n1,\xff\n", "must be CSV text in UTF-8, got the byte 0xff"),
    "10 MB cell": (b"a\n" + b"x" * 10**7, "line 2: row must have at most 1,048,576 characters"),
    "NUL": (b"a,b\n1,x\n2,y\0\n", "line 3 column 'b': cell must be text, got a NUL character"),
    "NUL in a name": (b"a\0,b\n1,x\n", "column names must be text, got a NUL character in one"),
    "ragged, semicolons": (b"a;b\n1;2\n3\n", "line 3: row must have 2 columns, got 1"),
    "Excel": (
        b"PK\x03\x04....",
        "must be CSV text, as its name says, got an Excel workbook or a zip archive; save it as CSV",
    ),
    "Parquet": (b"PAR1....", "must be CSV text, as its name says, got Parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_csv_that_is_no_table_is_refused_by_line_and_column(name: str, tmp_path: Path) -> None:
    data, message = BAD[name]
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(FormatError) as error:
        read_frame(path)
    assert str(path) in str(error.value) and message in str(error.value)


def test_csv_gives_numbers_text_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("\ufeffa,b,c\n1,x,\n 2 ,,\nn/a,y,\n".encode())
    table = read_frame(path, missing=["n/a"])
    assert table.to_pydict() == {"a": [1.0, 2.0, None], "b": ["x", None, "y"], "c": [None, None, None]}
    assert table["a"].type == pa.float64()


def test_semicolons_and_tabs_part_cells_and_then_a_comma_is_a_point(tmp_path: Path) -> None:
    for mark in ";\t":
        path = tmp_path / "x.csv"
        path.write_text("a;b;c\n1,5;x,y;1\n-,25;z;2,5\n".replace(";", mark))
        assert read_frame(path).to_pydict() == {"a": [1.5, -0.25], "b": ["x,y", "z"], "c": [1.0, 2.5]}
    path.write_text('a,b\n"1,5",x\n')
    assert read_frame(path).to_pydict() == {"a": [1.5], "b": ["x"]}


def test_user_says_which_columns_are_text_and_which_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("zip,n\n01,1\n02,x\n")
    assert read_frame(path, kinds={"zip": "category"}).to_pydict() == {"zip": ["01", "02"], "n": ["1", "x"]}
    with pytest.raises(
        FormatError, match="line 3 column 'n': 'x' is not a number; use --missing x; 1 such cell in the file"
    ):
        read_frame(path, kinds={"n": "number"})
    assert read_frame(path, kinds={"n": "number"}, drop=["n"]).column_names == ["zip"]


def test_csv_column_of_dates_is_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "d,t,s\n2026-11-29,2026-11-29T08:30,29/11/2026\n,2026-11-29 10:30:00.5+02:00,1/12/2026\n 2026-11-30 ,,\n"
    )
    table = read_frame(path)
    assert table["d"].to_pylist() == [datetime(2026, 11, 29), None, datetime(2026, 11, 30)]
    assert table["t"].to_pylist() == [datetime(2026, 11, 29, 8, 30), datetime(2026, 11, 29, 8, 30, 0, 500_000), None]
    assert table["s"].to_pylist() == ["29/11/2026", "1/12/2026", None]
    assert read_frame(path, kinds={"d": "category"})["d"].to_pylist()[0] == "2026-11-29"
    for text, bad, n in (("2026-02-30\n", "2026-02-30", 1), ("soon\n", "soon", 1), ("2026-02-30\nsoon\n", "2026-02-30", 2)):
        path.write_text("d\n" + "2026-01-01\n" * 30 + text)
        with pytest.raises(FormatError) as error:
            read_frame(path)
        cells = "1 such cell" if n == 1 else "2 such cells"
        assert f"line 32 column 'd': '{bad}' is not a date such as 2026-11-29" in str(error.value)
        assert f"; use --missing {bad}, or --categorical d; {cells} in the file" in str(error.value)
    path.write_text("a day\n" + "2026-01-01\n" * 30 + "2 pm\n")  # what to do can be pasted into a shell
    with pytest.raises(FormatError, match="use --missing '2 pm', or --categorical 'a day'; 1 such cell"):
        read_frame(path)
    path.write_text("d\nx\ny\n")
    with pytest.raises(FormatError, match=r"line 2 column 'd': 'x' is not a date .*; use --missing x; 2 such cells"):
        read_frame(path, kinds={"d": "date"})
    path.write_text("d,e\n,1\n,2\n")
    assert read_frame(path, kinds={"d": "date"})["d"].to_pylist() == [None, None]


def test_gzip_is_read_and_damaged_or_too_long_gzip_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv.gz"
    data = gzip.compress(b"a,b\n1,x\n")
    path.write_bytes(data)
    assert read_frame(path).to_pydict() == {"a": [1.0], "b": ["x"]} and column_names(path) == ["a", "b"]
    for damaged in (data[:-3], data[:-8] + b"\0" * 8, data[:12] + b"\xff" * 4 + data[16:]):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"x\.csv\.gz: file must be whole gzip, got "):
            read_frame(path)
    path.write_bytes(b"a,b\n1,x\n")
    with pytest.raises(FormatError, match="file must be CSV text in gzip, as its name says, got something else"):
        read_frame(path)
    path.write_bytes(data)
    monkeypatch.setattr(frames, "MOST_UNPACKED", 7)
    with pytest.raises(FormatError, match="text behind gzip must have at most 7 bytes, got more; unpack it first"):
        read_frame(path)


def test_without_pyarrow_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    with pytest.raises(MissingExtraError, match=r"a table from a file needs pyarrow: pip install 'numlp\[table\]'"):
        read_frame(tmp_path / "x.csv")
    with pytest.raises(MissingExtraError, match="needs pyarrow"):  # and no list of columns is shown before
        column_names(tmp_path / "x.csv")


def test_parquet_keeps_its_kinds_also_coded_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {"c": pa.array(["u", None, "u"]).dictionary_encode(), "t": [True, None, False], "n": pa.nulls(3)}
    parquet.write_table(pa.table(columns), path)
    assert column_names(path) == ["c", "t", "n"]
    assert read_frame(path).to_pydict() == {"c": ["u", None, "u"], "t": [True, None, False], "n": [None] * 3}


def test_index_of_a_pandas_frame_in_parquet_is_no_column(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    path, data = tmp_path / "x.parquet", {"a": [1.5, 2.5, 3.5], "b": ["u", None, "v"]}
    indexes = {
        "__index_level_0__": [2, 0, 1],
        "day": pd.date_range("2024-01-01", periods=3, name="day"),
        "a": pd.Index([3, 1, 2], name="a"),  # as a column is called
        "k": pd.MultiIndex.from_tuples([("x", 1), ("x", 2), ("y", 1)], names=["k", None]),
        "": pd.RangeIndex(3),
    }
    for name, index in indexes.items():
        pd.DataFrame(data, index=index).to_parquet(path)
        found = index_names(path)
        assert found == ([] if name == "" else [name, "__index_level_1__"] if name == "k" else found)
        assert column_names(path) == ["a", "b"] and len(found) == getattr(index, "nlevels", 1) - (name == "")
        assert read_frame(path).to_pydict() == data
    parquet.write_table(pa.table({"__index_level_0__": [1, 2], "__index_level_x__": [3, 4]}), path)
    assert (column_names(path), index_names(path)) == (["__index_level_x__"], ["__index_level_0__"])
    assert read_frame(path, drop=["__index_level_0__"]).column_names == ["__index_level_x__"]


@pytest.mark.parametrize(
    "about", ["{", "[1]", '{"index_columns": 3}', '{"index_columns": [{}, null, ["a"]]}', '{"a":' * 100_000, "\xff", '"a"']
)  # fmt: skip
def test_metadata_of_pandas_may_be_anything(about: str, tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": about.encode("latin-1")})
    parquet.write_table(table, tmp_path / "x.parquet")
    assert read_frame(tmp_path / "x.parquet").to_pydict() == {"a": [1, 2]} and column_names(tmp_path / "x.parquet") == ["a"]


def test_parquet_that_declares_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": [1.0] * 100}), path)
    monkeypatch.setattr(frames, "MOST_BYTES", 799)
    with pytest.raises(FormatError, match="table must take at most 799 bytes, got "):
        read_frame(path)


def test_parquet_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": [1, 2], "b": [[1], [2]]}), path)
    with pytest.raises(FormatError, match=r"column 'b' must hold numbers, text or dates, got list<.*; use --drop b"):
        read_frame(path)
    assert read_frame(path, drop=["b"]).to_pydict() == {"a": [1, 2]}
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="must be whole Parquet"):
        read_frame(path)
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(FormatError, match="must be Parquet, as its name says, got something else"):
        read_frame(path)
