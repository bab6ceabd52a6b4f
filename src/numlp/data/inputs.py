"""The units and the layout of the rows a network was trained on, to which pictures are fitted at prediction."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.errors import CheckpointError

_N_ROWS = 400  # looked at
_INK = 0.2  # of the range: what counts as part of a figure
_MARGINLESS = 12  # pixels: frames below this have no margin round the figure


class Inputs(NamedTuple):
    """Range of the rows, and for square pictures how the figure lies in them.

    `low` and `high` are the least and the greatest number, `paper` the one of the two that is the background, `box` the
    longer side of the figure in pixels or 0 if it is not known, `centred` whether the centre of mass is in the middle.
    """

    low: float = 0.0
    high: float = 1.0
    paper: float = 0.0
    box: int = 0
    centred: bool = True


def inputs_from_config(config: Any, where: str) -> Inputs:
    """Return what a model file says about its inputs.

    Raises
    ------
    CheckpointError
        If it is nothing that `describe_inputs` could have found.
    """
    names = Inputs._fields
    if isinstance(config, dict) and set(config) == set(names):
        low, high, paper, box, centred = (config[name] for name in names)
        numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (low, high, paper))
        if numbers and low <= high and paper in (low, high) and type(box) is int and 0 <= box <= 1 << 10:
            return Inputs(float(low), float(high), float(paper), box, bool(centred))
    raise CheckpointError(f"{where}: inputs must be the range and layout of training rows, got {repr(config)[:80]}")


def describe_inputs(x: NDArray[Any], unit: float = 1.0) -> Inputs:
    """Return range and layout of the finite rows x (n, n_columns), of which up to 400 are looked at, divided by `unit`."""
    x = x[:: max(1, len(x) // _N_ROWS)].astype(np.float64) / unit
    low, high = float(x.min()), float(x.max())
    side = math.isqrt(x.shape[1])
    if side * side != x.shape[1] or side < 8 or low == high:
        return Inputs(low, high, low)
    paper = low if 2 * np.count_nonzero(x <= (low + high) / 2) >= x.size else high
    if side < _MARGINLESS:
        return Inputs(low, high, paper)
    figures = np.abs(x - paper).reshape(-1, side, side) / (high - low)
    boxes, offsets = figure_layouts(figures)
    if not len(boxes):
        return Inputs(low, high, paper)
    # digits that were moved a little, or thinned to black and white, still lie by their mass
    centred = np.quantile(offsets, 0.9) <= 1 or np.median(offsets) < np.median(_box_offsets(figures))
    return Inputs(low, high, paper, round(float(np.median(boxes))), bool(centred))


def figure_layouts(figures: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return of each figure (n, h, w) the longer side of its box, and how far its centre of mass is from the middle.

    Both in pixels; figures of which nothing is drawn are left out.
    """
    figures = figures[np.any(figures > _INK, axis=(1, 2))]
    sides, offsets = [], []
    for axis in (2, 1):
        drawn, mass = np.asarray(np.any(figures > _INK, axis=axis)), figures.sum(axis=axis)
        n = drawn.shape[1]
        sides.append(n - drawn.argmax(axis=1) - drawn[:, ::-1].argmax(axis=1))
        offsets.append(np.abs(mass @ (np.arange(n) - (n - 1) / 2)) / mass.sum(axis=1))
    return np.maximum(*sides), np.maximum(*offsets)


def _box_offsets(figures: NDArray[Any]) -> NDArray[Any]:
    """Return how far the middle of each box (n, h, w) is from the middle, in pixels."""
    offsets = []
    for axis in (2, 1):
        drawn = np.asarray(np.any(figures > _INK, axis=axis))
        offsets.append(np.abs(drawn.argmax(axis=1) - drawn[:, ::-1].argmax(axis=1)) / 2)
    return np.maximum(*offsets)
