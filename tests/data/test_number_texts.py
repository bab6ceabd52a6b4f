"""Numbers of a CSV file are read as they were written, or asked about; never as other numbers."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")

from numlp.data.frames import read_frame
from numlp.data.number_texts import Marks
from numlp.data.text_columns import report_of
from numlp.errors import FormatError

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
UNITS = ("{}", "${}", "{} €", "US$ {}", "CHF {}", "{} kr", "{}%", "{} %")
SIGNS = ("-{}", "({})", "{}-", "\u2212{}")


def written(value: float, places: int, decimal: str, thousands: str, unit: str, sign: str) -> str:
    """Return a number as text."""
    digits = f"{abs(value):,.{places}f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
    return (sign if value < 0 else "{}").format(unit.format(digits))


def table(path: Path, columns: dict[str, list[str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=delimiter)
        rows.writerow([*columns, "words"])  # without a second column no delimiter can be found
        rows.writerows(zip(*columns.values(), ["a"] * len(next(iter(columns.values()))), strict=True))
    return path


def read(path: Path, columns: dict[str, list[str]], delimiter: str = ",", **options: Any) -> dict[str, Any]:
    return dict(read_frame(table(path, columns, delimiter), drop=["words"], **options).to_pydict())


column = st.tuples(
    st.integers(0, 4), st.sampled_from([*UNITS, *["{}"] * 8]), st.sampled_from(SIGNS),
    st.lists(st.integers(-(10**9), 10**9) | st.integers(-99_999, 99_999) | st.integers(0, 9), min_size=1, max_size=6),
)  # fmt: skip


@SETTINGS
@given(
    st.lists(column, min_size=1, max_size=3), st.sampled_from(".,"),
    st.sampled_from([*",.' ", "", "\u00a0", "\u202f", "\u2019"]), st.sampled_from(",;\t"), st.booleans(), st.booleans(),
)  # fmt: skip
def test_numbers_in_any_format_are_the_same_numbers_or_refused(
    tmp_path: Path, made: Any, decimal: str, thousands: str, delimiter: str, decimal_said: bool, thousands_said: bool
) -> None:
    if decimal == thousands:
        thousands = ""
    if delimiter == "," == decimal:
        made = [*made, (1, "{}", "-{}", [5] * 6)]  # in such a file points are decimal, unless a cell says otherwise
    n = min(len(values) for *_, values in made)
    wanted = {f"c{i}": np.array(values[:n]) / 10**places for i, (places, _, _, values) in enumerate(made)}
    texts = {
        f"c{i}": [written(value, places, decimal, thousands, unit, sign) for value in wanted[f"c{i}"]]
        for i, (places, unit, sign, _) in enumerate(made)
    }
    known = {"\u00a0": " ", "\u202f": " ", "\u2019": "'", "": None}.get(thousands, thousands)
    marks = Marks(decimal if decimal_said else None, known if thousands_said else None)
    try:
        found = read(tmp_path / "x.csv", texts, delimiter, marks=marks)
    except FormatError as error:
        assert not decimal_said and " line " in str(error) and " use " in str(error)
        return
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-15)


ONE_READING = {
    "Indian": (["12,34,567", "1,850"], [1234567.0, 1850.0], "12,34,567 read as 1234567: thousands"),
    "millions": (["1,234,567", "850"], [1234567.0, 850.0], "1,234,567 read as 1234567: thousands"),
    "both marks": (["1.234,50", "2"], [1234.5, 2.0], "1.234,50 read as 1234.5: thousands, decimal comma"),
    "points in groups": (["1.234.567", "1.850"], [1234567.0, 1850.0], "1.234.567 read as 1234567: thousands"),
    "blanks": (["1 850", "12"], [1850.0, 12.0], "1 850 read as 1850: thousands"),
    "apostrophes": (["1'850.5", "12"], [1850.5, 12.0], "1'850.5 read as 1850.5: thousands"),
    "decimal comma": (["0,850", "1,850"], [0.85, 1.85], "0,850 read as 0.85: decimal comma"),
    "currency": (["$84,835.00", "$0"], [84835.0, 0.0], "$84,835.00 read as 84835: currency, thousands"),
    "percent": (["12%", "0"], [12.0, 0.0], "12% read as 12: percent"),
    "brackets": (["(12.5)", "1"], [-12.5, 1.0], "(12.5) read as -12.5: brackets"),
    "brackets behind a currency": (["$(5.50)", "$1.00"], [-5.5, 1.0], "$(5.50) read as -5.5: currency, brackets"),
    "two names of a currency": (["$5.50 USD", "$1 USD"], [5.5, 1.0], "$5.50 USD read as 5.5: currency"),
    "percent behind brackets": (["(5)%", "1%"], [-5.0, 1.0], "(5)% read as -5: percent, brackets"),
    "minus behind": (["5.0-", "1"], [-5.0, 1.0], "5.0- read as -5: sign behind"),
    "contradicting lengths": (["4,850", "12.50"], [4850.0, 12.5], "4,850 read as 4850: thousands"),
}  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ONE_READING)
def test_column_with_one_reading_is_read_and_said(name: str, delimiter: str, tmp_path: Path) -> None:
    texts, values, reading = ONE_READING[name]
    frame = read_frame(table(tmp_path / "x.csv", {"x": texts}, delimiter))
    assert frame["x"].to_pylist() == values and report_of(frame).readings == {"x": reading}


@pytest.mark.parametrize(("text", "mark"), [("1,850", ","), ("1.850", "."), ("$1,850", ",")])
def test_column_with_two_readings_is_asked_about(text: str, mark: str, tmp_path: Path) -> None:
    path, columns = tmp_path / "x.csv", {"x": ["222", text, "7"], "y": ["1", "2", "3"]}
    with pytest.raises(FormatError) as error:
        read(path, columns, ";")
    assert str(error.value) == (
        f"{path} line 3 column 'x': number must have one reading, got {text!r}, which may be 1850 or 1.85; use --thousands "
        f"{mark} for 1850, or --decimal {mark} for 1.85"
    )
    assert read(path, columns, ";", marks=Marks(thousands=mark))["x"] == [222, 1850, 7]
    assert read(path, columns, ";", marks=Marks(decimal=mark))["x"] == [222, 1.85, 7]
    other = {",": ".", ".": ","}[mark]
    assert read(path, columns | {"y": [f"0{other}5", "1", "2"]}, ";")["x"] == [222, 1850, 7]  # one file, one decimal mark
    assert read(path, columns | {"y": [f"0{mark}5", "1", "2"]}, ";")["x"] == [222, 1.85, 7]


def test_points_of_a_file_with_commas_are_decimal_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    frame = read_frame(table(path, {"x": ["1.850", "2.442"]}))
    assert frame["x"].to_pylist() == [1.85, 2.442] and report_of(frame).readings == {}
    with pytest.raises(FormatError, match=r"column 'x': number must have one reading, got '1\.850'"):
        read(path, {"x": ["1.850", "222"]})  # who writes three places writes 222.000
    assert read(path, {"x": ["1.850", "2"], "y": ["0,5", "1"]})["x"] == [1850, 2]
    assert read(path, {"x": ["1.850", "2"]}, marks=Marks(",")) == {"x": [1850, 2]}
    with pytest.raises(FormatError, match=r"column 'y': number must have one reading, got '1,850'"):
        read(path, {"x": ["1.850", "2"], "y": ["1,850", "1"]})
    assert read(path, {"x": ["1.8", "2"], "y": ["1,850", "1"]})["y"] == [1850, 1]


CONTRADICTIONS = {
    "two decimal marks": (
        {"x": ["1", "1,5"], "y": ["2.5", "1"]},
        "line 3 column 'x': number must have the decimal mark of the file, a point as '2.5' in column 'y', got '1,5'",
    ),
    "in one column": ({"x": ["1,5", "2.5"]}, "line 3 column 'x': number must be written like the others of its column"),
    "two currencies": ({"x": ["$5", "5 €"]}, "line 3 column 'x': number must have the unit of its column, as '$5', got"),
    "percent and none": ({"x": ["0.5", "5%"]}, "line 2 column 'x': number must have the unit of its column, as '5%', got"),
    "two marks of thousands": ({"x": ["1 850", "1'850"]}, "line 3 column 'x': number must be written like the others"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_numbers_that_contradict_each_other_are_named(name: str, tmp_path: Path) -> None:
    columns, message = CONTRADICTIONS[name]
    with pytest.raises(FormatError) as error:
        read(tmp_path / "x.csv", columns, ";")
    assert message in str(error.value) and "use --categorical x" in str(error.value)


def test_marks_that_are_given_must_be_those_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"line 2 column 'x': number must be written as --decimal , says, got '2\.5'"):
        read(tmp_path / "x.csv", {"x": ["2.5"]}, ";", marks=Marks(","))
    with pytest.raises(FormatError, match=r"number must be written as --thousands ' ' says, got '1,850\.5'"):
        read(tmp_path / "x.csv", {"x": ["1,850.5"]}, ";", marks=Marks(thousands=" "))


def test_file_is_read_with_the_marks_of_the_training(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for text, marks, value in (
        ("1,850", Marks(","), 1.85), ("1,850", Marks(thousands=","), 1850), ("1.850", Marks("."), 1.85),
        ("1.850", Marks(thousands="."), 1850), ("$5", Marks(units={}), 5),
    ):  # fmt: skip
        assert read(path, {"x": [text]}, ";", trained=marks) == {"x": [value]}
    for text, marks, message in (
        ("1,850", Marks("."), "number must have one reading"),  # the training had no such mark
        ("1.850", Marks(","), "number must have one reading"),
        ("12,50", Marks(thousands=","), r"line 2 column 'x': .* with ',' as thousands mark, got '12,50'; .* --decimal ,"),
        ("1.850,5", Marks("."), r"line 2 column 'x': .* with '\.' as decimal mark, got '1\.850,5'; .* --decimal ,"),
        ("12", Marks(units={"x": "%"}), "column 'x' must hold numbers in %, as .*, got plain numbers"),
        ("12%", Marks(), "column 'x' must hold plain numbers, as .*, got numbers in %"),
        ("$5", Marks(units={"x": "€"}), r"column 'x' must hold numbers in €, as .*, got numbers in \$"),
    ):
        with pytest.raises(FormatError, match=message):
            read(path, {"x": [text]}, ";", trained=marks)
    assert read(path, {"x": ["12,50"]}, ";", trained=Marks(thousands=","), marks=Marks(",")) == {"x": [12.5]}
    assert read(path, {"x": ["12.5"]}, trained=Marks(",")) == {"x": [12.5]}
    with pytest.raises(FormatError, match="must have one reading"):  # the file has commas, the training decimal commas
        read(path, {"x": ["1.850"]}, trained=Marks(","))


def test_what_only_looks_like_a_number_stays_text(tmp_path: Path) -> None:
    texts = ["1,2,3", "31.12.2024", "10.0.0.1", "555-1234", "1 2", "12:30", "2024-01", "5 kg", "(5", "5)", "--5", "$", "%"]
    assert read(tmp_path / "x.csv", {"x": texts}, ";") == {"x": texts}
    texts = ["1,5", "2", "small", "large"]
    assert read(tmp_path / "x.csv", {"x": texts}, ";") == {"x": texts}
