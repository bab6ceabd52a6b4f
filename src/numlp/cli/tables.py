"""numlp train, evaluate and predict for a table in a file: its target, its columns, figures and predictions."""

import difflib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from csv import writer
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import numlp as nl
from numlp import metrics
from numlp.cli.app import DATASETS, check_replaced, fail, print_confusion, speaker, warn, writable
from numlp.cli.table_report import FEW, Target, describe, listed, readings_of, say_table, words_among_numbers
from numlp.data.cells import Labels, Table, cells, is_there
from numlp.data.csv_dialect import CsvOptions, describe_dialect
from numlp.data.dates import Dates
from numlp.data.frames import SUFFIXES, column_names, frame_dialect, index_names, is_frame, read_frame
from numlp.data.number_texts import DECIMALS, THOUSANDS, Marks
from numlp.data.splits import test_rows
from numlp.data.text_columns import report_of
from numlp.data.value_texts import places_of
from numlp.errors import ArgumentError, CheckpointError, UnknownCategoryWarning, check_choice, check_number, printable, typed
from numlp.files import replace_file
from numlp.recipes import EFFORTS

Array = NDArray[Any]

TASKS = ("classification", "regression")


class Wishes(NamedTuple):
    """What the user says about a table."""

    target: str | None
    task: str | None
    categorical: Sequence[str]
    drop: Sequence[str]
    missing: Sequence[str]
    test_fraction: float
    seed: int
    default_missing: bool = True
    marks: Marks = Marks()
    csv: CsvOptions = CsvOptions()


def is_table(dataset: str) -> bool:
    """Whether what the user names is a file, and no data set."""
    return dataset not in DATASETS and (is_frame(dataset) or os.path.isfile(dataset))


def name_of(path: str) -> str:
    """Return the name of a file without the suffix of a table."""
    name = Path(path).name
    suffix = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
    return name.removesuffix(name[len(name) - len(suffix) :]) or name


def marks_of(decimal: str | None, thousands: str | None, command: str) -> Marks:
    """Return the marks that the user says a file has."""
    for flag, given, choices in (("--decimal", decimal, DECIMALS), ("--thousands", thousands, THOUSANDS)):
        if given is not None and given not in choices:
            expected = ", ".join(map(repr, choices))
            raise ArgumentError(f"{command}: {flag} must be one of {expected}, got {given!r}")
    if decimal is not None and decimal == thousands:
        raise ArgumentError(f"{command}: --thousands must be another mark than --decimal, got {thousands!r} for both")
    return Marks(decimal, thousands)


def train_table(
    path: str, wishes: Wishes, settings: dict[str, Any], out: Path | None, as_json: bool, quiet: bool, force: bool = False
) -> None:
    """Train on a table, print what it holds and how good the model is on rows kept for the test, and save the model."""
    started, say = time.perf_counter(), speaker(as_json, quiet)
    check_choice(settings["effort"], EFFORTS, "train", "--effort")
    if wishes.task is not None:
        check_choice(wishes.task, TASKS, "train", "--task")
    check_number(wishes.test_fraction, "train", "--test-fraction", low=0, below=1)
    out, data = writable(out or Path(name_of(path) + ".safetensors"), path), Path(path).name
    replaced = check_replaced(out, data, force)
    frame, found = _read_training(path, wishes, say)
    target, report = str(wishes.target), report_of(frame)
    for word in report.unused:
        warn(f"{path}: no cell is {printable(word, 40)!r}, which --missing says is a gap")
    x = frame.drop_columns([target]).take(np.flatnonzero(found.there))
    columns = describe(Table(x, path), path, wishes.categorical, report)
    left_out = int((~found.there).sum())
    say_table(say, path, target, found, columns, left_out, report)
    if index := index_names(path):
        say(f"left out: {listed(index)}, the index of a pandas frame")
    classes = found.task == "classification"
    strata = np.unique(found.values, return_inverse=True)[1] if classes else np.zeros(len(found.values), int)
    test = test_rows(strata, wishes.test_fraction, np.random.default_rng(wishes.seed))
    model = _fit(x.take(np.flatnonzero(~test)), found.values[~test], classes, wishes, settings, quiet)
    figures = _figures(model, x.take(np.flatnonzero(test)), found.values[test])[0] if test.any() else None
    notes: dict[str, Any] = {"data": data, "target": target, "missing": list(wishes.missing), "drop": list(wishes.drop)}
    notes |= {"default_missing": wishes.default_missing, "readings": report.readings, "gaps": report.gaps}
    notes |= asdict(report.marks)
    model.notes_ = notes | ({"test": figures} if figures else {})
    model.save(out)
    seconds, interrupted = time.perf_counter() - started, model.histories_[-1].interrupted
    if as_json:
        rows = {"train": int((~test).sum()), "test": int(test.sum()), "without_target": left_out}
        facts = {"dataset": path, "target": target, "task": found.task, "rows": rows, "columns": columns, "test": figures}
        facts |= readings_of(target, report) | {"index": index}
        print(json.dumps({**facts, "seconds": seconds, "epochs": sum(map(len, model.histories_)), "model": str(out)}))
    else:
        say = speaker(as_json=False, quiet=False)
        if figures:
            say(f"test {_figure_line(figures)}  ({test.sum():,} rows that were not trained on)")
        say(f"saved {out} after {seconds:.1f} s{replaced}")
    if interrupted:
        fail(f"interrupted; what was learnt is in {out}", 130)


