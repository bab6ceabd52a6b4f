"""numlp train, numlp search."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

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
    Force,
    Header,
    Name,
    Offline,
    Quiet,
    QuoteMark,
    SkipRows,
    Thousands,
    app,
    check_replaced,
    csv_options,
    describe,
    fail,
    load,
    refuse,
    reports_errors,
    speaker,
    writable,
)
from numlp.cli.options import changes, rows_per_step, widths
from numlp.cli.runs import RunLog
from numlp.cli.tables import TASKS, Wishes, is_table, marks_of, train_table
from numlp.data.splits import Dataset, Split
from numlp.errors import ArgumentError, DivergenceError, check_choice
from numlp.progress import terminal_width, write_line
from numlp.recipes import EFFORTS, RECIPES, Recipe, build_network, changed, fit_options

RecipeName = Annotated[str, typer.Option("--recipe", help=f"Settings to start from: {', '.join(RECIPES)}.")]
ActivationName = Annotated[
    str | None, typer.Option("--activation", help="relu, gelu, silu, tanh, selu ...: any of numlp's.")
]
BatchNormFlag = Annotated[bool | None, typer.Option("--batch-norm/--no-batch-norm", help="Batch norm in hidden layers.")]
OptimizerName = Annotated[str | None, typer.Option("--optimizer", help="SGD, Adam, AdamW, Lion ...: any of numlp's.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training rows.")]
Seed = Annotated[int, typer.Option(help="Random seed for weights, dropout and the order of rows.")]
DType = Annotated[str, typer.Option("--dtype", help="float32 or float64.")]
Diagnose = Annotated[
    bool, typer.Option("--diagnose", help="Explain why training fails, if it does (for the machine: `numlp doctor`).")
]
Out = Annotated[Path | None, typer.Option(help="Model file to write [default: DATASET.safetensors].")]
Source = Annotated[
    str, typer.Argument(metavar="DATASET", help=f"{', '.join(DATASETS)}, or a table: .csv, .csv.gz, .parquet.")
]
Categorical = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Numeric column of a table that is categories; may be repeated."),
]
Missing = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Text that marks a missing value in a CSV file; may be repeated.")
]
# the options that belong to one of them only
FOR_TABLES = (
    *("target", "task", "categorical", "drop", "missing", "default_missing", "decimal", "thousands", "test_fraction"),
    *("effort", *FOR_CSV),
)
FOR_IMAGES = (
    *("recipe", "activation", "dropout", "batch_norm", "optimizer", "distort", "patience", "dtype", "data_dir", "offline"),
    *("deterministic", "run", "checkpoint_every", "keep_going", "diagnose"),
)


@app.command(short_help="Train on a data set or a table, test, and save.")
@reports_errors
def train(
    context: typer.Context,
    dataset: Source,
    recipe: RecipeName = "default",
    hidden: Annotated[str | None, typer.Option(help="Widths of the hidden layers, such as 512,512.")] = None,
    activation: ActivationName = None,
    dropout: Annotated[float | None, typer.Option(help="Share of hidden units dropped in training.")] = None,
    batch_norm: BatchNormFlag = None,
    optimizer: OptimizerName = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    epochs: Epochs = None,
    batch_size: Annotated[str | None, typer.Option(help="Rows per step, or 'full'.")] = None,
    distort: Annotated[
        bool | None, typer.Option("--distort/--no-distort", help="Turn, slant, scale, shift and bend training images.")
    ] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better validation loss.")] = None,
    seed: Seed = 0,
    dtype: DType = "float32",
    data_dir: DataDir = None,
    offline: Offline = False,
    threads: Annotated[int | None, typer.Option(help="CPUs to use [default: what suits the batch].")] = None,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="The same bytes for any --threads.")] = False,
    run: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints and a log; the same command goes on from there.")
    ] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between checkpoints [default: an epoch].")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Keep training if no checkpoint can be written.")] = False,
    diagnose: Diagnose = False,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of a table to predict.")] = None,
    task: Annotated[str | None, typer.Option(help=f"{' or '.join(TASKS)} [default: by the target].")] = None,
    categorical: Categorical = None,
    drop: Drop = None,
    missing: Missing = None,
    default_missing: Annotated[
        bool,
        typer.Option("--default-missing/--no-default-missing", help="NA, null, ?, - ... are gaps among numbers and dates."),
    ] = True,
    decimal: Decimal = None,
    thousands: Thousands = None,
    delimiter: Delimiter = None,
    quote: QuoteMark = None,
    encoding: Encoding = None,
    header: Header = None,
    skip_rows: SkipRows = None,
    test_fraction: Annotated[float, typer.Option(help="Share of a table's rows kept for the test; 0 for none.")] = 0.2,
    effort: Annotated[str, typer.Option(help=f"For a table: {', '.join(EFFORTS)}.")] = "default",
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on a data set or a table in a file, print how good it is on test rows, and save it."""
    if is_table(dataset):
        refuse(context, FOR_IMAGES, "a data set of images, got a table")
        wishes = Wishes(target, task, categorical or [], drop or [], missing or [], test_fraction, seed)
        wishes = wishes._replace(default_missing=default_missing, marks=marks_of(decimal, thousands, "train"))
        wishes = wishes._replace(csv=csv_options(context))
        settings = _table_settings(effort, hidden, learning_rate, epochs, batch_size, threads)
        train_table(dataset, wishes, settings, out, as_json, quiet, force)
        return
    check_choice(dataset, DATASETS, "train", "dataset")
    refuse(context, FOR_TABLES, "a table (.csv, .csv.gz, .parquet)")
    if run is None and (checkpoint_every is not None or keep_going):
        raise ArgumentError("train: --run must name a folder for --checkpoint-every and --keep-going, got none")
    fields = changes("train", hidden, activation, dropout, batch_norm, optimizer, learning_rate, epochs, batch_size, distort)
    job = _begin("train", dataset, recipe, fields, seed, dtype, data_dir, offline, out, as_json, quiet, force)
    job = job._replace(doctor=nl.Doctor(speaker(as_json, quiet=False)) if diagnose else None)
    if job.recipe.widths:
        if run is not None:
            raise ArgumentError("train: --run must come with one training, got a search of widths; give one by --hidden")
        _search(job, {"hidden": job.recipe.widths})
        return
    network = build_network(job.recipe, job.data, seed, dtype)
    job.say(f"{network}: " + ", ".join(str(layer) for layer in network.layers))
    job.say(_settings(job.recipe, len(job.data.train.x), optimizer is not None and learning_rate is None))
    callbacks: list[nl.Callback] = [nl.EarlyStopping(patience)] if patience is not None else []
    callbacks.append(nl.PrintEpochs(say=job.say, width=terminal_width(sys.stderr if as_json else sys.stdout)))
    callbacks += [] if run is None else _keepers(job, run, checkpoint_every, keep_going)
    options = fit_options(job.recipe, job.data.train, job.data.image_shape)
    options |= {"n_threads": threads, "deterministic": deterministic}
    train, validation = job.data.train, job.data.validation
    history = _fit(job, network, train, callbacks, run, validation=validation, **options)
    network.metrics["validation"] = nl.evaluate(network, validation, progress=False)
    _finish(job, network, len(history), {}, history.interrupted)


