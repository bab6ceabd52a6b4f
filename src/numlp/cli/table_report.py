"""What was found in a table, column by column: kinds, readings, gaps, and what to do about it."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.cells import Labels, Table, cells, is_there, kind_of
from numlp.data.text_columns import Report, words_among_values
from numlp.errors import printable, typed

Array = NDArray[Any]

FEW = 10  # so many different whole numbers are classes
_SHOWN = 40  # columns in the list
_WORDS = 5  # words for a gap shown of a column
_FEW_WORDS = 3  # that may be gaps
_NEARLY = 0.9  # of the texts of a column
# such as 31/12/2024, 31.12.24, 2024/12/31, 2024-01, 20-Dec-2024, Jan 2024, December 20, 2024
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[.]?"
_OTHER_DATE = re.compile(
    "([0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{2}|[0-9]{4})|[0-9]{4}[-/.][0-9]{1,2}([-/.][0-9]{1,2})?|"
    f"([0-9]{{1,2}}[- .])?{_MONTH}[- .]*([0-9]{{1,2}},? )?[0-9]{{2,4}})( .*)?",
    re.IGNORECASE,
)
_WITH_UNIT = re.compile(r"[^\w]{0,3}[0-9][0-9.,' ]*[^0-9]{1,12}")  # such as 5 kg, €1.2M


class Target(NamedTuple):
    """What is to be predicted: the task and why it is that, which rows have a value, and the values of these."""

    task: str
    why: str
    there: Array
    values: Array


def describe(table: Table, path: str, categorical: Sequence[str], report: Report) -> list[dict[str, Any]]:
    """Return of each column of a file its name, kind, number of different values, gaps and advice; and `readings_of` it."""
    found = []
    for i, name in enumerate(table.names or ()):
        column = table.column(i, "category" if name in categorical else None)
        values = (column.codes if isinstance(column, Labels) else cells(column))[is_there(column)]
        kind, different, missing = kind_of(column), len(np.unique(values)), table.shape[0] - len(values)
        levels = column.levels if isinstance(column, Labels) else []
        advice = words_among_numbers(levels, path) or _advice(name, kind, values, different, missing, levels)
        about = {"name": name, "kind": kind, "different": different, "missing": missing, "advice": advice}
        found.append(about | readings_of(name, report))
    return found


def readings_of(name: str, report: Report) -> dict[str, Any]:
    """Return how the texts of a column were read, if not as plain numbers, and which words were gaps."""
    own = {"reading": report.readings.get(name), "gaps": report.gaps.get(name)}
    return {key: value for key, value in own.items() if value}


def notes_line(about: dict[str, Any]) -> str:
    """Return in words how a column was read, which words were gaps, and the advice."""
    words = sorted(about.get("gaps", {}).items(), key=lambda item: -item[1])
    gaps = ", ".join(f"{printable(word, 20)} {count:,}" for word, count in words[:_WORDS])
    gaps += ", ..." if len(words) > _WORDS else ""
    return "; ".join(part for part in (printable(about.get("reading", ""), 80), gaps, about.get("advice", "")) if part)


def words_among_numbers(levels: Sequence[str], path: str) -> str:
    """Return what to do about a column of text whose cells are numbers or dates but for a few words, or nothing."""
    words = words_among_values(levels)
    if not 0 < len(words) <= _FEW_WORDS or len(levels) - len(words) <= FEW:
        return ""
    shown = ", ".join(repr(printable(word, 20)) for word in words)
    what = "write gaps as null" if path.lower().endswith(".parquet") else " ".join(f"--missing {typed(w)}" for w in words)
    return f"numbers or dates beside {shown}: {what}, if that is a gap"


def _advice(name: str, kind: str, values: Array, different: int, missing: int, levels: Sequence[str]) -> str:
    """Return in words what should be done about a column, or nothing."""
    drop = "--drop it" if name.strip() else f"--drop {typed(name)}"
    if different == 0 or (different < 2 and not missing):
        return f"nothing can be learnt from it: {drop}"
    if kind == "category" and sum(map(_is_other_date, levels)) >= _NEARLY * len(levels):
        return "dates are categories unless they are written as 2024-12-31"
    if kind == "category" and different > FEW and sum(map(_is_with_unit, levels)) >= _NEARLY * len(levels):
        return "numbers with words beside them are categories: write the numbers alone"
    if kind == "category" and different == len(values) and different > FEW:
        return f"different in each row: {drop}"
    # where the file is in the order of what is asked for, a row's number gives it away
    if kind == "number" and not missing and values[0] in (0, 1) and (np.diff(values) == 1).all() and different > FEW:
        return f"counts the rows: {drop}"
    return ""


def _is_other_date(text: str) -> bool:
    return _OTHER_DATE.fullmatch(text.strip()) is not None


def _is_with_unit(text: str) -> bool:
    return _WITH_UNIT.fullmatch(text.strip()) is not None


def say_table(
    say: Callable[[str], None], path: str, name: str, found: Target, columns: list[dict[str, Any]], left_out: int,
    report: Report,
) -> None:  # fmt: skip
    """Say what was found in a table whose target is the column `name`."""
    rows = len(found.values)
    note = f"; {left_out:,} more without a target are left out" if left_out else ""
    say(f"{path}: {rows:,} rows, {len(columns):,} columns beside the target{note}")
    read = notes_line(readings_of(name, report))
    task = f"{found.task} of {printable(name, 60)!r}: {found.why}" + (f"; {read}" if read else "")
    if found.task == "classification":
        names, counts = np.unique(found.values, return_counts=True)
        shares = ", ".join(f"{printable(str(k), 20)} {n / rows:.1%}" for k, n in list(zip(names, counts, strict=True))[:8])
        task += f"\n{len(names)} classes: {shares}" + (", ..." if len(names) > 8 else "")
    say(task)
    shown = [printable(column["name"], 30) for column in columns[:_SHOWN]]
    width = max(6, *map(len, shown))
    say(f"{'column':<{width}}  kind      different  missing")
    for label, column in zip(shown, columns, strict=False):
        kind, different, missing = (column[key] for key in ("kind", "different", "missing"))
        say(f"{label:<{width}}  {kind:<8}  {different:>9,}  {missing:>7,}  {notes_line(column)}".rstrip())
    if rest := columns[_SHOWN:]:
        advised = [column["name"] for column in rest if "--drop" in column["advice"]]
        say(f"... and {len(rest):,} more" + (f", of which to drop: {listed(advised)}" if advised else ""))
        for column in rest:
            if "reading" in column:
                say(f"{printable(column['name'], 30)}: {printable(column['reading'], 80)}")


def listed(names: Sequence[str]) -> str:
    """Return the first names in one line."""
    return printable(", ".join(names[:30]), 300) + (", ..." if len(names) > 30 else "")
