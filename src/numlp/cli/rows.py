"""Rows for a network from a file of any kind, in the units the network was trained on."""

import gzip
import math
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import numlp as nl
from numlp.data.csv_dialect import CsvOptions, describe_dialect, find_dialect
from numlp.data.idx import read_idx
from numlp.data.images import read_picture
from numlp.data.inputs import Inputs
from numlp.data.kinds import PICTURES, check_readable, kind_of
from numlp.data.tables import Table, column_place, drop_columns, read_csv
from numlp.errors import ArgumentError, FormatError, ShapeError, printable, typed

_NO_INPUTS = ("label", "labels", "class", "target", "y", "id", "index", "")  # what a column too many is often called


def read_rows(network: nl.Network, path: Path, csv: CsvOptions | None = None, drop: Sequence[str] = ()) -> tuple[Any, str]:
    """Return rows for the network from a picture, an IDX or a CSV file, told by content, and what was assumed.

    Raises
    ------
    FormatError
        If the file is of another kind, damaged, or its numbers are in no units of pixels.
    ShapeError, ArgumentError
        If a picture does not fit the model.
    """
    kind = kind_of(path)
    check_readable(kind, path)
    is_csv = kind == "text" or (kind == "gzip" and _is_packed_text(path))
    if not is_csv:
        given = ["drop" for name in drop] + [name for name, value in (csv or {}).items() if value is not None]
        if given:
            raise ArgumentError(f"{path}: file must be CSV for --{given[0].replace('_', '-')}, got {kind}")
    if kind in PICTURES:
        side = math.isqrt(network.n_in)
        if side * side != network.n_in:
            raise ShapeError(f"predict: model must take a square picture, got one that takes {network.n_in} columns")
        inputs, _ = trained_on(network)
        unit = _unit(inputs, network.n_in)
        if unit is None:
            raise _unlike_pixels(inputs, path)
        x, note = read_picture(path, (side, side), inputs.box, inputs.centred)
        return _mapped(1 - x if inputs.paper == inputs.high else x, unit), note
    if not is_csv:
        array = read_idx(path)
        if array.ndim < 2 or array.size == 0:
            raise FormatError(f"{path}: file must hold at least 1 row of numbers, got dimensions {array.shape}")
        return as_trained(network, array.reshape(len(array), -1), str(path), pixels=True)
    table, _, how = read_numbers(network, str(path), csv or {}, drop)
    x, note = as_trained(network, table.x, str(path))
    return x, note + how


def read_numbers(
    network: nl.Network, path: str, csv: CsvOptions, drop: Sequence[str], target: str | None = None
) -> tuple[Table, Any, str]:
    """Return the rows of a CSV file for the network, the column `target`, and in words what is not ordinary about the file.

    Raises
    ------
    FormatError, ArgumentError
        As `read_csv` and `column_place`.
    ShapeError
        If there are more columns than the network takes.
    """
    table, y = drop_columns(read_csv(path, **csv), drop, path), None
    if target is not None:
        y = table.x[:, column_place(table, target, path, "target")]
        table = drop_columns(table, [target], path) if table.x.shape[1] > 1 else table._replace(x=table.x[:, :0])
    more = table.x.shape[1] - network.n_in
    if more > 0:
        names = table.names or tuple(str(i + 1) for i in range(len(table.x[0])))
        likely = next((name for name in names if name.lower() in _NO_INPUTS), names[0])
        shown = printable(", ".join(names[:5]), 100) + (", ..." if len(names) > 5 else "")
        got = f"got {network.n_in + more} ({shown})"
        advice = f"leave out what is no input, such as by --drop {typed(likely)}"
        raise ShapeError(f"{path}: rows must have {network.n_in} columns, {got}; {advice}")
    words = describe_dialect(find_dialect(path, csv)._replace(header=True))
    return table, y, f"; {words}" if words else ""


def load_model(path: Path, usage: str) -> nl.Network:
    """Return the network of a model file; name what is given in its place, such as a picture.

    Raises
    ------
    FormatError
        If the file is one of those that come second.
    CheckpointError, OSError
        As `numlp.load`.
    """
    kind = kind_of(path) if path.exists() else "missing"
    if kind in PICTURES or (kind == "text" and path.suffix.lower() in (".csv", ".txt", ".tsv")):
        what = f"a {kind} picture" if kind in PICTURES else "text"
        raise FormatError(f"{path}: file must be a model, got {what}; the model comes first: numlp {usage}")
    return nl.load(path)


def trained_on(network: nl.Network) -> tuple[Inputs, bool]:
    """Return range and layout of the rows the network was trained on, and whether the model tells.

    Models of earlier versions do not, unless the means of a `Standardize` do; then pixels in [0, 1] are assumed.
    """
    first = network.layers[0]
    if network.inputs is not None:
        return network.inputs, True
    if isinstance(first, nl.Standardize) and first.mean.max() > 1:
        return Inputs(high=16.0 if network.n_in == 64 and first.mean.max() <= 16 else 255.0), True
    return Inputs(), False


