"""Dates and times as days since 1970, and what of them is a number to learn from."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_EPOCH = datetime(1970, 1, 1)
_A_DAY = 86_400_000_000  # microseconds
_MONDAY = 3  # 1970 began on a Thursday
N_PARTS = 4


class Dates(NamedTuple):
    """A column of dates: days since the start of 1970 with their fractions, (n,) float64, in UTC; NaN is a gap."""

    days: Array


def as_utc(when: datetime) -> datetime:
    """Return a time in UTC and without a zone; one without a zone, or beyond the calendar in UTC, is taken as it is."""
    try:
        return when if when.tzinfo is None else when.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # such as the first day of the year 1, east of Greenwich
        return when.replace(tzinfo=None)


def days_of(when: date | np.datetime64) -> float:
    """Return the days from the start of 1970 to a date or a time."""
    when = when.to_datetime64() if hasattr(when, "to_datetime64") else when  # of pandas
    if isinstance(when, np.datetime64):
        if (micro := when.astype("datetime64[us]")).astype(when.dtype) == when:
            return int(micro.astype(np.int64)) / _A_DAY
        if (nano := when.astype("datetime64[ns]")).astype(when.dtype) == when:
            count = int(nano.astype(np.int64))
            return (count // 1000 + count % 1000 / 1000) / _A_DAY
        day = when.astype("datetime64[D]")  # years that microseconds cannot hold
        return float(day.astype(np.int64) + (when - day) / np.timedelta64(1, "D"))
    if isinstance(when, datetime):
        return (as_utc(when) - _EPOCH) / timedelta(days=1)
    return float((when - _EPOCH.date()).days)


def texts_of(days: Array) -> list[str]:
    """Return dates in ISO 8601, to the second; of midnights only the day."""
    seconds = np.rint(days * 86_400).astype("int64").astype("datetime64[s]")
    return [text.removesuffix("T00:00:00") for text in np.datetime_as_string(seconds).tolist()]


def date_parts(days: Array) -> Array:
    """Return what may be learnt from dates, (n, 4): trend, season, week and hour; NaN where there is a gap.

    t,  day of the year (0 .. 365),  day of the week (0 .. 6, from Monday),  t - floor(t);  t in days since the start of 1970
    """
    gaps = np.isnan(days)
    whole = np.floor(np.where(gaps, 0, days))
    day = whole.astype("int64").astype("datetime64[D]")
    in_year = (day - day.astype("datetime64[Y]").astype("datetime64[D]")).astype("float64")
    parts = np.stack([days, in_year, (whole + _MONDAY) % 7, days - whole], axis=1)
    parts[gaps] = np.nan
    return parts
