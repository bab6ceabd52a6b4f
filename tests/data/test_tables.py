import gzip
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numlp.data.tables import Table, drop_columns, read_csv, split_target
from numlp.errors import ArgumentError, FormatError


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "data.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize(
    ("content", "names", "x"),
    [
        ("1,2\n3,4\n", (), [[1, 2], [3, 4]]),
        ("a,b\n1,2\n3,4", ("a", "b"), [[1, 2], [3, 4]]),
        ("\ufeffa,b\n1,2\n", ("a", "b"), [[1, 2]]),
        ("\ufeff1,2\n", (), [[1, 2]]),
        ("a,b\r\n1,2\r\n3,4\r\n", ("a", "b"), [[1, 2], [3, 4]]),
        ("a,b\r1,2\r", ("a", "b"), [[1, 2]]),
        ('"a, b","say ""c"""\n"1","2"\n', ("a, b", 'say "c"'), [[1, 2]]),
        ('"two\nlines",b\n1,2\n', ("two\nlines", "b"), [[1, 2]]),
        ('"two\r\nlines",b\r\n1,2\r\n', ("two\r\nlines", "b"), [[1, 2]]),
        (" a , b \n 1 ,\t2 \n", ("a", "b"), [[1, 2]]),
        ("\n\na,b\n\n1,2\n\n", ("a", "b"), [[1, 2]]),
        ("Größe,重さ\n1e3,-.5\n", ("Größe", "重さ"), [[1000, -0.5]]),
        ("label,0,1\n5,6,7\n", ("label", "0", "1"), [[5, 6, 7]]),
        (",b\n1,2\n", ("", "b"), [[1, 2]]),
        ("7\n", (), [[7]]),
    ],
)
def test_read_csv_reads_rows_with_or_without_names(write, content, names, x):
    table = read_csv(write(content))
    assert table.names == names
    assert table.x.tolist() == x
    assert table.x.dtype == np.float64


def test_read_csv_takes_a_header_of_numbers_for_a_row(write):
    """The documented limit: nothing tells such a header from data."""
    table = read_csv(write("1,2,4\n5,6,7\n"))
    assert table.names == ()
    assert table.x.tolist() == [[1, 2, 4], [5, 6, 7]]
    assert "give one column a name with a letter" in read_csv.__doc__


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "data.csv: file must have at least 1 row of numbers, got none"),
        ("\ufeff", "data.csv: file must have at least 1 row of numbers, got none"),
        ("\n\n\r\n", "data.csv: file must have at least 1 row of numbers, got none"),
        ("a,b\n", "data.csv: file must have at least 1 row of numbers, got none"),
        ("age,size\n1,2\nn/a,3\n", "data.csv line 3 column 'age': 'n/a' is not a finite number"),
        ("age,size\n1,\n", "data.csv line 2 column 'size': '' is not a finite number"),
        ("1,2\n3,x\n", "data.csv line 2 column 2: 'x' is not a finite number"),
        ("1,2\n3,nan\n", "data.csv line 2 column 2: 'nan' is not a finite number"),
        ("1,nan\n3,4\n", "data.csv line 1 column 2: 'nan' is not a finite number"),
        ("a,b\n-inf,4\n", "data.csv line 2 column 'a': '-inf' is not a finite number"),
        ("a,b\n1,1e999\n", "data.csv line 2 column 'b': '1e999' is not a finite number"),
        ("a,b\n1,1_000\n", "data.csv line 2 column 'b': '1_000' is not a finite number"),
        ("a,b\n1,2\n\n\n3,0x10\n", "data.csv line 5 column 'b': '0x10' is not a finite number"),
        ("a,b\n1,2\x00\n", "data.csv line 2 column 'b': '2\\x00' is not a finite number"),
        ("a,b\nc,d\n1,2\n", "data.csv line 2 column 'a': 'c' is not a finite number"),
        ('"a","b"\n1,"2"3\n', "data.csv line 2: file must be CSV text, got ',' expected after '\"'"),
        ("a,b\n1,2\n1,2,3\n", "data.csv line 3: row must have 2 columns, got 3"),
        ("a,b\n1,2\n1\n", "data.csv line 3: row must have 2 columns, got 1"),
        ("1,2\n1\n", "data.csv line 2: row must have 2 columns, got 1"),
        ("a,b\n1,2\n   \n", "data.csv line 3: row must have 2 columns, got 1"),
        ('a,b\n1,"2\n3,4\n', "data.csv line 2 column 'b': '\"2' is not a finite number"),
        ('a,b\n1,"2"3\n', "data.csv line 2 column 'b': '\"2\"3' is not a finite number"),
        ("a,b\n1," + "9" * 200_000, "data.csv line 2: file must be CSV text, got field larger than field limit (131072)"),
        ("a,b\n1," + "x" * 1000, f"data.csv line 2 column 'b': '{'x' * 40}' is not a finite number"),
        (
            b"a,b\n1,\xff\n",
            "data.csv line 2: file must be CSV text in UTF-8, got the byte 0xff, invalid start byte, after '1,'; use",
        ),
        ("größe,b\n1,2\n".encode("latin-1"), "data.csv line 1: file must be CSV text in UTF-8, got the byte 0xf6"),
        (b"PAR1\x15\x04\x15\x80", "data.csv line 1: file must be CSV text in UTF-8, got the byte 0x80"),
    ],
)
def test_read_csv_says_where_and_what_is_wrong(write, content, message):
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        read_csv(write(content))
    assert len(str(caught.value).replace(str(write(content)), "")) < 200


