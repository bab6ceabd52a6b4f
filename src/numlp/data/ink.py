"""The ink of a page: what stands out from an uneven paper, without frames, ruled lines and dust."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.paper import noise_of, paper_beside_edges, share_of, smooth_paper

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]  # top, left, bottom, right

FAINT = 25.5  # of 255: the least contrast that is a figure
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
EDGE = 0.2  # of the strongest ink: where a figure begins
_N_CELLS = 160  # a side, for what is connected
_DUST = 0.02  # of the ink of the largest part: what is dust if it lies apart
_REST = 0.25  # likewise, for what touches the edge of the page
_APART = 0.06  # of the longest part: from where on two large parts are two figures
_NEAR = 0.04  # of the page: how near parts of a figure are to each other


class Ink(NamedTuple):
    """Ink of a page (h, w), at least 0, whether it is dark, and what should be known about it."""

    strength: Floats
    is_dark: bool
    warnings: tuple[str, ...] = ()
    is_framed: bool = False


def brightness(colors: NDArray[np.uint8]) -> Floats:
    """Return one number 0..255 for each pixel of colors (h, w, 4) with alpha, in which ink and paper differ.

    That is the luminance, or a color channel with more than twice its contrast. What is transparent is the paper of an
    opaque page, else white; where nothing is drawn on that, the opacity itself is the ink.
    """
    rgb, alpha = colors[..., :3], colors[..., 3].astype(np.float32)
    if alpha.min() == 255:
        return _clearest(rgb.astype(np.float32))
    opaque = alpha >= 128
    papers = [np.full(3, 255, np.float32)]
    if opaque.mean() > 0.5:
        papers.insert(0, np.median(rgb[opaque], axis=0).astype(np.float32))
    share = alpha[..., None] / np.float32(255)
    for paper in papers:
        grey = _clearest(rgb * share + paper * (1 - share))
        if np.ptp(grey) >= FAINT:
            return grey
    return 255 - alpha if np.ptp(alpha) >= FAINT else grey


def _clearest(rgb: Floats) -> Floats:
    grey = rgb @ _LUMINANCE
    contrasts = np.ptp(rgb.reshape(-1, 3), axis=0)
    best = int(contrasts.argmax())
    return np.ascontiguousarray(rgb[..., best]) if contrasts[best] > 2 * np.ptp(grey) + 1 else grey


def plain_ink(grey: Floats) -> Ink:
    """Return the difference to the paper, which is the most frequent brightness."""
    paper = np.float32(np.bincount(np.round(grey).astype(int).ravel()).argmax())
    is_dark = bool(paper - grey.min() > grey.max() - paper)
    return Ink(np.maximum(paper - grey if is_dark else grey - paper, 0), is_dark)


def find_ink(grey: Floats, is_dark: bool | None = None) -> Ink | None:
    """Return the ink of a page (h, w), brightness 0..255; None if nothing is drawn.

    Paper is the larger area, and its light may change smoothly. Frames, edges of a scan, ruled lines and dust are left out.
    `is_dark` tells what the ink is, where it is known.
    """
    paper = smooth_paper(grey)
    rest = grey - paper
    uneven = 1.4826 * float(np.median(np.abs(rest)))
    noise = min(uneven, noise_of(grey))
    is_dark = _is_dark(rest, noise) if is_dark is None else is_dark
    if uneven > 2 * noise + 3:
        other = paper_beside_edges(grey, is_dark)
        if share_of(grey - other, noise) > 1.3 * share_of(rest, noise):
            paper, rest = other, grey - other
    ink = np.maximum(-rest if is_dark else rest, 0)
    if is_dark:  # a shadow takes as much from the contrast as from the paper
        ink *= np.median(paper) / np.maximum(paper, 0.2 * np.median(paper) + 1)
    ink, is_framed = _without_lines(ink)
    smooth = _smoothed(ink, noise)
    strongest = float(smooth.max())
    least = max(EDGE * strongest, 4 * noise / (1 if smooth is ink else 5))
    if strongest < FAINT or strongest <= least:
        return None
    kept, warnings, dropped = _main_parts(smooth > least, smooth)
    return Ink(np.where(kept, ink, 0), is_dark, warnings, is_framed or dropped)


def _is_dark(rest: Floats, noise: float) -> bool:
    """Return whether more of the picture is darker than the paper than lighter, first of all inside."""
    margin = [n // 10 for n in rest.shape]
    inside = rest[margin[0] : rest.shape[0] - margin[0], margin[1] : rest.shape[1] - margin[1]]
    for part in (inside, rest):
        least = max(4 * noise, FAINT)
        dark, light = (float(np.maximum(sign * part - least, 0).sum()) for sign in (-1, 1))
        if dark or light:
            break
    return dark >= light


def _without_lines(ink: Floats) -> tuple[Floats, bool]:
    """Return the ink without lines from edge to edge, such as frames and ruled lines, and whether there were any."""
    least = EDGE * float(ink.max())
    # nearly all pixels of the line are as dark, or darker; of both directions, before one of them is changed
    levels = [np.quantile(ink, 0.04, axis=axis) for axis in (1, 0)]
    bars = [_runs(level > max(least / 2, 4)) for level in levels]
    edges = [start == 0 or stop == len(level) for level, runs in zip(levels, bars, strict=True) for start, stop in runs]
    cleared, found = ink.copy(), False
    for level, runs, lines, result in zip(levels, bars, (ink, ink.T), (cleared, cleared.T), strict=True):
        n = len(level)
        for start, stop in runs:
            at_edge = start == 0 or stop == n
            if stop - start > max(2, 0.03 * n):  # a bar at an edge, unless a figure begins there
                beside = lines[start - 1 if start else min(stop, n - 1)]
                ends = len(beside) // 6  # where a frame goes on
                is_joined = sum(edges) < 3 and (beside[ends : len(beside) - ends] > least).any()
                if not at_edge or stop - start > 0.15 * n or is_joined:
                    continue
            part = result[start:stop]
            part[part < 1.5 * level[start:stop, None]] = 0
            found = True
    return (cleared, True) if found else (ink, False)


def _runs(marked: NDArray[Any]) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _smoothed(ink: Floats, noise: float) -> Floats:
    """Return the ink, averaged over 5 x 5 pixels if the paper is noisy."""
    if noise < 2 or min(ink.shape) < 56:
        return ink
    for axis in (0, 1):
        padded = np.concatenate([np.zeros_like(ink.take([0, 1, 2], axis)), ink, np.zeros_like(ink.take([0, 1], axis))], axis)
        sums = padded.cumsum(axis, dtype=np.float64)
        n = ink.shape[axis]
        ink = ((sums.take(range(5, n + 5), axis) - sums.take(range(n), axis)) / 5).astype(np.float32)
    return ink


def _main_parts(mask: NDArray[Any], ink: Floats) -> tuple[NDArray[Any], tuple[str, ...], bool]:
    """Return where the figure is, what should be known about it, and whether the edge of the page was left out."""
    step = max(1, -(-max(mask.shape) // _N_CELLS))
    rows, columns = (range(0, n, step) for n in mask.shape)
    cells = np.maximum.reduceat(np.maximum.reduceat(mask, rows, axis=0), columns, axis=1)
    mass = np.add.reduceat(np.add.reduceat(np.where(mask, ink, 0), rows, axis=0), columns, axis=1)
    labels, n = connected(cells)
    masses = np.bincount(labels.ravel(), mass.ravel(), n + 1)
    boxes = [_box(labels == i) for i in range(n + 1)]
    parts = [i for i in range(1, n + 1)]
    inner = [i for i in parts if not _is_edge(labels == i)]
    tall = [i for i in inner if max(boxes[i][2] - boxes[i][0], boxes[i][3] - boxes[i][1]) >= 0.1 * max(cells.shape)]
    dropped = bool(tall) and len(inner) < len(parts) and max(masses[i] for i in tall) > 0.02 * masses[1:].sum()
    if dropped:
        parts = inner
    main = max(parts, key=lambda i: masses[i])
    # apart from the figure: dust, and what comes in from beyond the edge
    smallest = [_REST if _touches(box, cells.shape) else _DUST for box in boxes]
    parts = [
        i for i in parts if masses[i] > smallest[i] * masses[main] or _gap(boxes[i], boxes[main]) <= _NEAR * max(cells.shape)
    ]
    kept = _grown(np.isin(labels, parts), 2 if step == 1 else 1)
    warnings = _warnings([boxes[i] for i in parts], [masses[i] for i in parts], cells.shape)
    whole = np.repeat(np.repeat(kept, step, axis=0), step, axis=1)[: mask.shape[0], : mask.shape[1]]
    return whole, warnings, dropped


def _is_edge(part: NDArray[Any]) -> bool:
    """Return whether a part runs along an edge of the page."""
    return any(side.mean() > 0.4 for side in (part[0], part[-1], part[:, 0], part[:, -1]))


def _box(part: NDArray[Any]) -> Box:
    rows, columns = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _gap(a: Box, b: Box) -> int:
    """Return how far two boxes are apart, in the direction in which they are farther."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