@app.command(short_help="Compare settings, train the best, test, and save.")
@reports_errors
def search(
    context: typer.Context,
    dataset: Name,
    hidden: Annotated[list[str] | None, typer.Option(help="Widths to try, such as 100; may be repeated.")] = None,
    dropout: Annotated[list[float] | None, typer.Option(help="May be repeated.")] = None,
    learning_rate: Annotated[list[float] | None, typer.Option(help="May be repeated.")] = None,
    batch_size: Annotated[list[str] | None, typer.Option(help="Rows per step, or 'full'; may be repeated.")] = None,
    recipe: RecipeName = "default",
    activation: ActivationName = None,
    batch_norm: BatchNormFlag = None,
    optimizer: OptimizerName = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    dtype: DType = "float32",
    data_dir: DataDir = None,
    offline: Offline = False,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train every setting, choose on the validation rows, train the best on train + validation, and save it."""
    if is_table(dataset):
        raise ArgumentError(
            "search: dataset must be one of images, got a table; `numlp train` has tuned settings for tables"
        )
    check_choice(dataset, DATASETS, "search", "dataset")
    fields = changes("search", None, activation, None, batch_norm, optimizer, None, epochs, None, None)
    grid: dict[str, Any] = {
        "hidden": [widths("search", text) for text in hidden or []],
        "dropout": dropout,
        "learning_rate": learning_rate,
        "batch_size": [rows_per_step("search", text) for text in batch_size or []],
    }
    job = _begin("search", dataset, recipe, fields, seed, dtype, data_dir, offline, out, as_json, quiet, force)
    grid["hidden"] = grid["hidden"] or job.recipe.widths
    grid = {name: values for name, values in grid.items() if values}
    if not grid:
        raise ArgumentError("search: --hidden, --dropout, --learning-rate or --batch-size must be given, got none of them")
    if all(len(values) == 1 for values in grid.values()) and len(grid.get("hidden", [()])[0]) > 1:
        layers = grid["hidden"][0]
        repeated = " ".join(f"--hidden {width}" for width in layers)
        job.say(f"one setting, {len(layers)} hidden layers; to compare widths repeat --hidden: {repeated}")
    _search(job, grid)


def _table_settings(
    effort: str, hidden: str | None, learning_rate: float | None, epochs: int | None, batch_size: str | None,
    threads: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the settings of an estimator for tables that the user has set."""
    settings = {
        "hidden_layer_sizes": None if hidden is None else widths("train", hidden), "learning_rate": learning_rate,
        "epochs": epochs, "n_threads": threads,
        "batch_size": None if batch_size is None else rows_per_step("train", batch_size) or sys.maxsize,
    }  # fmt: skip
    return {"effort": effort} | {name: value for name, value in settings.items() if value is not None}


class _Job(NamedTuple):
    """What both commands know before they train."""

    name: str
    recipe: Recipe
    data: Dataset
    seed: int
    dtype: str
    out: Path
    replaced: str
    as_json: bool
    quiet: bool
    say: Callable[[str], None]
    started: float
    doctor: nl.Doctor | None = None


def _begin(
    where: str, dataset: str, name: str, fields: dict[str, Any], seed: int, dtype: str,
    data_dir: Path | None, offline: bool, out: Path | None, as_json: bool, quiet: bool, force: bool,
) -> _Job:  # fmt: skip
    """Check everything that can be checked before training, and load the data."""
    started = time.perf_counter()
    recipe = changed(RECIPES[check_choice(name, RECIPES, where, "--recipe")][dataset], fields)
    path = writable(out or Path(f"{dataset}.safetensors"))
    replaced = check_replaced(path, dataset, force)
    data = load(where, dataset, data_dir, offline, quiet)
    say = speaker(as_json, quiet)
    say(describe(data))
    return _Job(name, recipe, data, seed, dtype, path, replaced, as_json, quiet, say, started)


def _settings(recipe: Recipe, n_rows: int, is_rate_of_another: bool) -> str:
    """Return one line about how a recipe trains."""
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    is_full = recipe.batch_size is None or recipe.batch_size >= n_rows
    rows = "all rows" if is_full else f"{recipe.batch_size} rows"
    rate = f"learning rate {recipe.learning_rate:g}"
    if is_rate_of_another:
        rate += " (for this optimizer what the recipe's is for its own; --learning-rate changes it)"
    smoothing = recipe.label_smoothing
    note = f", label smoothing {smoothing:g} in the loss" if smoothing else ""
    return f"{epochs} in steps of {rows}, {recipe.optimizer}, {rate}{note}"


def _keepers(job: _Job, folder: Path, steps: int | None, keep_going: bool) -> list[nl.Callback]:
    """Return what keeps a training in a folder."""
    settings = {"dataset": job.name, "seed": job.seed, **asdict(job.recipe)}
    checkpointer = nl.Checkpointer(folder, steps=steps, settings=settings, keep_going=keep_going)
    return [RunLog(folder, job.say, keep_going), checkpointer]


def _fit(
    job: _Job,
    network: nl.Network,
    train: Split,
    callbacks: Sequence[nl.Callback] = (),
    run: Path | None = None,
    **options: Any,
) -> nl.History:
    """Train, with the doctor looking on if one was called, and keep all in the folder `run`, if there is one."""
    doctors = [] if job.doctor is None else [job.doctor]
    listeners = [*callbacks, *doctors]
    try:
        history = nl.fit(network, train, callbacks=listeners, resume=run, progress=not job.quiet, verbose=0, **options)
    except DivergenceError:
        for doctor in doctors:
            write_line(doctor.report(), sys.stderr)
        raise
    except SystemExit as end:  # SIGTERM, after the checkpoint
        fail(f"terminated; the same command goes on from {run}", int(end.code or 0))
    if run is not None and history.interrupted:
        fail(f"interrupted; the same command goes on from {run}", 130)
    return history


def _search(job: _Job, grid: dict[str, Any]) -> None:
    """Search a grid of recipe settings, say what was found, and finish with the network of the best one."""
    recipe = job.recipe

    def train_one(train: Split, validation: Split | None, **setting: Any) -> nl.Network:
        first = recipe.epochs if validation is None else recipe.search_epochs or recipe.epochs
        chosen = replace(recipe, **setting, epochs=first)
        network = build_network(chosen, job.data, job.seed, job.dtype)
        _fit(job, network, train, **fit_options(chosen, train, job.data.image_shape))
        return network

    if recipe.summed_loss:
        rows, rate = len(job.data.train.x), recipe.learning_rate
        job.say(f"learning rate {rate:g} on the loss summed over {rows:,} rows, which is {rate * rows:g} on its mean")
    result = nl.search(train_one, job.data, grid, progress=not job.quiet)
    job.say(str(result))
    if result.network is None:
        raise KeyboardInterrupt
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    job.say(f"the best setting, trained from new weights on train + validation for {epochs}:")
    _finish(job, result.network, recipe.epochs, {"trials": result.trials, "best": result.best}, result.interrupted)


def _finish(job: _Job, network: nl.Network, epochs: int, more: dict[str, Any], interrupted: bool) -> None:
    """Evaluate on the test rows, save, and print the result."""
    network.metrics["test"] = test = nl.evaluate(network, job.data.test, progress=False)
    network.extra["data"] = job.data.name
    nl.save(network, job.out)
    seconds = time.perf_counter() - job.started
    if job.as_json:
        facts = {"dataset": job.data.name, "recipe": job.name, **network.metrics, "seconds": seconds, "epochs": epochs}
        if job.doctor is not None:
            facts["findings"] = [finding._asdict() for finding in job.doctor.findings]
        print(json.dumps({**facts, "parameters": network.params.size, "model": str(job.out), **more}))
    else:
        smoothing = job.recipe.label_smoothing
        note = f", label smoothing {smoothing:g} in the loss" if smoothing else ""
        say = speaker(as_json=False, quiet=False)
        say(f"test loss {test['loss']:.4f}  accuracy {test['accuracy']:.2%}  ({len(job.data.test.x):,} rows{note})")
        say(f"saved {job.out} after {seconds:.1f} s{job.replaced}")
    if interrupted:
        fail(f"interrupted; what was learnt is in {job.out}", 130)
