"""The brightness of the paper under uneven light."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_N_SAMPLES = 64  # a side
_BIN = 8.0  # of 255: brightness that counts as the same paper


def smooth_paper(grey: Floats) -> Floats:
    """Return the brightness of the paper at each pixel: a surface of second degree through the larger part of them.

    By iteratively reweighted least squares with Tukey's weights, on a sample.
    """
    height, width = grey.shape
    level = float(np.median(grey))
    if min(grey.shape) < 16:
        return np.full_like(grey, level)
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, _N_SAMPLES)).astype(int)) for n in grey.shape)
    sample = grey[np.ix_(rows, columns)].ravel().astype(np.float64)
    across, down = (2 * (i + 0.5) / n - 1 for i, n in ((np.arange(width), width), (np.arange(height), height)))
    v, u = (part.ravel() for part in np.meshgrid(down[rows], across[columns], indexing="ij"))
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    starts = [_level(float(np.median(sample))), _level(_mode(sample))]
    tiles = (np.arange(len(rows)) * 8 // len(rows))[:, None] * 8 + np.arange(len(columns)) * 8 // len(columns)
    members = [np.flatnonzero(tiles.ravel() == i) for i in range(64)]
    middles = np.array([terms[member].mean(axis=0) for member in members])
    for share in (0.2, 0.8):  # the paper between light ink, and between dark ink
        levels = np.array([np.quantile(sample[member], share) for member in members])
        starts.append(_surface(middles, levels, _level(float(np.median(levels))), 255.0))
    fits = [_surface(terms, sample, start, _BIN if i else 255.0) for i, start in enumerate(starts)]
    surface = max(fits, key=lambda fit: np.count_nonzero(np.abs(sample - terms @ fit) < _BIN))
    c, cu, cv, cuu, cuv, cvv = surface
    along = (c + cu * across + cuu * across * across).astype(np.float32)
    up = (cv * down + cvv * down * down).astype(np.float32)
    paper = along[None] + up[:, None] + (cuv * down).astype(np.float32)[:, None] * across.astype(np.float32)[None]
    return np.clip(paper, 0, 255)


def _level(value: float) -> NDArray[Any]:
    """Return the coefficients of an even surface."""
    return np.array([value, 0, 0, 0, 0, 0])


def _mode(sample: NDArray[Any]) -> float:
    return float(np.bincount((sample / _BIN).astype(int)).argmax()) * _BIN + _BIN / 2


def _surface(terms: NDArray[Any], sample: NDArray[Any], start: NDArray[Any], most: float) -> NDArray[Any]:
    """Return the coefficients of the surface near most of the sample, begun at others; `most` limits the scale."""
    rest = sample - terms @ start
    for _ in range(12):
        scale = min(max(1.4826 * float(np.median(np.abs(rest))), 1.0), most)
        weight = np.clip(1 - (rest / (4.685 * scale)) ** 2, 0, None) ** 2
        moments = terms.T @ (weight[:, None] * terms) + 1e-6 * np.eye(6)
        surface = np.linalg.solve(moments, terms.T @ (weight * sample))
        rest = sample - terms @ surface
    return surface


def noise_of(grey: Floats) -> float:
    """Return the standard deviation of pixels that are independent of their neighbors, where most of them are paper."""
    if min(grey.shape) < 2:
        return 0.0
    return 1.4826 / 2**0.5 * float(np.median(np.abs(np.diff(grey, axis=1))))


def share_of(rest: Floats, noise: float) -> float:
    """Return the share of the page that is paper, from its differences to the paper."""
    return float((np.abs(rest) < _BIN + 3 * noise).mean())


def paper_beside_edges(grey: Floats, is_dark: bool) -> Floats:
    """Return the brightness of the paper where its light has edges: a closing, or an opening where ink is light.

    What is narrower than a third of the page counts as ink.
    """
    step = max(1, max(grey.shape) // 70)
    low = grey[: grey.shape[0] // step * step, : grey.shape[1] // step * step]
    low = low.reshape(low.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    size = 2 * (max(low.shape) // 6) + 1
    for extreme in (np.max, np.min) if is_dark else (np.min, np.max):
        for axis in (0, 1):
            width = [(0, 0), (0, 0)]
            width[axis] = (size // 2, size // 2)
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(low, width, mode="edge"), size, axis)
            low = extreme(windows, axis=-1)
    rows, columns = (np.minimum(np.arange(n) // step, m - 1) for n, m in zip(grey.shape, low.shape, strict=True))
    return np.asarray(low[np.ix_(rows, columns)], np.float32)
