"""Dates become numbers; what they become is what Python's own calendar says, date by date."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from numlp.data.cells import Labels, Table
from numlp.data.columns import Columns
from numlp.data.dates import Dates, date_parts, days_of, texts_of
from numlp.errors import CheckpointError, DTypeError

EAST = timezone(timedelta(hours=2))
TIMES = [
    datetime(1970, 1, 1),
    datetime(1969, 12, 31, 18),
    datetime(2024, 2, 29, 23, 59, 59, 250_000),
    datetime(2026, 12, 31, 6),
    datetime(1600, 3, 1, 12),
    datetime(9999, 12, 31),
]


def objects(*columns: Any) -> Any:
    out = np.empty((len(columns[0]), len(columns)), object)
    for i, column in enumerate(columns):
        out[:, i] = column
    return out


def dates(x: Any, i: int = 0) -> Any:
    found = Table(x, "test").column(i)
    assert isinstance(found, Dates)
    return found.days


def test_parts_are_those_of_the_calendar() -> None:
    days = np.array([days_of(when) for when in TIMES])
    for when, (t, in_year, weekday, hour) in zip(TIMES, date_parts(days), strict=True):
        clock = (when - datetime(when.year, when.month, when.day)) / timedelta(days=1)
        assert (in_year, weekday) == (when.timetuple().tm_yday - 1, when.weekday())
        assert t == when.toordinal() - date(1970, 1, 1).toordinal() + clock and hour == pytest.approx(clock, abs=1e-9)
    assert np.isnan(date_parts(np.array([np.nan, 1.5]))).tolist() == [[True] * 4, [False] * 4]


def test_a_date_is_the_same_from_python_numpy_and_text() -> None:
    x = objects([datetime(2026, 11, 29, 6), date(2026, 11, 29), np.datetime64("2026-11-29T06"), None, np.datetime64("NaT")])
    noon = datetime(2026, 11, 29, 12, tzinfo=EAST)
    days = dates(x)
    assert days[0] == days[2] == days[1] + 0.25 and np.isnan(days[3:]).all()
    assert dates(objects([noon])) == dates(objects([noon.astimezone(UTC)])) == days[1] + 10 / 24
    matrix = np.array([["2026-11-29T06:00", "2026-11-29"], ["NaT", "2026-11-30"]], "datetime64[ns]")
    assert dates(matrix).tolist()[0] == days[0] and dates(matrix, 1).tolist() == [days[1], days[1] + 1]
    assert dates(np.array([["1000000-01-01"]], "datetime64[D]")) == [days_of(date(2000, 1, 1)) + 2495 * 146_097]
    assert texts_of(days[:2]) == ["2026-11-29T06:00:00", "2026-11-29"]


def test_a_date_is_the_same_from_every_kind_of_frame() -> None:
    pa = pytest.importorskip("pyarrow")
    day = [date(2026, 11, 29), None, date(1969, 7, 20)]
    expected = [days_of(day[0]), None, days_of(day[2])]
    times = [None if d is None else datetime(d.year, d.month, d.day, 6) for d in day]
    for kind in (pa.date32(), pa.date64()):
        np.testing.assert_array_equal(dates(pa.table({"d": pa.array(day, kind)})), np.array(expected, float))
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "+02:00"):  # moments are the same in any zone
            found = dates(pa.table({"d": pa.array(times, pa.timestamp(unit, zone))}))
            np.testing.assert_array_equal(found, np.array(expected, float) + 0.25)
    late = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))  # beyond Python's calendar
    assert date_parts(dates(pa.table({"d": late})))[0, 1] < 366


def fitted(x: Any, categorical: Any = None) -> Columns:
    return Columns.fit(Table(x, "test"), np.arange(len(x)), categorical)


def matrix(columns: Columns, x: Any) -> Any:
    return columns.matrix(Table(x, "test"), "test")


def test_a_column_of_dates_fills_four_numbers_and_one_for_gaps() -> None:
    when = [datetime(2025, 1, 1) + timedelta(hours=7 * k) for k in range(300)]
    when[3] = None  # type: ignore[call-overload]
    x = objects(list("ab" * 150), when, np.arange(300.0))
    columns = fitted(x)
    assert columns.kinds == ["category", "date", "number"] and columns.n_numbers == 5 and columns.width == 7
    assert (
        sorted(columns.places(0) + columns.places(1) + columns.places(2)) == list(range(7)) and len(columns.places(1)) == 5
    )
    found = matrix(columns, x)
    plain = fitted(date_parts(np.array([np.nan if w is None else days_of(w) for w in when])))
    expected = matrix(plain, date_parts(np.array([np.nan if w is None else days_of(w) for w in when])))
    np.testing.assert_array_equal(found[:, columns.places(1)], expected[:, [0, 1, 2, 3, 4]])
    again = Columns.from_config(columns.to_config(), "test")
    assert matrix(again, x).tobytes() == found.tobytes()
    texts = x.copy()
    texts[:, 1] = [None if w is None else w.isoformat() for w in when]  # read as dates where the model has dates
    assert matrix(columns, texts).tobytes() == found.tobytes()
    texts[:, 1] = None
    assert (matrix(columns, texts)[:, columns.places(1)[:4]] == 0).all()


def test_dates_can_be_categories() -> None:
    x = objects([date(2026, 1, 1), date(2026, 1, 2), None] * 3)
    found = Table(x, "test").column(0, "category")
    assert isinstance(found, Labels) and found.levels[found.codes[1]] == "2026-01-02" and found.codes[2] == -1
    assert fitted(x, [0]).parts[0]["levels"] == ["2026-01-01", "2026-01-02"]


def test_equal_dates_have_equal_keys() -> None:
    keys = Table(objects([date(2026, 1, 1), datetime(2026, 1, 1), None, date(2026, 1, 2), None]), "test").keys()
    assert keys[0] == keys[1] and keys[2] == keys[4] and len(set(keys.tolist())) == 3


def test_numbers_and_dates_do_not_stand_for_each_other() -> None:
    times, numbers = objects([date(2026, 1, 1), date(2026, 1, 2)]), np.array([[1.0], [2.0]])
    for columns, x, wanted, got in (
        (fitted(times), numbers, "dates", "numbers"),
        (fitted(numbers), times, "numbers", "dates"),
        (fitted(times), objects(["2026-01-01", "soon"]), "dates", "'soon'"),
    ):
        with pytest.raises(DTypeError, match=rf"^test: column 0 must hold {wanted}, as when it was fitted, got {got}$"):
            matrix(columns, x)
    assert np.isfinite(matrix(fitted(numbers), objects([np.datetime64("NaT"), None]))).all()


def test_durations_are_told_to_be_converted() -> None:
    with pytest.raises(DTypeError, match=r"^test: column 0 must hold numbers, text or dates, got timedelta64\[D\]; drop or"):
        fitted(np.array([[1], [2]], "timedelta64[D]"))


@pytest.mark.parametrize("change", [{"median": 0.0}, {"scale": [1.0] * 3}, {"gap": [1.0]}, {"median": [float("nan")] * 4}])
def test_dates_of_a_model_file_are_checked(change: dict[str, Any]) -> None:
    part = {"kind": "date", "median": [0.0] * 4, "scale": [1.0] * 4, "gap": None}
    assert Columns.from_config({"names": None, "parts": [part]}, "test").width == 4
    with pytest.raises(CheckpointError, match="columns must be those of a fitted table"):
        Columns.from_config({"names": None, "parts": [part | change]}, "test")