def _touches(box: Box, shape: tuple[int, ...]) -> bool:
    return box[0] == 0 or box[1] == 0 or box[2] == shape[0] or box[3] == shape[1]


def _grown(cells: NDArray[Any], by: int) -> NDArray[Any]:
    for _ in range(by):
        padded = np.pad(cells, 1)
        cells = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return cells


def _warnings(boxes: list[Box], masses: list[float], shape: tuple[int, ...]) -> tuple[str, ...]:
    found = []
    sizes = [max(bottom - top, right - left) for top, left, bottom, right in boxes]
    figures = [
        box
        for box, size, mass in zip(boxes, sizes, masses, strict=True)
        if size >= 0.4 * max(sizes) and mass >= 0.2 * max(masses)
    ]
    least = max(1, _APART * max(sizes))
    apart = [box for i, box in enumerate(figures) if all(_gap(box, other) >= least for other in figures[:i])]
    if len(apart) > 1:
        found.append(f"shows {len(apart)} figures apart from each other, read as one; give each a picture of its own")
    if any(_touches(box, shape) for box in boxes):
        found.append("has ink that touches the edge, so that a part may be missing; leave a margin")
    return tuple(found)


def connected(cells: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Return for each cell the number of the part it belongs to, 0 for none, and how many parts there are.

    Parts are connected across edges and corners. Runs of a row are joined with those of the row above.
    """
    parents = [0]
    labels = np.zeros(cells.shape, np.int64)
    above: list[tuple[int, int, int]] = []

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for y, row in enumerate(cells):
        current = []
        for start, stop in _runs(row):
            number = 0
            for other, begin, end in above:
                if begin <= stop and start <= end:
                    if number:
                        parents[root(other)] = root(number)
                    number = number or other
            if not number:
                number = len(parents)
                parents.append(number)
            current.append((number, start, stop))
            labels[y, start:stop] = number
        above = current
    names, numbers = np.unique([root(i) for i in range(len(parents))], return_inverse=True)
    return numbers[labels], len(names) - 1
