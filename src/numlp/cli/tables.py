"""numlp train, evaluate and predict for a table in a file: its target, its columns, figures and predictions."""

import csv
import difflib
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import numlp as nl
from numlp import metrics
from numlp.cli.app import DATASETS, fail, print_confusion, speaker, warn, writable
from numlp.data.cells import Labels, Table, cells, is_there, kind_of
from numlp.data.dates import Dates
from numlp.data.frames import column_names, is_frame, read_frame
from numlp.data.splits import test_rows
from numlp.errors import ArgumentError, CheckpointError, check_choice, check_number, printable
from numlp.files import replace_file
from numlp.recipes import EFFORTS

Array = NDArray[Any]

TASKS = ("classification", "regression")
_FEW = 10  # so many different whole numbers are classes
_SHOWN = 40  # columns in the list


class Wishes(NamedTuple):
    """What the user says about a table."""

    target: str | None
    task: str | None
    categorical: Sequence[str]
    drop: Sequence[str]
    missing: Sequence[str]
    test_fraction: float
    seed: int


class Target(NamedTuple):
    """What is to be predicted: the task and why it is that, which rows have a value, and the values of these."""

    task: str
    why: str
    there: Array
    values: Array


def is_table(dataset: str) -> bool:
    """Whether what the user names is a file, and no data set."""
    return dataset not in DATASETS and (is_frame(dataset) or os.path.isfile(dataset))


def train_table(path: str, wishes: Wishes, settings: dict[str, Any], out: Path | None, as_json: bool, quiet: bool) -> None:
    """Train on a table, print what it holds and how good the model is on rows kept for the test, and save the model."""
    started, say = time.perf_counter(), speaker(as_json, quiet)
    check_choice(settings["effort"], EFFORTS, "train", "--effort")
    if wishes.task is not None:
        check_choice(wishes.task, TASKS, "train", "--task")
    check_number(wishes.test_fraction, "train", "--test-fraction", low=0, below=1)
    out = writable(out or Path(Path(path).name.split(".")[0] + ".safetensors"), path)
    frame, found = _read_training(path, wishes)
    target = wishes.target
    x = frame.drop_columns([target]).take(np.flatnonzero(found.there))
    columns = _describe(Table(x, path), wishes.categorical)
    left_out = int((~found.there).sum())
    _say_table(say, path, wishes, found, columns, left_out)
    classes = found.task == "classification"
    strata = np.unique(found.values, return_inverse=True)[1] if classes else np.zeros(len(found.values), int)
    test = test_rows(strata, wishes.test_fraction, np.random.default_rng(wishes.seed))
    model = _fit(x.take(np.flatnonzero(~test)), found.values[~test], classes, wishes, settings, quiet)
    figures = _figures(model, x.take(np.flatnonzero(test)), found.values[test])[0] if test.any() else None
    notes = {"target": target, "missing": list(wishes.missing), "drop": list(wishes.drop)}
    model.notes_ = notes | ({"test": figures} if figures else {})
    model.save(out)
    seconds, interrupted = time.perf_counter() - started, model.histories_[-1].interrupted
    if as_json:
        rows = {"train": int((~test).sum()), "test": int(test.sum()), "without_target": left_out}
        facts = {"dataset": path, "target": target, "task": found.task, "rows": rows, "columns": columns, "test": figures}
        print(json.dumps({**facts, "seconds": seconds, "epochs": sum(map(len, model.histories_)), "model": str(out)}))
    else:
        if figures:
            print(f"test {_figure_line(figures)}  ({test.sum():,} rows that were not trained on)")
        print(f"saved {out} after {seconds:.1f} s")
    if interrupted:
        fail(f"interrupted; what was learnt is in {out}", 130)


