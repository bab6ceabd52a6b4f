"""Words for a gap in CSV files: gaps among numbers and dates, whatever their share, and words among words."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")

from numlp.data.frames import read_frame
from numlp.data.text_columns import report_of
from numlp.data.value_texts import GAP_WORDS
from numlp.errors import FormatError

SETTINGS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# as pandas reads them by default
PANDAS = [
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
]  # fmt: skip


def written(path: Path, cells: list[str]) -> Path:
    path.write_text("x,y\n" + "".join(f'"{cell}",a\n' for cell in cells), encoding="utf-8")
    return path


@SETTINGS
@given(
    st.lists(st.sampled_from([*sorted(GAP_WORDS), *PANDAS, "?", "-", ".", "\\N", " ", "\t?"]), min_size=1, max_size=30),
    st.sampled_from([["1", "2.5"], ["2026-11-29", "2026-11-30T06:00"], ["$1,850.00", "$7.50"]]), st.randoms(),
)  # fmt: skip
def test_word_for_a_gap_is_one_at_any_share_and_counted(
    tmp_path: Path, words: list[str], values: list[str], order: Any
) -> None:
    path = tmp_path / "x.csv"
    read = read_frame(written(path, values))["x"].to_pylist()
    places = order.sample(range(len(words) + 2), 2)
    cells = list(words)
    for value, place in zip(values, sorted(places), strict=True):
        cells.insert(place, value)
    frame = read_frame(written(path, cells))
    assert [value for value in frame["x"].to_pylist() if value is not None] == read
    gaps = report_of(frame).gaps.get("x", {})
    wanted = [word.strip() for word in words if word.strip()]
    assert gaps == {word: wanted.count(word) for word in wanted}


def test_word_for_a_gap_stays_a_word_among_words_but_an_empty_cell_does_not(tmp_path: Path) -> None:
    cells = ["red", "NA", "-", "", "  ", "none", "7", "blue"]
    frame = read_frame(written(tmp_path / "x.csv", cells))
    assert frame["x"].to_pylist() == ["red", "NA", "-", None, None, "none", "7", "blue"] and not report_of(frame).gaps


def test_user_adds_words_and_takes_the_usual_ones_away(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", ["1", "NA", " soon", "-200", "soon"])
    frame = read_frame(path, missing=["soon", "-200", "never"])
    report = report_of(frame)
    assert frame["x"].to_pylist() == [1, None, None, None, None] and report.unused == ["never"]
    assert report.gaps == {"x": {"NA": 1, "soon": 2, "-200": 1}}
    for word in ("NA", "NaN"):
        path = written(path, ["1"] * 20 + [word])
        with pytest.raises(FormatError, match=f"line 22 column 'x': '{word}' is not a number; use --missing {word}"):
            read_frame(path, default_missing=False)
        assert read_frame(path, default_missing=False, missing=[word])["x"].to_pylist()[-1] is None
        assert read_frame(written(path, ["1", word]), default_missing=False)["x"].to_pylist() == ["1", word]


def test_column_of_gaps_only_is_text_unless_it_must_be_something(tmp_path: Path) -> None:
    for words in (["nan", "nan", ""], ["", "", ""], ["NA", "?", ""]):
        path = written(tmp_path / "x.csv", words)
        assert read_frame(path)["x"].type == "string" and read_frame(path)["x"].null_count == 3
        assert read_frame(path, kinds={"x": "number"})["x"].type == "double"
        assert read_frame(path, kinds={"x": "date"})["x"].null_count == 3
    assert read_frame(path, kinds={"x": "category"})["x"].to_pylist() == ["NA", "?", None]


def test_truth_values_are_numbers_where_numbers_must_be(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", ["True", "FALSE", "", "true"])
    assert read_frame(path, kinds={"x": "number"})["x"].to_pylist() == [1, 0, None, 1]
    assert read_frame(path)["x"].to_pylist() == ["True", "FALSE", None, "true"]
    frame = read_frame(written(path, ["TRUE", "NA", "FALSE"]))  # as R writes them
    assert frame["x"].to_pylist() == ["TRUE", None, "FALSE"] and report_of(frame).gaps == {"x": {"NA": 1}}
    with pytest.raises(FormatError, match="line 3 column 'x': 'true' is not a number"):
        read_frame(written(path, ["1", "true"]), kinds={"x": "number"})
    with pytest.raises(FormatError, match=r"line 2 column 'x': 'true' is not a number; .*; 5 such cells"):
        read_frame(written(path, ["true", "True", "TRUE", "true", "soon"]), kinds={"x": "number"})


def test_hint_for_a_cell_can_be_typed(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", ["1"] * 20 + ["not\tyet"])
    with pytest.raises(FormatError, match=r"use --missing \$'not\\tyet', or --categorical x; 1 such cell"):
        read_frame(path)
    assert read_frame(path, missing=["not\tyet"])["x"].null_count == 1
    with pytest.raises(FormatError, match=rf"line 22 column 'x': '{'z' * 40}' is not a number; use --categorical x; 1 such"):
        read_frame(written(path, ["1"] * 20 + ["z" * 5000]))
