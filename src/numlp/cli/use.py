"""numlp evaluate, numlp predict, numlp data."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import numlp as nl
from numlp.cli.app import (
    DATASETS,
    FOR_CSV,
    AsJson,
    DataDir,
    Decimal,
    Delimiter,
    Drop,
    Encoding,
    Header,
    Name,
    Offline,
    Quiet,
    QuoteMark,
    SkipRows,
    Thousands,
    app,
    csv_options,
    describe,
    load,
    message_of,
    print_confusion,
    refuse,
    reports_errors,
    speaker,
    writable,
)
from numlp.cli.rows import as_trained, load_model, read_numbers, read_rows
from numlp.cli.tables import evaluate_table, marks_of, predict_table
from numlp.data.csv_dialect import CsvOptions
from numlp.data.mnist import data_folder, locate
from numlp.data.mnist_sources import SOURCES
from numlp.data.splits import Dataset, Split
from numlp.errors import ArgumentError, FormatError, NumlpError, ShapeError, printable
from numlp.progress import write_line

_SHOWN = 10  # wrong rows that are named

Model = Annotated[Path, typer.Argument(help="A model file.")]


@app.command(short_help="Print how good a model is on test rows.")
@reports_errors
def evaluate(
    context: typer.Context,
    model: Model,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=f"{', '.join(DATASETS)}, or a CSV file, or a table.")],
    target: Annotated[
        str | None, typer.Option(help="The column of a file with the right answers; the model of a table knows it.")
    ] = None,
    drop: Drop = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    delimiter: Delimiter = None,
    quote: QuoteMark = None,
    encoding: Encoding = None,
    header: Header = None,
    skip_rows: SkipRows = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print loss, accuracy and confusion matrix of a model on test data, or how far off its numbers are."""
    network = load_model(model, "evaluate MODEL DATASET")
    if "table" in network.extra:
        refuse(context, ("data_dir", "offline"), "a model of images, got one of a table")
        marks = marks_of(decimal, thousands, "evaluate")
        evaluate_table(network, model, dataset, target, drop or [], marks, csv_options(context), as_json, quiet)
        return
    refuse(context, ("decimal", "thousands"), "the model of a table")
    if dataset.lower().endswith((".csv", ".csv.gz")):
        rows, note = _read_labelled_csv(network, dataset, target, csv_options(context), drop or [])
    else:
        refuse(context, ("target", "drop", *FOR_CSV), "a CSV file")
        rows, note = _test_rows(network, load("evaluate", dataset, data_dir, offline, quiet)), f"the test rows of {dataset}"
    figures = nl.evaluate(network, rows, progress=not quiet)
    labels = network.predict(rows.x, progress=not quiet)
    counts = nl.confusion_matrix(labels, rows.y, network.n_out)
    wrong = np.flatnonzero(labels != rows.y).tolist()
    if as_json:
        print(json.dumps({**figures, "rows": len(rows.x), "confusion_matrix": counts.tolist(), "wrong": wrong}))
        return
    smoothing = getattr(network.loss, "label_smoothing", 0)
    note += f", label smoothing {smoothing:g} in the loss" if smoothing else ""
    speaker(as_json=False, quiet=False)(
        f"loss {figures['loss']:.4f}  accuracy {figures['accuracy']:.2%}  ({len(rows.x):,} rows: {note})"
        + (f"  wrong, counted from 0: {', '.join(map(str, wrong[:_SHOWN]))}" if wrong else "")
        + (f", ... (all {len(wrong):,} with --json)" if len(wrong) > _SHOWN else "")
    )
    names = network.class_names or tuple(str(k) for k in range(network.n_out))
    print_confusion(names, counts)