def as_trained(network: nl.Network, x: Any, where: str, pixels: bool = False) -> tuple[Any, str]:
    """Return rows of numbers in the units the network was trained on, and what was assumed.

    Rows are pixels if `pixels` says so, the network begins with `Pixels`, or they are whole bytes and the network has
    learnt from squares of pixels. Other numbers are taken as they are.

    Raises
    ------
    FormatError
        If pixels are neither in [0, 1] nor 0..255, or the network was trained on other numbers.
    """
    n, low, high = f"{len(x):,} rows", float(x.min()), float(x.max())
    as_they_are = x, f"{n}, numbers taken as they are"
    if x.shape[1] != network.n_in or not math.isfinite(low + high):
        return as_they_are  # the network says what is wrong
    inputs, is_known = trained_on(network)
    unit, top = _unit(inputs, network.n_in), _top(low, high, network.n_in)
    divides_bytes = isinstance(network.layers[0], nl.Pixels)
    pixels = pixels or divides_bytes
    is_square = network.n_in >= 64 and math.isqrt(network.n_in) ** 2 == network.n_in
    is_square = is_square and is_known and unit is not None
    if not pixels and not (is_square and top and (top == 1 or (x == np.floor(x)).all())):
        if is_square:
            _warn_of_range(low, high, inputs, where)
        return as_they_are
    if is_square:
        _warn_of_background(x, (0, top) if top else (inputs.low, inputs.high), inputs, where)
    if divides_bytes and x.dtype == np.uint8 and top == 1:
        return x.astype(np.float32), as_they_are[1]
    if unit == (0, top) or (inputs.low <= low < 0 and high <= inputs.high):
        return as_they_are
    if top is None:
        raise FormatError(f"{where}: pixels must be in [0, 1] or 0..255, got numbers from {low:g} to {high:g}")
    if unit is None:
        if inputs.low <= low and high <= inputs.high:
            return as_they_are
        raise _unlike_pixels(inputs, where)
    ink, background = (0, top) if is_known and inputs.paper == inputs.high > inputs.low else (top, 0)
    assumed = f"{n}, assumed pixels 0..{top} with ink {ink} on background {background}"
    if divides_bytes and x.dtype == np.uint8 and (unit, top) == ((0, 1), 255):
        return x, assumed  # the layer divides
    return _mapped(x / np.float32(top), unit), assumed


def _warn_of_range(low: float, high: float, inputs: Inputs, where: str) -> None:
    """Warn of rows that go far beyond the range of training, or are negative where that was not."""
    half = (inputs.high - inputs.low) / 2
    if low < inputs.low - half or high > inputs.high + half or low < 0 <= inputs.low:
        units = f"{inputs.low:g} to {inputs.high:g}"
        warnings.warn(f"{where}: rows should be in the units of training, {units}, got {low:g} to {high:g}", stacklevel=3)


def _warn_of_background(x: Any, ends: tuple[float, float], inputs: Inputs, where: str) -> None:
    """Warn of pixels from ends[0] to ends[1] of which most are as the ink of training, and few as its background."""
    margin = (ends[1] - ends[0]) / 50
    dark, light = float((x <= ends[0] + margin).mean()), float((x >= ends[1] - margin).mean())
    was_dark = inputs.paper == inputs.low
    if (light > max(0.5, 4 * dark)) if was_dark else (dark > max(0.5, 4 * light)):
        right, wrong = ("dark", "light") if was_dark else ("light", "dark")
        warnings.warn(
            f"{where}: background should be {right} as in training, got a {wrong} one; turn {ends[0]:g} into {ends[1]:g}",
            stacklevel=3,
        )


def _top(low: float, high: float, n_in: int) -> int | None:
    """Return the strongest ink in the units of rows with this range: 1, 255, or 16 for digits of 8x8; None for others."""
    if low < 0 or high > 255:
        return None
    return 1 if high <= 1.001 else 16 if n_in == 64 and high <= 16 else 255


def _unit(inputs: Inputs, n_in: int) -> tuple[float, float] | None:
    """Return the two numbers that 0 and 1 were in the training rows; None if these were no pixels."""
    low, high = inputs.low, inputs.high
    if -4 <= low < 0 < high <= 4:  # pixels moved and scaled, such as to [-1, 1]
        return low, high
    top = _top(low, high, n_in)
    return None if top is None or 1 < high < top / 4 else (0, top)


def _mapped(x: Any, unit: tuple[float, float]) -> Any:
    """Return pixels in [0, 1] in other units."""
    return x if unit == (0, 1) else unit[0] + x * np.float32(unit[1] - unit[0])


def _unlike_pixels(inputs: Inputs, where: Any) -> FormatError:
    return FormatError(
        f"{where}: model must be trained on pixels in [0, 1] or 0..255, got one trained on numbers from {inputs.low:g} to "
        f"{inputs.high:g}; give it rows that are scaled as those were, as CSV"
    )


def _is_packed_text(path: Path) -> bool:
    """Return whether a gzip file holds text, not IDX."""
    try:
        with gzip.open(path) as stream:
            return stream.read(1) not in (b"", b"\0", b"\x1f")
    except (OSError, EOFError, zlib.error):
        return False  # `read_idx` says what is wrong with it
