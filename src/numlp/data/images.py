"""A picture of one drawn figure, as a row of pixels like those the network has learnt from."""

import io
import os
import warnings
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from numlp.errors import FormatError

_MAX_SIDE = 4096  # pixels
_MAX_BYTES = 1 << 26  # of the packed picture
_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_STRIP = 128  # rows turned into numbers at a time


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
    dark_ink = border >= 127.5
    value = np.arange(256, dtype=np.float32)
    # from the border, as paper is seldom pure white; a table, so that nothing but bytes is as large as the picture
    ink = np.clip(border - value if dark_ink else value - border, 0, None)
    strongest = ink[[grey.min(), grey.max()]].max()
    if strongest < 25.5:
        even = grey.mean() / 255
        raise FormatError(f"{os.fspath(path)}: picture must show a figure, got one of even brightness {even:.2f}")
    ink /= strongest
    kept = grey.shape == shape
    frame = ink[grey] if kept else _centred(grey, ink, shape)
    background, pen = ("light", "dark") if dark_ink else ("dark", "light")
    size = "kept as it is" if kept else f"{grey.shape[1]}x{grey.shape[0]} scaled to {shape[1]}x{shape[0]}"
    return frame.reshape(1, -1).astype(np.float32), f"assumed {pen} ink on a {background} background, {size}"


def read_picture(
    path: str | os.PathLike[str], shape: tuple[int, int] = (28, 28), box: int = 0, centred: bool = True
) -> tuple[NDArray[np.float32], str]:
    """Return a picture as a row, and what was assumed."""
    return read_png(path, shape)


def _grey(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Return the picture as (height, width) brightness 0..255; what is transparent is white."""
    from PIL import Image, UnidentifiedImageError

    where = os.fspath(path)
    limit = f"{where}: picture must be at most {_MAX_SIDE} pixels a side, got"
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd but readable files
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(_without_extras(file, where), formats=["PNG"])  # no other decoder gets to see the bytes
            if max(picture.size) > _MAX_SIDE:
                raise FormatError(f"{limit} {picture.width}x{picture.height}")
            grey = np.empty((picture.height, picture.width), np.uint8)
            for top in range(0, picture.height, _STRIP):
                strip = picture.crop((0, top, picture.width, min(top + _STRIP, picture.height)))
                grey[top : top + _STRIP] = _brightness(strip)
            return grey
        except (FormatError, MemoryError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise FormatError(f"{limit} a much larger one") from error
        except UnidentifiedImageError as error:
            raise FormatError(f"{where}: file must be a PNG, got something else") from error
        except Exception as error:  # damaged chunks make Pillow raise IndexError and others, none of them documented
            raise FormatError(f"{where}: file must be a whole PNG, got a damaged one: {error}") from error


def _without_extras(file: BinaryIO, where: str) -> BinaryIO:
    """Return the chunks of a PNG that make the picture: texts, profiles and films may unpack to any size."""
    size = os.fstat(file.fileno()).st_size
    kept, length = [file.read(8)], 0
    while len(head := file.read(8)) == 8:
        n = min(int.from_bytes(head[:4], "big") + 4, size - file.tell())  # with its checksum; no more than there is
        if head[4:] not in _CHUNKS:
            file.seek(n, os.SEEK_CUR)
            continue
        length += n
        if length > _MAX_BYTES:
            raise FormatError(f"{where}: picture must have at most {_MAX_BYTES:,} bytes, got more")
        kept += [head, file.read(n)]
    return io.BytesIO(b"".join(kept))


def _brightness(picture: Any) -> NDArray[np.uint8]:
    """Return (height, width) brightness 0..255 of a picture of any mode, on white."""
    from PIL import Image

    if picture.mode == "I;16":
        return (np.asarray(picture) >> 8).astype(np.uint8)
    layers = picture.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("L"))


def _centred(grey: NDArray[np.uint8], ink: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[Any]:
    """Cut a picture to its ink (a table from brightness), scale it into the frame, its centre of mass in the middle."""
    from PIL import Image

    # the table rises or falls: the most ink of a row is that of its darkest or of its brightest point
    rows, columns = (np.flatnonzero(np.maximum(ink[grey.min(axis=axis)], ink[grey.max(axis=axis)]) > 0.2) for axis in (1, 0))
    figure = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = min(shape) if min(shape) < 12 else round(min(shape) * 20 / 28)
    scale = box / max(figure.shape)
    height, width = (max(1, round(side * scale)) for side in figure.shape)
    # as floating point numbers, because thin strokes of a large picture fade below 1/255; first across, in strips, then down
    lanczos = Image.Resampling.LANCZOS
    strips = (Image.fromarray(ink[figure[top : top + _STRIP]]) for top in range(0, len(figure), _STRIP))
    narrow = np.concatenate([np.asarray(strip.resize((width, strip.height), lanczos)) for strip in strips])
    small = Image.fromarray(narrow).resize((width, height), lanczos)
    strength = np.clip(np.asarray(small, np.float64), 0, None)  # Lanczos overshoots at edges
    strength /= strength.max()
    mass = strength.sum()
    top = shape[0] / 2 - (strength.sum(axis=1) @ (np.arange(height) + 0.5)) / mass
    left = shape[1] / 2 - (strength.sum(axis=0) @ (np.arange(width) + 0.5)) / mass
    top, left = (round(np.clip(at, 0, room)) for at, room in ((top, shape[0] - height), (left, shape[1] - width)))
    frame = np.zeros(shape)
    frame[top : top + height, left : left + width] = strength
    return frame
