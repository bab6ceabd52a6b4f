"""A picture of one drawn figure, as a row of pixels like those the network has learnt from."""

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.data.image_files import check_size, clean, damaged
from numlp.data.ink import EDGE, FAINT, Box, Ink, brightness, find_ink, plain_ink
from numlp.data.inputs import figure_layouts
from numlp.data.kinds import PICTURES, check_readable, kind_of
from numlp.errors import FormatError, printable
from numlp.files import check_path

Floats = NDArray[np.float32]

_MOST = 640  # pixels a side that are looked at; a figure that is a small part of the page is looked at again
_STRIP = 128  # rows turned into numbers at a time
_DEPTHS = (1, 255, 1023, 4095, 16383, 65535)  # white in pictures of more than 8 bits
_TURNS: dict[int, Callable[[Any], Any]] = {  # EXIF orientation -> what makes the picture upright
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, 3),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}


def read_image(path: str | os.PathLike[str], shape: tuple[int, int] = (28, 28)) -> Floats:
    """Read a picture of a drawn figure as a row of pixels like those of MNIST.

    PNG, JPEG, GIF, BMP, TIFF and WebP are read, told by content; of a film or a document the first picture. It is turned
    as its EXIF orientation says. The paper is the larger area, dark or light; uneven light, frames, ruled lines and dust
    are left out. The figure is scaled so that its longer side fills 20/28 of the frame, and placed with its centre of
    mass in the middle, which was done to MNIST's digits; a picture of the size of the frame that lies so already is
    kept. In frames below 12 pixels, which have no margin, the figure fills the frame.

    Parameters
    ----------
    path : str or path
        The file.
    shape : tuple of int, default=(28, 28)
        Height and width of the frame.

    Returns
    -------
    x : ndarray of shape (1, height * width)
        float32 in [0, 1], ink 1 on background 0, for `Network.predict`. For a network that was trained on other units
        scale it: `255 * x`.

    Warns
    -----
    UserWarning
        If the picture shows several figures, or ink touches its edge.

    Raises
    ------
    FormatError
        If the file is no such picture, is damaged, larger than 4096 pixels a side (a JPEG 8192), or shows no figure.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import numlp as nl, numpy as np, pathlib, tempfile
    >>> from PIL import Image
    >>> page = np.full((200, 150), 255, np.uint8)
    >>> page[40:160, 70:80] = 20
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "one.png"
    >>> Image.fromarray(page).save(path)
    >>> nl.read_image(path).shape
    (1, 784)
    """
    return read_picture(path, shape)[0]


def read_picture(
    path: str | os.PathLike[str], shape: tuple[int, int] = (28, 28), box: int = 0, centred: bool = True
) -> tuple[Floats, str]:
    """Return a picture as `read_image` does, and what was assumed.

    `box` is the longer side that figures have, 0 for that of MNIST in proportion; `centred` tells whether the centre of
    mass is in the middle, else that of the box is.
    """
    path = check_path(path, "read_image")
    where = os.fspath(path)
    box = box or (min(shape) if min(shape) < 12 else round(min(shape) * 20 / 28))
    with _opened(path) as page:
        turn = _TURNS[page.orientation]
        grey = brightness(page.colors(page.whole))
        height, width = (page.height, page.width)[:: -1 if page.orientation >= 5 else 1]
        ink = plain_ink(turn(grey))
        if (height, width) == shape and _lies_right(ink.strength, box, centred):
            frame, size = ink.strength / ink.strength.max(), "kept as it is"
        else:
            ink = _figure(page, grey, where)
            frame, size = (
                _placed(turn(ink.strength), shape, box, centred),
                f"{width}x{height} scaled to {shape[1]}x{shape[0]}",
            )
    for warning in ink.warnings:
        warnings.warn(f"{where}: picture {warning}", UserWarning, stacklevel=3)
    background, pen = ("light", "dark") if ink.is_dark else ("dark", "light")
    framed = ", without its frame or lines" if ink.is_framed else ""
    return frame.reshape(1, -1).astype(np.float32), f"assumed {pen} ink on a {background} background, {size}{framed}"


read_png = read_picture  # the name of earlier versions, which read no other format


def _lies_right(strength: Floats, box: int, centred: bool) -> bool:
    """Return whether a picture of the size of the frame shows its figure as those of the training rows lie."""
    if strength.max() < FAINT:
        return False
    if min(strength.shape) < 12 or not centred:
        return True
    sides, offsets = figure_layouts(strength[None].astype(np.float64) / strength.max())
    return bool(box - 3 <= sides[0] <= box and offsets[0] <= 1)


