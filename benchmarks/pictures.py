"""How many pictures of digits are read rightly: MNIST's test digits drawn large, and changed as people's pictures are.

    numlp train mnist --epochs 5 --out model.safetensors
    python -m benchmarks.pictures model.safetensors --data-dir DIR

Prints a line for each change: how many digits get the right label, of those that the model reads rightly from MNIST itself
or not, and how many pictures gave a warning or an error.
"""

import argparse
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import numlp as nl
from numlp.errors import FormatError

SIDE = 280
GOAL = 0.95
Array = NDArray[Any]


def drawn(digit: Array, side: int = SIDE) -> Array:
    """Return ink (side, side) in [0, 1] of a digit (28, 28) of bytes."""
    large = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float64) / 255


def page(ink: Array, paper: Any = 255.0, pen: Any = 0.0) -> Array:
    """Return brightness of ink on paper."""
    return paper + (pen - paper) * ink


def picture(values: Array, mode: str | None = None) -> Image.Image:
    """Return an image of numbers 0..255."""
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8), mode)


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def framed(values: Array, width: int = 1, shade: float = 0, sides: str = "tblr") -> Array:
    """Return a page with a line along some of its edges."""
    values = values.copy()
    rows, columns = np.arange(len(values))[:, None], np.arange(values.shape[1])[None]
    distances = {"t": rows, "b": rows[::-1], "l": columns, "r": columns[:, ::-1]}
    for side in sides:
        values[np.broadcast_to(distances[side] < width, values.shape)] = shade
    return values


def turned(values: Array, orientation: int, kind: str) -> bytes:
    """Return a file that is stored turned, with the tag that says how to turn it back."""
    inverse = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    change: dict[int, Callable[[Any], Any]] = {
        2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
        6: lambda a: np.rot90(a, 3), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
    }  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    return file_of(picture(change[inverse](values)), kind, exif=exif)


def transparent(ink: Array, color: tuple[int, int, int]) -> bytes:
    """Return ink of one color whose strength is its opacity."""
    colors = np.empty((*ink.shape, 4))
    colors[..., :3], colors[..., 3] = color, 255 * ink
    return file_of(picture(colors))


def moved(digit: Array, down: int, right: int) -> bytes:
    """Return a picture of 28x28 whose digit is moved."""
    return file_of(Image.fromarray(np.roll(digit, (down, right), (0, 1))))


def colored(ink: Array, paper: tuple[int, ...], pen: tuple[int, ...], **options: Any) -> bytes:
    """Return a page in two colors."""
    return file_of(picture(page(ink[..., None], np.array(paper, float), np.array(pen, float))), **options)


def wide(digit: Array, size: int = 120) -> Array:
    """Return a page with a small digit in a corner."""
    values = np.full((600, 1200), 255.0)
    values[400 : 400 + size, 900 : 900 + size] = page(drawn(digit, size))
    return values


def ruled(ink: Array, every: int, shade: float, both: bool = False) -> Array:
    """Return a page of ruled paper."""
    values = page(ink)
    values[20::every] = np.minimum(values[20::every], shade)
    if both:
        values[:, 20::every] = np.minimum(values[:, 20::every], shade)
    return values


def noisy(values: Array, spread: float, seed: int = 0) -> Array:
    """Return a page with the noise of a sensor."""
    return values + np.random.default_rng(seed).normal(0, spread, values.shape)