def evaluate_table(
    network: nl.Network, model_path: Path, path: str, target: str | None, drop: Sequence[str], as_json: bool, quiet: bool
) -> None:
    """Print how good the model of a table is on the rows of a file."""
    if not is_table(path):
        raise ArgumentError(f"evaluate: dataset must be a CSV or Parquet file for the model of a table, got {path!r}")
    model, notes = _model(network, model_path)
    target = target or notes["target"]
    if target is None:
        raise ArgumentError(f"evaluate: --target must name a column of {path}: the model does not know it, got none")
    frame = _read_new(model, notes, path, drop, target)
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
    network: nl.Network, model_path: Path, path: Path, drop: Sequence[str], out: Path | None, proba: bool,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Print what the model of a table says about the rows of a file, or write it to a CSV file."""
    model, notes = _model(network, model_path)
    classifier = hasattr(model, "classes_")
    if proba and not classifier:
        raise ArgumentError("predict: --proba must come with a model of classes, got one of numbers")
    frame = _read_new(model, notes, str(path), drop, None)
    name = notes["target"] or "prediction"
    found: dict[str, list[Any]] = {}
    if classifier:
        p = model.predict_proba(frame)
        labels = p.argmax(axis=1)
        found = {name: model.classes_[labels].tolist(), "probability": p.max(axis=1).tolist()}
        if proba:
            found |= {f"probability of {c}": column.tolist() for c, column in zip(model.classes_, p.T, strict=True)}
    else:
        found = {name: model.predict(frame).tolist()}
    rows = list(zip(*found.values(), strict=True))
    if out is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([list(found), *([_cell(v, ".9g") for v in row] for row in rows)])
        replace_file(out, text.getvalue().encode())
    if as_json:
        print(
            json.dumps(
                {
                    "source": str(path),
                    "target": notes["target"],
                    "predictions": [dict(zip(found, row, strict=True)) for row in rows],
                }
            )
        )
    elif out is not None:
        speaker(False, quiet)(f"wrote {len(rows):,} predictions to {out}")
    else:
        for row in rows:
            print("\t".join(printable(_cell(value, ".4f" if classifier else ".9g")) for value in row))


def _read_training(path: str, wishes: Wishes) -> tuple[Any, Target]:
    """Return the table and its target, with the names that the user gave looked at before the rows are."""
    names = column_names(path)
    if wishes.target is None:
        raise ArgumentError(f"{path}: --target must name the column to predict, one of ({_listed(names)}), got none")
    for flag, given in (("--target", [wishes.target]), ("--categorical", wishes.categorical), ("--drop", wishes.drop)):
        for name in given:
            _check_name(name, names, path, flag)
    for flag, given in (("--categorical", wishes.categorical), ("--drop", wishes.drop)):
        if wishes.target in given:
            raise ArgumentError(f"{path}: {flag} must name columns beside the target, got {wishes.target!r}")
    if len(set(names) - {wishes.target, *wishes.drop}) == 0:
        raise ArgumentError(f"{path}: file must have a column beside --target and --drop, got none")
    frame = read_frame(path, missing=wishes.missing, kinds=dict.fromkeys(wishes.categorical, "category"), drop=wishes.drop)
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
    few = whole and n <= _FEW
    kind = "text" if text else f"{n} different whole numbers" if few else f"numbers, {n:,} different ones"
    task = wishes.task or ("classification" if text or few else "regression")
    if task == "regression" and text:
        raise ArgumentError(
            f"{where} must hold numbers for --task regression, got text such as {printable(values[0], 40)!r}"
        )
    if task == "classification" and not (text or whole):
        raise ArgumentError(f"{where} must hold text or whole numbers for --task classification, got {different[0]:g}")
    if task == "classification" and 2 * n > len(values):
        raise ArgumentError(
            f"{where} must have classes of 2 rows or more, got {n:,} different values in {len(values):,} rows"
        )
    other = "regression" if task == "classification" else "classification"
    choice = f"; --task {other} takes it otherwise" if whole and 2 * n <= len(values) else ""
    how = "as --task says" if wishes.task else f"the target is {kind}{choice}"
    if task == "classification" and whole:
        values = values.astype(np.int64)
    return Target(task, how, there, values)


def _describe(table: Table, categorical: Sequence[str]) -> list[dict[str, Any]]:
    """Return of each column its name, kind, number of different values, gaps, and what should be done about it."""
    found = []
    for i, name in enumerate(table.names or ()):
        column = table.column(i, "category" if name in categorical else None)
        values = (column.codes if isinstance(column, Labels) else cells(column))[is_there(column)]
        kind, different, missing = kind_of(column), len(np.unique(values)), table.shape[0] - len(values)
        advice = _advice(kind, values, different, missing)
        found.append({"name": name, "kind": kind, "different": different, "missing": missing, "advice": advice})
    return found


def _advice(kind: str, values: Array, different: int, missing: int) -> str:
    """Return in words why a column should be dropped, or nothing."""
    if different == 0 or (different < 2 and not missing):
        return "nothing can be learnt from it: --drop it"
    if kind == "category" and different == len(values) and different > _FEW:
        return "different in each row: --drop it"
    # where the file is in the order of what is asked for, a row's number gives it away
    if kind == "number" and not missing and values[0] in (0, 1) and (np.diff(values) == 1).all() and different > _FEW:
        return "counts the rows: --drop it"
    return ""


def _say_table(say: Any, path: str, wishes: Wishes, found: Target, columns: list[dict[str, Any]], left_out: int) -> None:
    """Say what was found in a table."""
    rows = len(found.values)
    note = f"; {left_out:,} more without a target are left out" if left_out else ""
    say(f"{path}: {rows:,} rows, {len(columns):,} columns beside the target{note}")
    task = f"{found.task} of {printable(str(wishes.target), 60)!r}: {found.why}"
    if found.task == "classification":
        names, counts = np.unique(found.values, return_counts=True)
        shares = ", ".join(f"{printable(str(k), 20)} {n / rows:.1%}" for k, n in list(zip(names, counts, strict=True))[:8])
        task += f"\n{len(names)} classes: {shares}" + (", ..." if len(names) > 8 else "")
    say(task)
    shown = [printable(column["name"], 30) for column in columns[:_SHOWN]]
    width = max(6, *map(len, shown))
    say(f"{'column':<{width}}  kind      different  missing")
    for name, column in zip(shown, columns, strict=False):
        kind, different, missing, advice = (column[key] for key in ("kind", "different", "missing", "advice"))
        say(f"{name:<{width}}  {kind:<8}  {different:>9,}  {missing:>7,}  {advice}".rstrip())
    if rest := columns[_SHOWN:]:
        advised = [column["name"] for column in rest if column["advice"]]
        say(f"... and {len(rest):,} more" + (f", of which to drop: {_listed(advised)}" if advised else ""))


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
    notes = {"target": None, "missing": [], "drop": []} | model.notes_
    lists = [notes["missing"], notes["drop"]]
    if not isinstance(notes["target"], str | None) or not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in lists
    ):
        raise CheckpointError(f"load: {path}: notes must be those of a table, got {repr(notes)[:60]}")
    if model.columns_.names is None:
        raise CheckpointError(f"load: {path}: model must know the names of its columns, got one fitted to an array")
    return model, notes


def _read_new(model: Any, notes: dict[str, Any], path: str, drop: Sequence[str], target: str | None) -> Any:
    """Return the table of a file with the columns of a model, and `target` besides.

    Errors  ArgumentError naming the columns that are missing, renamed or too many.
    """
    names, wanted = column_names(path), list(model.columns_.names)
    for name in drop:
        _check_name(name, names, path, "--drop")
    ignored = {*notes["drop"], *drop, *([] if notes["target"] is None else [notes["target"]])} - {target}
    if target is not None:
        _check_name(target, names, path, "--target")
    found = [name for name in names if name not in ignored and name != target]
    lacking, extra = model.columns_.difference(found)
    if lacking or extra:
        raise ArgumentError(f"{path}: columns must be those of the model, got {_difference(lacking, extra)}")
    kinds = dict(zip(wanted, model.columns_.kinds, strict=True))
    if target is not None:
        kinds[target] = "category" if getattr(model, "classes_", np.zeros(0)).dtype.kind == "U" else "number"
    missing = [] if path.lower().endswith(".parquet") else notes["missing"]
    frame = read_frame(path, missing=missing, kinds=kinds, drop=sorted(ignored))
    unknown = model.columns_.unknown(Table(frame.select(wanted), path), path)
    for i, (count, level) in unknown.items():
        where = f"{path}: column {printable(wanted[i], 60)!r} has {count:,} cell{'s' if count > 1 else ''}"
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
        advice = "; use " + " ".join(f"--drop {quote(printable(name, 40))}" for name in extra[:5])
    return " and ".join(words) + advice


def _values(model: Any, table: Table, i: int, path: str, target: str) -> Array:
    """Return the target of each row: numbers with NaN for a gap, or labels with -1 for one."""
    if not hasattr(model, "classes_"):
        return np.asarray(table.column(i, "number"))
    classes = model.classes_
    column = table.column(i, "category" if classes.dtype.kind == "U" else "number")
    values, there = cells(column), is_there(column)
    place = {value: k for k, value in enumerate(classes.tolist())}
    labels = np.array([place.get(value, -1) for value in values.tolist()])
    wrong = (labels < 0) & there
    if wrong.any():
        where, known = f"{path}: column {printable(target, 60)!r}", _listed([str(name) for name in classes.tolist()])
        got = printable(str(values[np.argmax(wrong)]), 40)
        raise ArgumentError(f"{where} must hold the model's classes ({known}), got {got!r}, in {wrong.sum():,} rows others")
    return np.where(there, labels, -1)


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
        raise ArgumentError(f"{path}: {flag} must be one of the columns ({_listed(names)}), got {name!r}{hint}")


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the one of `names` that is most like `name`, in small letters or capitals, if any is."""
    near = {other.lower(): other for other in names}
    return next((near[found] for found in difflib.get_close_matches(name.lower(), near, n=1)), None)


def _listed(names: Sequence[str]) -> str:
    return printable(", ".join(names[:30]), 300) + (", ..." if len(names) > 30 else "")


def _cell(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, float) else str(value)
