"""numlp evaluate, numlp predict, numlp data."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import numlp as nl
from numlp.cli.app import (
    DATASETS,
    AsJson,
    DataDir,
    Drop,
    Name,
    Offline,
    Quiet,
    app,
    describe,
    load,
    print_confusion,
    refuse,
    reports_errors,
    writable,
)
from numlp.cli.tables import evaluate_table, predict_table
from numlp.data.images import read_png
from numlp.data.mnist import SOURCES, data_folder, locate
from numlp.data.splits import Split
from numlp.data.tables import read_csv, split_target
from numlp.errors import ArgumentError, FormatError, ShapeError, printable

Model = Annotated[Path, typer.Argument(help="A model file.")]


@app.command()
@reports_errors
def evaluate(
    context: typer.Context,
    model: Model,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=f"{', '.join(DATASETS)}, or a CSV file, or a table.")],
    target: Annotated[
        str | None, typer.Option(help="The column of a file with the right answers; the model of a table knows it.")
    ] = None,
    drop: Drop = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print loss, accuracy and confusion matrix of a model on test data, or how far off its numbers are."""
    network = nl.load(model)
    if "table" in network.extra:
        refuse(context, ("data_dir", "offline"), "a model of images, got one of a table")
        evaluate_table(network, model, dataset, target, drop or [], as_json, quiet)
        return
    refuse(context, ("drop",), "the model of a table")
    if dataset.endswith(".csv"):
        rows, note = _read_labelled_csv(network, dataset, target)
    else:
        rows, note = load(dataset, data_dir, offline, quiet).test, f"the test rows of {dataset}"
    figures = nl.evaluate(network, rows, progress=not quiet)
    counts = nl.confusion_matrix(network.predict(rows.x, progress=not quiet), rows.y, network.n_out)
    if as_json:
        print(json.dumps({**figures, "rows": len(rows.x), "confusion_matrix": counts.tolist()}))
        return
    print(f"loss {figures['loss']:.4f}  accuracy {figures['accuracy']:.2%}  ({len(rows.x):,} rows: {note})")
    names = network.class_names or tuple(str(k) for k in range(network.n_out))
    print_confusion(names, counts)


@app.command()
@reports_errors
def predict(
    context: typer.Context,
    model: Model,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A PNG picture, CSV rows, an IDX file, or a table.")],
    out: Annotated[Path | None, typer.Option(help="CSV file for the predictions of a table.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="For a table: also the probability of each class.")] = False,
    drop: Drop = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the class of each row of a file, and how sure the model is, or the number it predicts."""
    if out is not None:
        writable(out, str(source))
    network = nl.load(model)
    if "table" in network.extra:
        predict_table(network, model, source, drop or [], out, proba, as_json, quiet)
        return
    refuse(context, ("out", "proba", "drop"), "the model of a table")
    x, note = _read_rows(network, source)
    probabilities = network.predict_proba(x, progress=not quiet)
    names = network.class_names or tuple(str(k) for k in range(network.n_out))
    labels = probabilities.argmax(axis=1)
    if as_json:
        rows = [
            {"label": int(label), "class": names[label], "probability": float(p[label])}
            for label, p in zip(labels, probabilities, strict=True)
        ]
        print(json.dumps({"source": str(source), "note": note, "predictions": rows}))
        return
    if not quiet:
        print(f"{source}: {note}", file=sys.stderr)
    for label, p in zip(labels, probabilities, strict=True):
        print(f"{printable(names[label])}\t{p[label]:.4f}")


@app.command()
@reports_errors
def data(
    dataset: Name, data_dir: DataDir = None, offline: Offline = False, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Fetch what is missing, verify it, and describe it."""
    loaded = load(dataset, data_dir, offline, quiet)
    splits = {name: getattr(loaded, name) for name in ("train", "validation", "test")}
    facts: dict[str, Any] = {"dataset": dataset, "classes": loaded.class_names, "image_shape": loaded.image_shape}
    if dataset in SOURCES:
        folder = data_dir or data_folder(dataset)
        facts["files"] = [str(path) for path in locate(folder, dataset, offline=True)]
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


def _read_rows(network: nl.Network, path: Path) -> tuple[Any, str]:
    """Return rows for the network from a PNG, an IDX or a CSV file, told by content, and what was assumed."""
    with open(path, "rb") as file:
        head = file.read(8)
    if head == b"\x89PNG\r\n\x1a\n":
        side = round(network.n_in**0.5)
        if side * side != network.n_in:
            raise ShapeError(f"predict: model must take a square picture, got one that takes {network.n_in} columns")
        return read_png(path, (side, side))
    if head[:2] in (b"\0\0", b"\x1f\x8b"):
        array = nl.read_idx(path)
        if array.ndim < 2 or array.size == 0:
            raise FormatError(f"{path}: file must hold at least 1 row of numbers, got dimensions {array.shape}")
        x = array.reshape(len(array), -1)
        return _as_pixels(x) if x.dtype == np.uint8 else (x, f"{len(x):,} rows")
    return _scaled_as_trained(network, read_csv(path).x)


def _read_labelled_csv(network: nl.Network, path: str, target: str | None) -> tuple[Split, str]:
    if target is None:
        raise ArgumentError("evaluate: --target must name the column of labels in a CSV file, got none")
    x, y = split_target(read_csv(path), target, path)
    wrong = y[(y != np.floor(y)) | (np.abs(y) > 1e9)]
    if len(wrong) or not x.size:
        found = wrong[0] if len(wrong) else "no other column"
        raise FormatError(f"{path} column {target!r}: labels must be whole numbers beside other columns, got {found}")
    rows, note = _scaled_as_trained(network, x)
    return Split(rows, y.astype(np.int64)), note


def _scaled_as_trained(network: nl.Network, x: Any) -> tuple[Any, str]:
    """Return rows of numbers as the network wants them: pixels 0..255 of a network of pixels are divided by 255."""
    if isinstance(network.layers[0], nl.Pixels) and x.max() > 1:
        return _as_pixels(x)
    return x, f"{len(x):,} rows, numbers taken as they are"


def _as_pixels(x: Any) -> tuple[Any, str]:
    return x / np.float32(255), f"{len(x):,} rows, assumed pixels 0..255 with ink 255 on background 0"