def light(kind: str) -> Array:
    """Return the brightness of paper under uneven light."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    if kind == "across":
        return 170 - 60 * across
    if kind == "corner":
        return 170 - 60 * (across + down) / 2
    if kind == "vignette":
        return 230 - 120 * (across**2 + down**2) / 2
    return 210 - 90 / (1 + np.exp(-20 * (across + 0.3 * down)))  # the edge of a hand's shadow


def on_table(digit: Array) -> Array:
    """Return a page, turned a little, on a dark table."""
    sheet = picture(page(drawn(digit), 230, 40)).rotate(6, Image.Resampling.BILINEAR, expand=True, fillcolor=70)
    values = np.full((sheet.height + 20, sheet.width + 20), 70.0)
    values[10:-10, 10:-10] = np.asarray(sheet)
    return values


def pen(digit: Array, size: int) -> Array:
    """Return a page with thicker strokes (size > 0) or thinner ones."""
    image = picture(255 * drawn(digit))
    grown = image.filter(ImageFilter.MaxFilter(2 * size + 1) if size > 0 else ImageFilter.MinFilter(1 - 2 * size))
    return page(np.asarray(grown) / 255.0)


def cropped(ink: Array, margin: int) -> Array:
    """Return a page that is cut to its digit."""
    rows, columns = (np.flatnonzero(ink.max(axis=axis) > 0.1) for axis in (1, 0))
    part = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return page(np.pad(part, margin))


def filled_28(digit: Array) -> bytes:
    """Return a picture of 28x28 that the digit fills."""
    ink = drawn(digit)
    rows, columns = (np.flatnonzero(ink.max(axis=axis) > 0.1) for axis in (1, 0))
    part = picture(255 * ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return file_of(part.resize((28, 28), Image.Resampling.BICUBIC))


Change = Callable[[Array], bytes]
REQUIRED: dict[str, Change] = {
    "plain": lambda d: file_of(picture(page(drawn(d)))),
    "frame of 1 pixel": lambda d: file_of(picture(framed(page(drawn(d))))),
    **{
        f"EXIF {i} in {kind}": lambda d, i=i, kind=kind: turned(page(drawn(d)), i, kind)  # type: ignore[misc]
        for i, kind in zip(range(2, 9), ["PNG", "JPEG", "TIFF", "WEBP", "JPEG", "PNG", "JPEG"], strict=True)
    },
    "28x28, moved by (4, 4)": lambda d: moved(d, 4, 4),
    "28x28, moved by (-4, 4)": lambda d: moved(d, -4, 4),
    "28x28, moved by (0, -4)": lambda d: moved(d, 0, -4),
    "shadow 230 to 110": lambda d: file_of(picture(light("across") * (1 - 0.8 * drawn(d)))),
    "noise of 15": lambda d: file_of(picture(noisy(200 * (1 - 0.7 * drawn(d)), 15))),
    "contrast 2 to 1": lambda d: file_of(picture(page(drawn(d), 200, 100))),
    "white ink on nothing": lambda d: transparent(drawn(d), (255, 255, 255)),
    "grey ink on nothing": lambda d: transparent(drawn(d), (235, 235, 235)),
    "black ink on nothing": lambda d: transparent(drawn(d), (0, 0, 0)),
}
FURTHER: dict[str, Change] = {
    "28x28 as it is": lambda d: file_of(Image.fromarray(d)),
    "28x28, ink fills it": filled_28,
    "light on dark": lambda d: file_of(picture(page(drawn(d), 20, 230))),
    "frame of 4 pixels": lambda d: file_of(picture(framed(page(drawn(d)), 4))),
    "frame of 12 pixels": lambda d: file_of(picture(framed(page(drawn(d)), 12))),
    "frame on two sides": lambda d: file_of(picture(framed(page(drawn(d)), 5, 0, "tl"))),
    "frame at the top": lambda d: file_of(picture(framed(page(drawn(d)), 3, 0, "t"))),
    "grey frame": lambda d: file_of(picture(framed(page(drawn(d)), 2, 120))),
    "white frame round dark": lambda d: file_of(picture(framed(page(drawn(d), 20, 230), 2, 255))),
    "frame, turned by EXIF 6": lambda d: turned(framed(page(drawn(d)), 2), 6, "JPEG"),
    "28x28 with a frame": lambda d: file_of(picture(framed(255.0 - d))),
    "28x28 frame, moved": lambda d: file_of(picture(framed(255.0 - np.roll(d, (2, -2), (0, 1))))),
    "shadow from a corner": lambda d: file_of(picture(light("corner") * (1 - 0.8 * drawn(d)))),
    "shadow of a hand": lambda d: file_of(picture(light("hand") * (1 - 0.8 * drawn(d)))),
    "vignette": lambda d: file_of(picture(light("vignette") * (1 - 0.8 * drawn(d)))),
    "vignette, noise, JPEG": lambda d: file_of(
        picture(noisy(light("vignette") * (1 - 0.7 * drawn(d)), 8)), "JPEG", quality=60
    ),
    "shadow and frame": lambda d: file_of(picture(framed(light("across") * (1 - 0.8 * drawn(d)), 3, 20))),
    "noise of 30": lambda d: file_of(picture(noisy(200 * (1 - 0.7 * drawn(d)), 30))),
    "salt and pepper": lambda d: file_of(
        picture(np.where(np.random.default_rng(1).random((SIDE, SIDE)) < 0.002, 0, page(drawn(d))))
    ),
    "speck in a corner": lambda d: file_of(picture(np.where(np.indices((SIDE, SIDE)).max(0) - 4 < 3, 0, page(drawn(d))))),
    "JPEG, quality 20": lambda d: file_of(picture(page(drawn(d))), "JPEG", quality=20),
    "WebP, quality 30": lambda d: file_of(picture(page(drawn(d))), "WEBP", quality=30),
    "GIF": lambda d: file_of(picture(page(drawn(d))), "GIF"),
    "BMP": lambda d: file_of(picture(page(drawn(d))), "BMP"),
    "TIFF by LZW": lambda d: file_of(picture(page(drawn(d))), "TIFF", compression="tiff_lzw"),
    "TIFF by fax, 1 bit": lambda d: file_of(picture(page(drawn(d))).convert("1"), "TIFF", compression="group4"),
    "1 bit": lambda d: file_of(picture(page(drawn(d))).convert("1")),
    "4 colors": lambda d: file_of(picture(page(drawn(d))).convert("RGB").quantize(4)),
    "12 bits in 16": lambda d: file_of(Image.fromarray((page(drawn(d)) * 16).astype(np.uint16))),
    "yellow on white": lambda d: colored(drawn(d), (255, 255, 255), (255, 255, 0)),
    "red on blue, as bright": lambda d: colored(drawn(d), (76, 90, 255), (255, 0, 0)),
    "blue on brown paper": lambda d: colored(drawn(d), (190, 150, 110), (30, 40, 120)),
    "pencil of 25 %": lambda d: file_of(picture(page(drawn(d), 255, 191))),
    "pencil of 12 %": lambda d: file_of(picture(page(drawn(d), 255, 225))),
    "pencil and noise": lambda d: file_of(picture(noisy(page(drawn(d), 230, 170), 6))),
    "thick pen": lambda d: file_of(picture(pen(d, 6))),
    "thin pen": lambda d: file_of(picture(pen(d, -4))),
    "ruled paper": lambda d: file_of(picture(ruled(drawn(d), 40, 170))),
    "squared paper": lambda d: file_of(picture(ruled(drawn(d), 28, 190, both=True))),
    "small on a wide page": lambda d: file_of(picture(wide(d))),
    "tiny on a wide page": lambda d: file_of(picture(wide(d, 40))),
    "page of 3000 pixels": lambda d: file_of(picture(page(drawn(d, 3000))), "JPEG"),
    "sheet on a table": lambda d: file_of(picture(on_table(d))),
    "margin of 2 pixels": lambda d: file_of(picture(cropped(drawn(d), 2))),
    "no margin": lambda d: file_of(picture(cropped(drawn(d), 0))),
    "sticker": lambda d: file_of(sticker(drawn(d))),
}


def sticker(ink: Array) -> Image.Image:
    """Return dark ink on an opaque grey disk; what is round it is transparent."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    values = page(ink, 200, 30)
    return picture(np.dstack([values] * 3 + [255 * (down**2 + across**2 < 0.95)]))


