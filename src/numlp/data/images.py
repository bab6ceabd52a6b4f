"""A picture of one drawn figure, as a row of pixels like those the network has learnt from."""

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.errors import FormatError

_MAX_SIDE = 4096  # pixels


def read_png(path: str | os.PathLike[str], shape: tuple[int, int] = (28, 28)) -> tuple[NDArray[np.float32], str]:
    """Return a PNG as (1, height * width) float32 in [0, 1], ink 1 on background 0, and a line saying what was assumed.

    Whether the ink is dark or light is told by the border, which is background. A picture of another size than `shape`
    is cut to its ink, scaled so that the longer side fills 20/28 of the frame, and placed with its centre of mass in the
    middle: what was done to MNIST's digits. For frames below 12 pixels, which have no margin, the ink fills the frame.
    The strongest stroke becomes 1.

    Errors  FormatError if the file is not a PNG, is damaged, larger than 4096 pixels a side, or holds nothing drawn;
        OSError if it cannot be read.
    """
    grey = _grey(path)
    border = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    dark_ink = border >= 0.5
    ink = np.clip(border - grey if dark_ink else grey - border, 0, None)  # from the border, as paper is seldom pure white
    if ink.max() < 0.1:
        raise FormatError(f"{os.fspath(path)}: picture must show a figure, got one of even brightness {grey.mean():.2f}")
    ink /= ink.max()
    kept = grey.shape == shape
    frame = ink if kept else _centred(ink, shape)
    background, pen = ("light", "dark") if dark_ink else ("dark", "light")
    size = "kept as it is" if kept else f"{grey.shape[1]}x{grey.shape[0]} scaled to {shape[1]}x{shape[0]}"
    return frame.reshape(1, -1).astype(np.float32), f"assumed {pen} ink on a {background} background, {size}"


def _grey(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Return the picture as (height, width) brightness in [0, 1]; what is transparent is white."""
    from PIL import Image, UnidentifiedImageError

    where = os.fspath(path)
    limit = f"{where}: picture must be at most {_MAX_SIDE} pixels a side, got"
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd but readable files
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(file, formats=["PNG"])  # no other decoder gets to see the bytes
            if max(picture.size) > _MAX_SIDE:
                raise FormatError(f"{limit} {picture.width}x{picture.height}")
            layers = picture.convert("RGBA") if picture.mode != "I;16" else _from_16_bit(picture)
        except (FormatError, MemoryError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise FormatError(f"{limit} a much larger one") from error
        except UnidentifiedImageError as error:
            raise FormatError(f"{where}: file must be a PNG, got something else") from error
        except Exception as error:  # damaged chunks make Pillow raise IndexError and others, none of them documented
            raise FormatError(f"{where}: file must be a whole PNG, got a damaged one: {error}") from error
    white = Image.new("RGBA", layers.size, "white")
    return np.asarray(Image.alpha_composite(white, layers).convert("L"), np.float32) / np.float32(255)


def _from_16_bit(picture: Any) -> Any:
    from PIL import Image

    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGBA")


def _centred(ink: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Cut to the ink, scale it into the frame, and put its centre of mass in the middle."""
    from PIL import Image

    rows, columns = np.flatnonzero(ink.max(axis=1) > 0.2), np.flatnonzero(ink.max(axis=0) > 0.2)
    figure = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = min(shape) if min(shape) < 12 else round(min(shape) * 20 / 28)
    scale = box / max(figure.shape)
    height, width = (max(1, round(side * scale)) for side in figure.shape)
    # as floating point numbers, because thin strokes of a large picture fade below 1/255
    small = Image.fromarray(figure.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS)
    figure = np.clip(np.asarray(small, np.float64), 0, None)  # Lanczos overshoots at edges
    figure /= figure.max()
    mass = figure.sum()
    top = shape[0] / 2 - (figure.sum(axis=1) @ (np.arange(height) + 0.5)) / mass
    left = shape[1] / 2 - (figure.sum(axis=0) @ (np.arange(width) + 0.5)) / mass
    top, left = (round(np.clip(at, 0, room)) for at, room in ((top, shape[0] - height), (left, shape[1] - width)))
    frame = np.zeros(shape)
    frame[top : top + height, left : left + width] = figure
    return frame