@app.command(short_help="Print what a model says about pictures or rows.")
@reports_errors
def predict(
    context: typer.Context,
    model: Model,
    sources: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures, CSV rows or IDX files; or a table.")],
    out: Annotated[Path | None, typer.Option(help="CSV file for the predictions of a table.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="For a table: also the probability of each class.")] = False,
    drop: Drop = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    delimiter: Delimiter = None,
    quote: QuoteMark = None,
    encoding: Encoding = None,
    header: Header = None,
    skip_rows: SkipRows = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the class of each row of a file, and how sure the model is, or the number it predicts.

    With several files each line begins with the name of the file; one that cannot be read is reported, the others are
    predicted, and the exit status is 2.
    """
    if out is not None:
        writable(out, str(sources[0]))
    network = load_model(model, "predict MODEL FILE...")
    if "table" in network.extra:
        if len(sources) > 1:
            raise ArgumentError(f"predict: FILE must be one file for the model of a table, got {len(sources)}")
        marks = marks_of(decimal, thousands, "predict")
        predict_table(network, model, sources[0], drop or [], marks, csv_options(context), out, proba, as_json, quiet)
        return
    refuse(context, ("out", "proba", "decimal", "thousands"), "the model of a table")
    csv = csv_options(context)
    if len(sources) == 1:
        found = _predictions(network, sources[0], csv, drop or [], quiet)
        print(json.dumps(found)) if as_json else _print_predictions(found, "", quiet)
        return
    failed = False
    if not (as_json or quiet):
        print("file\tclass\tprobability")
    files = []
    for source in sources:
        try:
            found = _predictions(network, source, csv, drop or [], quiet)
        except (NumlpError, OSError) as error:
            failed, found = True, {"source": str(source), "error": message_of(error)}
            write_line(f"numlp: {found['error']}", sys.stderr)
        files.append(found)
        if not as_json and "error" not in found:
            _print_predictions(found, f"{printable(str(source))}\t", quiet)
    if as_json:
        print(json.dumps({"files": files}))
    if failed:
        raise typer.Exit(2)


def _predictions(network: nl.Network, source: Path, csv: CsvOptions, drop: Sequence[str], quiet: bool) -> dict[str, Any]:
    """Return in JSON's types what the network says about the rows of a file."""
    x, note = read_rows(network, source, csv, drop)
    probabilities = network.predict_proba(x, progress=not quiet)
    names = network.class_names or tuple(str(k) for k in range(network.n_out))
    rows = [
        {"label": int(label), "class": names[label], "probability": float(p[label])}
        for label, p in zip(probabilities.argmax(axis=1), probabilities, strict=True)
    ]
    return {"source": str(source), "note": note, "predictions": rows}


def _print_predictions(found: dict[str, Any], start: str, quiet: bool) -> None:
    """Print a line for each prediction, and on stderr what was assumed."""
    if not quiet:
        write_line(f"{found['source']}: {found['note']}", sys.stderr)
    for row in found["predictions"]:
        print(f"{start}{printable(row['class'])}\t{row['probability']:.4f}")


@app.command(short_help="Fetch, verify and describe a data set.")
@reports_errors
def data(
    dataset: Name, data_dir: DataDir = None, offline: Offline = False, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Fetch what is missing, verify it, and describe it."""
    loaded = load("data", dataset, data_dir, offline, quiet)
    splits = {name: getattr(loaded, name) for name in ("train", "validation", "test")}
    facts: dict[str, Any] = {"dataset": dataset, "classes": loaded.class_names, "image_shape": loaded.image_shape}
    if dataset in SOURCES:
        folder = data_dir or data_folder(dataset)
        facts["files"] = list(dict.fromkeys(map(str, locate(folder, dataset, offline=True))))
    facts["rows"] = {name: len(split.x) for name, split in splits.items()}
    facts["rows_per_class"] = {
        name: np.bincount(split.y, minlength=len(loaded.class_names)).tolist() for name, split in splits.items()
    }
    if as_json:
        print(json.dumps(facts))
        return
    print(describe(loaded))
    for path in facts.get("files", ()):
        print(f"  {path}  verified")
    width = max(len(name) for name in loaded.class_names)
    print(f"{'rows per class':>{max(width, 14)}}  " + "  ".join(f"{name:>10}" for name in splits))
    for k, name in enumerate(loaded.class_names):
        counts = "  ".join(f"{facts['rows_per_class'][split][k]:>10,}" for split in splits)
        print(f"{name:>{max(width, 14)}}  {counts}")


def _test_rows(network: nl.Network, data: Dataset) -> Split:
    """Return the test rows of a data set in the units the network was trained on.

    Raises
    ------
    ShapeError
        If the network takes rows of another length.
    """
    height, width = data.image_shape
    if height * width != network.n_in:
        side = math.isqrt(network.n_in)
        taken = f"{side}x{side}" if side * side == network.n_in else f"{network.n_in} columns"
        raise ShapeError(f"evaluate: {data.name} must have what the model takes, {taken}, got {height}x{width}")
    return Split(as_trained(network, data.test.x, f"evaluate: {data.name}", pixels=True)[0], data.test.y)


def _read_labelled_csv(
    network: nl.Network, path: str, target: str | None, csv: CsvOptions, drop: Sequence[str]
) -> tuple[Split, str]:
    if target is None:
        raise ArgumentError("evaluate: --target must name the column of labels in a CSV file, got none")
    table, y, how = read_numbers(network, path, csv, drop, target)
    x = table.x
    wrong = y[(y != np.floor(y)) | (np.abs(y) > 1e9)]
    if len(wrong) or not x.size:
        found = wrong[0] if len(wrong) else "no other column"
        raise FormatError(f"{path} column {target!r}: labels must be whole numbers beside other columns, got {found}")
    rows, note = as_trained(network, x, path)
    return Split(rows, y.astype(np.int64)), note + how