def measure(net: nl.Network, digits: Array, labels: Array, change: Change, path: Path) -> dict[str, int]:
    """Return how many digits are read rightly after a change, and how many warnings and errors there are."""
    found = {"right": 0, "warnings": 0, "errors": 0}
    for digit, label in zip(digits, labels, strict=True):
        path.write_bytes(change(digit))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found["right"] += int(net.predict(nl.read_image(path))[0] == label)
            except FormatError:
                found["errors"] += 1
        found["warnings"] += bool(caught)
    return found


def main() -> int:
    """Measure all changes; return 1 if one that is required is below the goal."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", type=Path, help="model file of MNIST")
    options.add_argument("--data-dir", help="folder with the MNIST files")
    options.add_argument("--count", type=int, default=200, help="test digits, as many of each class")
    options.add_argument("--only", default="", help="changes whose name has this text")
    given = options.parse_args()
    net = nl.load(given.model)
    test = nl.load_mnist(given.data_dir, normalize=False).test
    rows = np.concatenate([np.flatnonzero(test.y == k)[: given.count // 10] for k in range(10)])
    digits, labels = test.x[rows].reshape(-1, 28, 28), test.y[rows]
    print(f"{'picture':26} {'right':>6}  warnings  errors   of {len(rows)}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, change in {**REQUIRED, **FURTHER}.items():
            if given.only not in name:
                continue
            found = measure(net, digits, labels, change, Path(folder) / "picture")
            share = found["right"] / len(rows)
            failed += name in REQUIRED and share < GOAL
            mark = "  below 95 %" if share < GOAL else ""
            print(f"{name:26} {share:6.1%}  {found['warnings']:8}  {found['errors']:6}{mark}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