def evaluate_table(
    network: nl.Network, model_path: Path, path: str, target: str | None, drop: Sequence[str], marks: Marks,
    csv: CsvOptions, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Print how good the model of a table is on the rows of a file."""
    if not is_table(path):
        raise ArgumentError(f"evaluate: dataset must be a CSV or Parquet file for the model of a table, got {path!r}")
    model, notes = _model(network, model_path)
    target = target or notes["target"]
    if target is None:
        raise ArgumentError(f"evaluate: --target must name a column of {path}: the model does not know it, got none")
    frame = _read_new(model, notes, path, drop, target, marks, csv, quiet)
    values = _values(model, Table(frame, path), frame.column_names.index(target), path, target)
    there = np.flatnonzero(values >= 0 if hasattr(model, "classes_") else ~np.isnan(values))
    if not len(there):
        raise ArgumentError(f"{path}: column {printable(target, 60)!r} must have a value in at least 1 row, got none")
    y = model.classes_[values[there]] if hasattr(model, "classes_") else values[there]
    figures, counts = _figures(model, frame.drop_columns([target]).take(there), y)
    if as_json:
        more = {} if counts is None else {"classes": model.classes_.tolist(), "confusion_matrix": counts.tolist()}
        print(json.dumps({**figures, "rows": len(there), **more}))
        return
    left = frame.num_rows - len(there)
    note = f", {left:,} more without a target left out" if left else ""
    print(f"{_figure_line(figures)}  ({len(there):,} rows{note})")
    if counts is not None and not quiet:
        print_confusion([str(name) for name in model.classes_.tolist()], counts)


def predict_table(
    network: nl.Network, model_path: Path, path: Path, drop: Sequence[str], marks: Marks, csv: CsvOptions,
    out: Path | None, proba: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Print what the model of a table says about the rows of a file, or write it to a CSV file."""
    model, notes = _model(network, model_path)
    classifier = hasattr(model, "classes_")
    if proba and not classifier:
        raise ArgumentError("predict: --proba must come with a model of classes, got one of numbers")
    frame = _read_new(model, notes, str(path), drop, None, marks, csv, quiet)
    found: dict[str, list[Any]] = {}

    def add(name: str, values: Array) -> None:
        names = chain([name], (f"{name} ({k})" for k in count(2)))  # a target may be named "probability"
        found[next(name for name in names if name not in found)] = values.tolist()

    if classifier:
        p = model.predict_proba(frame)
        add(notes["target"] or "prediction", model.classes_[p.argmax(axis=1)])
        add("probability", p.max(axis=1))
        for c, column in zip(model.classes_, p.T, strict=True) if proba else ():
            add(f"probability of {c}", column)
    else:
        add(notes["target"] or "prediction", model.predict(frame))
    rows = list(zip(*found.values(), strict=True))
    if out is not None:
        text = io.StringIO()
        writer(text, lineterminator="\n").writerows([list(found), *([_cell(v, ".9g") for v in row] for row in rows)])
        replace_file(out, text.getvalue().encode())
    if as_json:
        predictions = [dict(zip(found, row, strict=True)) for row in rows]
        print(json.dumps({"source": str(path), "target": notes["target"], "predictions": predictions}))
    elif out is not None:
        speaker(False, quiet)(f"wrote {len(rows):,} predictions to {out}")
    else:
        for row in rows:
            print("\t".join(printable(_cell(value, ".4f" if classifier else ".9g")) for value in row))


def _names_in(path: str, csv: CsvOptions, say: Callable[[str], None]) -> tuple[list[str], str]:
    """Return the names of a file's columns, and what errors call the file; say what is not ordinary about a CSV file."""
    dialect = frame_dialect(path, **csv)
    if dialect is None:
        return column_names(path), path
    if words := describe_dialect(dialect):
        say(f"{path}: {words}")
    return dialect.columns(), path if dialect.header else f"{path}, without a line of column names"


def _read_training(path: str, wishes: Wishes, say: Callable[[str], None]) -> tuple[Any, Target]:
    """Return the table and its target, with the names that the user gave looked at before the rows are."""
    names, where = _names_in(path, wishes.csv, say)
    if wishes.target is None:
        raise ArgumentError(f"{where}: --target must name the column to predict, one of ({listed(names)}), got none")
    index = index_names(path)
    for flag, given in (("--target", [wishes.target]), ("--categorical", wishes.categorical), ("--drop", wishes.drop)):
        for name in given:
            if name not in index:
                _check_name(name, names, where, flag)
            elif flag != "--drop":  # it is left out anyway
                expected = f"{where}: {flag} must be one of the columns ({listed(names)})"
                raise ArgumentError(f"{expected}, got {name!r}, the index of a pandas frame; use reset_index()")
    for flag, given in (("--categorical", wishes.categorical), ("--drop", wishes.drop)):
        if wishes.target in given:
            raise ArgumentError(f"{path}: {flag} must name columns beside the target, got {wishes.target!r}")
    if len(set(names) - {wishes.target, *wishes.drop}) == 0:
        raise ArgumentError(f"{path}: file must have a column beside --target and --drop, got none")
    frame = read_frame(
        path, missing=wishes.missing, kinds=dict.fromkeys(wishes.categorical, "category"), drop=wishes.drop,
        default_missing=wishes.default_missing, marks=wishes.marks, **wishes.csv,
    )  # fmt: skip
    return frame, _target(Table(frame, path), frame.column_names.index(wishes.target), wishes, path)


def _target(table: Table, i: int, wishes: Wishes, path: str) -> Target:
    """Return the target of a table; text and at most ten different whole numbers are classes."""
    column = table.column(i)
    text = isinstance(column, Labels)
    there = is_there(column)
    values = cells(column)[there]
    different = np.unique(values)
    where, n = f"{path}: column {printable(str(wishes.target), 60)!r}", len(different)
    if isinstance(column, Dates):
        raise ArgumentError(f"{where} must hold numbers or text to be a target, got dates")
    if n < 2:
        raise ArgumentError(f"{where} must have at least 2 different values to be a target, got {n}")
    whole = not text and bool((values == np.floor(values)).all() and np.abs(values).max() < 2**53)
    few = whole and n <= FEW
    words = words_among_numbers(different.tolist(), path) if text else ""
    kind = "text" if text else f"{n} different whole numbers" if few else f"numbers, {n:,} different ones"
    task = wishes.task or ("classification" if text or few else "regression")
    advice = f"; {words}" if words else ""
    if task == "regression" and text:
        got = f"text such as {printable(values[0], 40)!r}{advice}"
        raise ArgumentError(f"{where} must hold numbers for --task regression, got {got}")
    if task == "classification" and not (text or whole):
        raise ArgumentError(f"{where} must hold text or whole numbers for --task classification, got {different[0]:g}")
    if task == "classification" and 2 * n > len(values):
        got, hint = f"{n:,} different values in {len(values):,} rows", advice if text else "; use --task regression"
        raise ArgumentError(f"{where} must have classes of 2 rows or more, got {got}{hint}")
    other = "regression" if task == "classification" else "classification"
    choice = f"; --task {other} takes it otherwise" if whole and 2 * n <= len(values) else ""
    how = ("as --task says" if wishes.task else f"the target is {kind}{choice}") + advice
    if task == "classification" and whole:
        values = values.astype(np.int64)
    return Target(task, how, there, values)


def _fit(x: Any, y: Array, classes: bool, wishes: Wishes, settings: dict[str, Any], quiet: bool) -> Any:
    """Return a model fitted to a table."""
    from numlp.estimators import TabularClassifier, TabularRegressor

    kind = TabularClassifier if classes else TabularRegressor
    model = kind(categorical=list(wishes.categorical), random_state=wishes.seed, progress=not quiet, **settings)
    return model.fit(x, y)


def _model(network: nl.Network, path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the model of a table and what is noted about its columns, from a file that may hold anything."""
    from numlp.estimators.tabular import from_network

    model = from_network(network, f"load: {path}")
    notes: dict[str, Any] = {"target": None, "missing": [], "drop": [], "default_missing": True}
    notes |= asdict(Marks()) | model.notes_
    lists = [notes["missing"], notes["drop"], list(notes["units"].values()) if isinstance(notes["units"], dict) else None]
    marks = notes["decimal"] in (None, *DECIMALS) and notes["thousands"] in (None, *THOUSANDS)
    if not (isinstance(notes["target"], str | None) and isinstance(notes["default_missing"], bool) and marks) or not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in lists
    ):
        raise CheckpointError(f"load: {path}: notes must be those of a table, got {repr(notes)[:60]}")
    if model.columns_.names is None:
        raise CheckpointError(f"load: {path}: model must know the names of its columns, got one fitted to an array")
    return model, notes


def _read_new(
    model: Any, notes: dict[str, Any], path: str, drop: Sequence[str], target: str | None, marks: Marks, csv: CsvOptions,
    quiet: bool,
) -> Any:  # fmt: skip
    """Return the table of a file with the columns of a model, and `target` besides.

    Errors  ArgumentError naming the columns that are missing, renamed or too many.
    """
    (names, where), wanted = _names_in(path, csv, speaker(True, quiet)), list(model.columns_.names)
    for name in drop:
        _check_name(name, names, where, "--drop")
    ignored = {*notes["drop"], *drop, *([] if notes["target"] is None else [notes["target"]])} - {target}
    if target is not None:
        _check_name(target, names, where, "--target")
    found = [name for name in names if name not in ignored and name != target]
    lacking, extra = model.columns_.difference(found)
    if lacking or extra:
        difference = _difference(lacking, extra)
        if index := sorted(set(lacking).intersection(index_names(path))):
            difference += f"; {listed(index)} is the index of a pandas frame: use reset_index()"
        raise ArgumentError(f"{where}: columns must be those of the model, got {difference}")
    kinds = dict(zip(wanted, model.columns_.kinds, strict=True))
    if target is not None:
        kinds[target] = "category" if _has_texts(model) else "number"
    how = {}
    if not path.lower().endswith(".parquet"):
        trained = Marks(notes["decimal"], notes["thousands"], notes["units"])
        how = {"missing": notes["missing"], "default_missing": notes["default_missing"], "trained": trained}
    frame = read_frame(path, kinds=kinds, drop=sorted(ignored), marks=marks, **how, **csv)
    warnings.simplefilter("ignore", UnknownCategoryWarning)  # all unknown cells are said here
    unknown = model.columns_.unknown(Table(frame.select(wanted), path), path)
    for i, (n, level) in unknown.items():
        where = f"{path}: column {printable(wanted[i], 60)!r} has {n:,} cell{'s' if n > 1 else ''}"
        what = f"{where} with categories that training saw once or never"
        warn(f"{what}, such as {printable(level, 40)!r}; they count as missing")
    return frame


def _difference(lacking: list[str], extra: list[str]) -> str:
    """Return in words what differs between the columns of a file and those of a model."""
    words, advice = [], ""
    for label, names in (("no ", lacking), ("besides ", extra)):
        if names:
            words.append(label + ", ".join(repr(printable(n, 40)) for n in names[:5]) + (", ..." if len(names) > 5 else ""))
    for name in lacking[:5]:
        if near := _nearest(name, extra):
            advice = f"; was {printable(name, 40)!r} renamed to {printable(near, 40)!r}?"
            break
    if not lacking:
        advice = "; use " + " ".join(f"--drop {typed(name)}" for name in extra[:5])
    return " and ".join(words) + advice


def _values(model: Any, table: Table, i: int, path: str, target: str) -> Array:
    """Return the target of each row: numbers with NaN for a gap, or labels with -1 for one."""
    if not hasattr(model, "classes_"):
        return np.asarray(table.column(i, "number"))
    classes = model.classes_
    column = table.column(i, "category" if _has_texts(model) else "number")
    values, there = cells(column), is_there(column)
    labels = places_of(values, classes)
    wrong = (labels < 0) & there
    if wrong.any():
        where, known = f"{path}: column {printable(target, 60)!r}", listed([str(name) for name in classes.tolist()])
        got = printable(str(values[np.argmax(wrong)]), 40)
        raise ArgumentError(f"{where} must hold the model's classes ({known}), got {got!r}, in {wrong.sum():,} rows others")
    return np.where(there, labels, -1)


def _has_texts(model: Any) -> bool:
    """Return whether a model of classes has texts or truth values as classes."""
    return getattr(model, "classes_", np.zeros(0)).dtype.kind in "UbO"


def _figures(model: Any, x: Any, y: Array) -> tuple[dict[str, float], Array | None]:
    """Return how good a model is on rows, and the confusion matrix of classes."""
    if not hasattr(model, "classes_"):
        predicted = model.predict(x)
        error, distance = metrics.root_mean_squared_error(predicted, y), metrics.mean_absolute_error(predicted, y)
        figures = {"rmse": error, "mae": distance}
        return figures | ({"r2": metrics.r2(predicted, y)} if len(np.unique(y)) > 1 else {}), None
    p, labels = model.predict_proba(x), np.searchsorted(model.classes_, y)
    counts = metrics.confusion_matrix(p.argmax(axis=1), labels, len(model.classes_))
    return {"accuracy": metrics.accuracy(p.argmax(axis=1), labels), "log_loss": metrics.log_loss(p, labels)}, counts


def _figure_line(figures: dict[str, float]) -> str:
    if "accuracy" in figures:
        return f"accuracy {figures['accuracy']:.2%}  log loss {figures['log_loss']:.4f}"
    r2 = f"  R2 {figures['r2']:.4f}" if "r2" in figures else ""
    return f"root mean squared error {figures['rmse']:.6g}  mean absolute error {figures['mae']:.6g}{r2}"


def _check_name(name: str, names: Sequence[str], path: str, flag: str) -> None:
    """Raise ArgumentError with the names and the nearest one unless `name` is one of them."""
    if name not in names:
        near = _nearest(name, names)
        hint = f"; did you mean {printable(near, 60)!r}?" if near else ""
        raise ArgumentError(f"{path}: {flag} must be one of the columns ({listed(names)}), got {name!r}{hint}")


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the one of `names` that is most like `name`, in small letters or capitals, if any is."""
    near = {other.lower(): other for other in names}
    return next((near[found] for found in difflib.get_close_matches(name.lower(), near, n=1)), None)


def _cell(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, float) else str(value)
