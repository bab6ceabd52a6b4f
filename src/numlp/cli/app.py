"""What all commands share: options, errors as one message and an exit status, lines for people."""

import contextlib
import functools
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from numpy.typing import NDArray

import numlp as nl
from numlp.cli.options import check_options
from numlp.cli.usage import Group
from numlp.data.csv_dialect import CsvOptions
from numlp.data.mnist_sources import SOURCES
from numlp.data.splits import Dataset
from numlp.errors import ArgumentError, DivergenceError, DownloadError, NumlpError, check_choice, printable
from numlp.files import check_path, check_replaceable, with_remedy
from numlp.progress import terminal_width, without_progress, write_line

app = typer.Typer(
    cls=Group,
    help="Fully connected neural networks written in NumPy.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip

DATASETS = ("digits", *SOURCES)
FOR_CSV = tuple(CsvOptions.__annotations__)
_MOST_CLASSES = 20  # in a confusion matrix on the screen
_FIGURES = {"accuracy": "accuracy {:.2%}", "r2": "R2 {:.4g}"}

# the options several commands share
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the data files [default: $NUMLP_DATA, else the user's cache].")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only; no progress.")]
Drop = Annotated[
    list[str] | None, typer.Option("--drop", metavar="COLUMN", help="Column of a table to leave out; may be repeated.")
]
Decimal = Annotated[str | None, typer.Option(metavar="MARK", help="Decimal mark of a CSV file's numbers: . or ,")]
Thousands = Annotated[
    str | None, typer.Option(metavar="MARK", help="Mark between thousands in a CSV file: , or . or ' or a blank.")
]
Delimiter = Annotated[
    str | None, typer.Option(metavar="MARK", help="What separates cells in a CSV file: one character, tab or blank.")
]
QuoteMark = Annotated[
    str | None, typer.Option("--quote", metavar="MARK", help="What cells of a CSV file are quoted by, or none.")
]
Encoding = Annotated[str | None, typer.Option(help="Of a CSV file that is not UTF-8, such as cp1252.")]
Header = Annotated[
    bool | None, typer.Option("--header/--no-header", help="Whether the first line of a CSV file names the columns.")
]
SkipRows = Annotated[int | None, typer.Option(metavar="N", help="Lines of a CSV file to leave out at its beginning.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a model of other data, or another file.")]
Name = Annotated[str, typer.Argument(metavar="DATASET", help=", ".join(DATASETS))]


def reports_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what a command raises into one message on stderr and an exit status."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        logging.basicConfig(format="numlp: %(message)s")
        try:
            silence = without_progress() if kwargs.get("quiet") else contextlib.nullcontext()
            with silence, warnings.catch_warnings():
                warnings.showwarning = lambda message, *_: warn(str(message))
                check_options(command.__name__, kwargs)
                command(*args, **{name: _expanded(name, value) for name, value in kwargs.items()})
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            fail("interrupted", 130)
        except DivergenceError as error:
            fail(str(error), 3)
        except DownloadError as error:
            fail(str(error), 4)
        except NumlpError as error:
            fail(str(error), 2)
        except OSError as error:
            fail(message_of(error), 4)

    return run


def _expanded(name: str, value: Any) -> Any:
    """Return a path with the home folder in the place of "~", which no shell replaces after "=" or in quotes."""
    if isinstance(value, list):
        return [_expanded(name, item) for item in value]
    if isinstance(value, Path):
        return check_path(value, "numlp", f"--{name.replace('_', '-')}")
    return str(check_path(value, "numlp", name)) if name == "dataset" and value.startswith("~") else value


def message_of(error: Exception) -> str:
    """Return one line that says what went wrong."""
    if isinstance(error, OSError) and not isinstance(error, NumlpError):
        error = error if error.errno is None else with_remedy(error, "output")
        return f"{error.filename or 'output'}: {error.strerror or error}"
    return str(error)


def fail(message: str, status: int) -> NoReturn:
    """Print what went wrong on stderr and exit with `status`."""
    write_line(f"numlp: {message}", sys.stderr)
    raise typer.Exit(status)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False) -> None:
    """Fully connected neural networks written in NumPy."""
    if show:
        print(f"numlp {nl.__version__}")
        raise typer.Exit


def warn(message: str) -> None:
    """Print on stderr what the user should know, and go on."""
    write_line(f"numlp: warning: {message}", sys.stderr)


def csv_options(context: typer.Context) -> CsvOptions:
    """Return what the user says about how a CSV file is written."""
    return CsvOptions(**{name: context.params[name] for name in FOR_CSV})  # type: ignore[typeddict-item]


def refuse(context: typer.Context, names: Iterable[str], what: str) -> None:
    """Raise ArgumentError naming the first of these options that the user gave: it must come with `what`."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name != "DEFAULT":
            raise ArgumentError(f"{context.info_name}: {parameter.opts[0]} must come with {what}")


def writable(path: Path, source: str | None = None) -> Path:
    """Return `path` if a file can be written there that is not `source`, which must be there: asked before the work."""
    if source is not None:
        os.stat(source)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder for --out; make it, or give another path", str(folder))
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise PermissionError(13, "no file can be written for --out; give another path", str(path))
    check_replaceable(path)
    if source is not None and path.exists() and path.samefile(source):
        raise ArgumentError(f"{path}: --out must be another file than the one that is read")
    return path


def check_replaced(path: Path, data: str, force: bool) -> str:
    """Return in words what model a new one of some data will replace, or nothing.

    Errors  ArgumentError, unless `force` is given, if the file is no model, or one of other data or of data without a name.
    """
    if not path.exists():
        return ""
    try:
        network = nl.load(path)
    except (NumlpError, OSError) as error:
        if not force:
            raise ArgumentError(
                f"{path}: file must be a model to be replaced by one, got another file; give another --out, or --force"
            ) from error
        return "; it replaced a file that was no model"
    notes = network.extra.get("table", {}).get("notes", {})
    name = (notes or network.extra).get("data")
    own = "data without a name" if name is None else printable(str(name), 60)
    if name != data and not force:
        expected = f"{path}: model must be of {printable(data, 60)} to be replaced, got one of {own}"
        raise ArgumentError(f"{expected}; give another --out, or --force")
    test = {**network.metrics, **notes}.get("test") or {}
    figure = next((f" with test {figure.format(test[key])}" for key, figure in _FIGURES.items() if key in test), "")
    return f"; it replaced a model of {own}{figure}"


def print_confusion(names: Sequence[str], counts: NDArray[Any]) -> None:
    """Print a confusion matrix with the names of the classes, which come from a file; of many, only the worst confusions."""
    names = tuple(map(printable, names))
    if len(names) > _MOST_CLASSES:
        wrong = counts * ~np.eye(len(names), dtype=bool)
        worst = np.argsort(-wrong, axis=None, kind="stable")[: min(_MOST_CLASSES, np.count_nonzero(wrong))]
        print(f"{len(names):,} classes; the most frequent of {wrong.sum():,} confusions (--json has the whole matrix):")
        for right, said in zip(*np.unravel_index(worst, wrong.shape), strict=True):
            print(f"{wrong[right, said]:>6}  {names[right]} taken for {names[said]}")
        return
    width = max(len(name) for name in names)
    columns = " ".join(f"{name[:6]:>6}" for name in names)
    print(f"rows: the right class; columns: what the model said\n{'':>{width}}  {columns}")
    for name, line in zip(names, counts, strict=True):
        print(f"{name:>{width}}  " + " ".join(f"{count:>6}" for count in line))


def speaker(as_json: bool, quiet: bool) -> Callable[[str], None]:
    """Return what prints a line for people: to stdout, or to stderr where stdout belongs to the JSON object.

    On a terminal, a line that is too long is broken between words; a table is not.
    """
    if quiet:
        return lambda line: None

    def say(text: str) -> None:
        file = sys.stderr if as_json else sys.stdout
        width = terminal_width(file)
        if width is not None and len(text) > width and "\n" not in text:
            lines = textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            text = "\n".join(lines)
        write_line(text, file)

    return say


def load(where: str, name: str, folder: Path | None, offline: bool, quiet: bool) -> Dataset:
    """Return a data set by name, pixels as bytes where there are many."""
    check_choice(name, DATASETS, where, "dataset")
    if name == "digits":
        return nl.load_digits()
    return nl.load_mnist(folder, normalize=False, dataset=name, offline=offline, progress=not quiet)


def describe(data: Dataset) -> str:
    """Return one line about a data set."""
    height, width = data.image_shape
    counts = f"{len(data.train.x):,} training, {len(data.validation.x):,} validation and {len(data.test.x):,} test rows"
    return f"{data.name}: {counts} of {height}x{width} pixels, {len(data.class_names)} classes"
