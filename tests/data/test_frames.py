from pathlib import Path

import pytest

from numlp.data.frames import read_frame
from numlp.errors import FormatError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

BAD = {
    "text among numbers": (
        b"a,b\n" + b"1,x\n" * 20 + b"n/a,y\n",
        "line 22 column 'a': 'n/a' is not a number; use --missing n/a",
    ),
    "infinite": (b"a\n1\n\n1e999\ninf\n", "line 4 column 'a': '1e999' is not a number; use --missing 1e999"),
    "ragged": (b"a,b\n1,2\n3\n", "line 3: row must have 2 columns, got 1"),
    "empty": (b"", "got an empty file"),
    "header only": (b"a,b\n", "at least 1 row below the column names, got none"),
    "twice": (b"a,a\n1,2\n", "column names must differ, got 'a' 2 times"),
    "not UTF-8": (b"a,b\n1,\xff\n", "must be CSV text in UTF-8, got the byte 0xff"),
    "10 MB cell": (b"a\n" + b"x" * 10**7, "line 2: row must have at most 1,048,576 characters"),
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


def test_parquet_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": [1, 2], "b": [[1], [2]]}), path)
    with pytest.raises(FormatError, match=r"column 'b' must hold numbers or text, got list<.*; use --drop b"):
        read_frame(path)
    assert read_frame(path, drop=["b"]).to_pydict() == {"a": [1, 2]}
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="must be whole Parquet"):
        read_frame(path)
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(FormatError, match="must be Parquet, as its name says, got something else"):
        read_frame(path)