@pytest.mark.parametrize(
    ("cells", "count"),
    [
        (["n/a"], "1 such cell in the file"),
        (["n/a", "nan"], "2 such cells in the file"),
        (["nan", "n/a", "inf", ""], "4 such cells in the file"),
        (["x"] * 999, "999 such cells in the file"),
        (["x"] * 5000, "more than 999 such cells in the file"),
    ],
)
def test_read_csv_counts_what_is_not_finite_and_names_the_first(write, cells, count):
    lines = ["age,size", *["1,2"] * 1040, *(f"{cell},3" for cell in cells), "4,5"]
    with pytest.raises(FormatError) as caught:
        read_csv(write("\n".join(lines) + "\n"))
    message = f"data.csv line 1042 column 'age': {cells[0]!r} is not a finite number; {count}"
    assert str(caught.value).endswith(message)


def test_read_csv_holds_a_row_to_a_length_even_over_many_lines(write, monkeypatch):
    monkeypatch.setattr("numlp.data.csv_lines.MAX_ROW", 8)
    assert read_csv(write("1,2,3,4\n5,6,7,8\n")).x.shape == (2, 4)
    message = "row must have at most 8 characters, got more"
    with pytest.raises(FormatError, match=f"data.csv line 2: {message}"):
        read_csv(write("1,2,3,4\n5,6,7,88\n"))
    with pytest.raises(FormatError, match=f"data.csv line 4: {message}"):
        read_csv(write('1,2,3\n"1\n2\n345",2,3\n'))


def test_read_csv_prints_nothing_that_drives_a_terminal(write):
    with pytest.raises(FormatError) as caught:
        read_csv(write("a\x1b[2J,b\n\x1b]0;x\x07,2\n"))
    assert str(caught.value).isprintable()
    with pytest.raises(ArgumentError) as caught:
        split_target(read_csv(write("a\x1b[2J,b\n1,2\n")), "y", "data.csv")
    assert str(caught.value) == "data.csv: target must be one of the columns (a\\x1b[2J, b), got 'y'"


def test_read_csv_without_a_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "missing.csv")


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=60), st.text(alphabet='0123456789.,"\n\r \t-e_aN\x00\ufeff٣', max_size=60)))
def test_read_csv_of_anything_is_a_finite_table_or_an_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        table = read_csv(path)
    except FormatError:
        return
    assert table.x.ndim == 2
    assert table.x.size > 0
    assert np.isfinite(table.x).all()
    assert len(table.names) in (0, table.x.shape[1])


@settings(max_examples=50, deadline=None)
@given(x=st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3), min_size=1, max_size=5))
def test_read_csv_gives_back_every_number_exactly(tmp_path_factory, x):
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    path.write_text("a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in x))
    assert read_csv(path).x.tobytes() == np.array(x).tobytes()


def test_split_target_takes_the_column_out():
    x, y = split_target(Table(np.arange(6.0).reshape(2, 3), ("a", "label", "b")), "label", "data.csv")
    assert x.tolist() == [[0, 2], [3, 5]]
    assert y.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b"), "data.csv: target must be one of the columns (a, b), got 'label'"),
        (
            (),
            "data.csv: target must be one of the columns (1 to 2: the file has no line of names, so columns",
        ),
        (("label", "label"), "data.csv: target must be one column, got 'label' more than once in (label, label)"),
    ],
)
def test_split_target_lists_the_columns(names, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        split_target(Table(np.zeros((1, 2)), names), "label", "data.csv")


def test_gzip_is_read_and_a_part_of_it_refused(tmp_path):
    path = tmp_path / "data.csv.gz"
    whole = gzip.compress(b"1,2\n3,4\n")
    path.write_bytes(whole)
    assert read_csv(path).x.tolist() == [[1, 2], [3, 4]]
    path.write_bytes(whole[:-9])
    with pytest.raises(FormatError, match=r"data\.csv\.gz: file must be whole gzip, got "):
        read_csv(path)


def test_some_column_is_left() -> None:
    table = Table(np.ones((2, 2)), ("a", "b"))
    assert drop_columns(table, ["a"], "t.csv").names == ("b",)
    with pytest.raises(ArgumentError, match=r"^t\.csv: --drop must leave a column, got all of them$"):
        drop_columns(table, ["a", "b"], "t.csv")