class _Page:
    """A picture that has been opened, of which any part can be had in a size that is handled quickly."""

    def __init__(self, picture: Any, orientation: int, where: str) -> None:
        self._picture, self.orientation, self._where = picture, orientation, where
        self.width, self.height = picture.size
        self.whole = (0, 0, self.height, self.width)
        self._white = None
        if picture.mode[0] in "IF":  # 16 bits, whole numbers or floating point
            most = max(float(np.nanmax(np.asarray(strip))) for strip in self._strips(self.whole, _STRIP))
            self._white = next((white for white in _DEPTHS if most <= white), most)

    def step(self, box: Box) -> int:
        """Return by how much a part (top, left, bottom, right) is scaled down."""
        top, left, bottom, right = box
        return -(-max(bottom - top, right - left) // _MOST)

    def colors(self, box: Box) -> NDArray[np.uint8]:
        """Return a part scaled down, (h, w, 4) with alpha."""
        step = self.step(box)
        strips = self._strips(box, max(1, _STRIP // step) * step)
        try:
            return np.concatenate([np.asarray(self._as_rgba(strip).reduce(step)) for strip in strips])
        except (ValueError, OSError, LookupError) as error:  # such as a palette that is too short
            raise damaged(self._where, self._picture.format, error) from error

    def _strips(self, box: Box, rows: int) -> Iterator[Any]:
        top, left, bottom, right = box
        for start in range(top, bottom, rows):
            yield self._picture.crop((left, start, right, min(start + rows, bottom)))

    def _as_rgba(self, strip: Any) -> Any:
        from PIL import Image

        if self._white is not None:
            numbers = np.nan_to_num(np.asarray(strip).astype(np.float32) * np.float32(255 / max(self._white, 1e-9)))
            return Image.fromarray(np.clip(numbers, 0, 255).astype(np.uint8)).convert("RGBA")
        if strip.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            strip = strip.convert("RGB")
        return strip.convert("RGBA")


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[_Page]:
    """Open a picture; what goes wrong while it is read becomes a FormatError."""
    from PIL import Image

    where, kind = os.fspath(path), kind_of(path)
    check_readable(kind, path)
    if kind not in PICTURES:
        raise FormatError(f"{where}: file must be a picture ({', '.join(PICTURES)}), got {kind}")
    cleaned = clean(path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd but readable files
        try:
            # no other decoder gets to see the bytes
            picture = Image.open(io.BytesIO(cleaned.data), formats=[kind])
            if cleaned.shrink > 1:
                picture.draft(None, (picture.width // cleaned.shrink, picture.height // cleaned.shrink))
            check_size(*picture.size, where)
            picture.crop((0, 0, 1, 1))  # decodes all of it
            page = _Page(picture, cleaned.orientation, where)
        except (FormatError, MemoryError):
            raise
        except Exception as error:  # damaged files make Pillow raise IndexError and others, none of them documented
            raise damaged(where, kind, printable(str(error))) from error
    yield page


def _figure(page: _Page, grey: Floats, where: str) -> Ink:
    """Return the ink of a page, looked at again from near if it is a small part of it."""
    ink = find_ink(grey)
    if ink is None:
        raise FormatError(f"{where}: picture must show a figure, got one of even brightness {grey.mean() / 255:.2f}")
    step = page.step(page.whole)
    top, left, bottom, right = _box(ink.strength)
    if step > 1 and max(bottom - top, right - left) < 0.7 * max(grey.shape):
        margin = 2 + max(bottom - top, right - left) // 6
        part = (
            max(top - margin, 0) * step,
            max(left - margin, 0) * step,
            min((bottom + margin) * step, page.height),
            min((right + margin) * step, page.width),
        )
        near = find_ink(brightness(page.colors(part)), ink.is_dark)
        if near is not None:
            return near._replace(warnings=ink.warnings, is_framed=ink.is_framed)
    return ink


def _box(strength: Floats) -> Box:
    """Return (top, left, bottom, right) of the ink."""
    drawn = strength > EDGE * strength.max()
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _placed(strength: Floats, shape: tuple[int, int], box: int, centred: bool) -> Floats:
    """Cut ink to its box, scale it into the frame, with its centre of mass or of its box in the middle."""
    from PIL import Image

    top, left, bottom, right = _box(strength)
    figure = np.ascontiguousarray(strength[top:bottom, left:right])
    scale = box / max(figure.shape)
    height, width = (min(max(1, round(side * scale)), most) for side, most in zip(figure.shape, shape, strict=True))
    # as floating point numbers, because thin strokes of a large picture fade below 1/255
    small = Image.fromarray(figure).resize((width, height), Image.Resampling.LANCZOS)
    figure = np.clip(np.asarray(small), 0, None)  # Lanczos overshoots at edges
    figure /= figure.max()
    middles = [size / 2 for size in figure.shape]
    if centred:
        middles = [figure.sum(axis=axis) @ (np.arange(n) + 0.5) / figure.sum() for axis, n in ((1, height), (0, width))]
    top, left = (
        round(float(np.clip(side / 2 - middle, 0, side - n)))
        for side, middle, n in zip(shape, middles, figure.shape, strict=True)
    )
    frame = np.zeros(shape, np.float32)
    frame[top : top + height, left : left + width] = figure
    return frame
