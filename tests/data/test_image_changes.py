"""Pictures as people make them: changed in many ways, they give nearly the row of the plain picture."""

import io
import struct
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import numlp as nl
from benchmarks import pictures
from benchmarks.pictures import drawn, file_of, framed, light, noisy, page, picture, transparent, turned
from numlp.data.image_files import _CLEANERS, MAX_SIDE
from numlp.data.images import read_picture
from numlp.data.ink import connected
from numlp.errors import FormatError


def strokes(seed: int = 0) -> Any:
    """Return a figure (28, 28) of bytes as MNIST's lie: a few smooth strokes in a box of 20, its mass in the middle."""
    rng = np.random.default_rng(seed)
    points = np.array([[2, 12], [4, 3], [9, 11], [15, 13], [17, 2]]) + rng.uniform(-1.5, 1.5, (5, 2))
    curve = np.concatenate([a + (b - a) * np.linspace(0, 1, 30)[:, None] for a, b in pairwise(points)])
    down, across = np.mgrid[:28, :28]
    distance = np.hypot(down[..., None] - curve[:, 0] - 4, across[..., None] - curve[:, 1] - 4).min(axis=2)
    ink = np.clip(2 - distance, 0, 1)
    shift = [round(13.5 - ink.sum(axis=axis) @ np.arange(28) / ink.sum()) for axis in (1, 0)]
    return (np.roll(ink, shift, (0, 1)) * 255).astype(np.uint8)


def row_of(data: bytes, folder: Path) -> Any:
    path = folder / "picture"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return nl.read_image(path).reshape(28, 28)


def assert_near(row: Any, expected: Any, most: float = 0.07) -> None:
    """Mean difference of the ink, also where it is off by a pixel in one direction."""
    least = min(np.abs(np.roll(row, (down, right), (0, 1)) - expected).mean() for down in (-1, 0, 1) for right in (-1, 0, 1))
    assert least < most, f"{least:.3f}\n{(9.99 * row).astype(int)}"


CHANGES = {**pictures.REQUIRED, **pictures.FURTHER}
LEFT_OUT = {"28x28, ink fills it", "thick pen", "thin pen", "sheet on a table"}  # other figures
LEFT_OUT |= {"page of 3000 pixels", "small on a wide page"}  # which take seconds


@pytest.mark.parametrize("name", sorted(set(CHANGES) - LEFT_OUT))
@pytest.mark.filterwarnings("ignore:.*ink that touches the edge")
def test_changed_picture_gives_nearly_the_row_of_the_plain_one(name: str, tmp_path: Path) -> None:
    figure = strokes()
    expected = row_of(CHANGES["plain"](figure), tmp_path)
    assert_near(row_of(CHANGES[name](figure), tmp_path), expected)
    assert_near(expected, figure / 255, 0.08)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str, tmp_path: Path) -> None:
    values = np.pad(page(drawn(strokes(), 90)), ((15, 15), (0, 0)), constant_values=255)  # not square
    data = turned(values, orientation, kind)
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.getexif().get(274) == orientation
    expected = row_of(file_of(picture(values)), tmp_path)
    assert np.abs(row_of(data, tmp_path) - expected).mean() < 0.02
    assert "90x120 scaled" in read_picture(tmp_path / "picture")[1]


@settings(max_examples=15, deadline=None)
@given(
    paper=st.integers(150, 255), pen=st.integers(0, 70), frame=st.integers(0, 10), shade=st.integers(0, 140),
    spread=st.sampled_from([0, 4, 10]), shadow=st.floats(0, 0.5), inverted=st.booleans(),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP"]), seed=st.integers(0, 20),
)  # fmt: skip
def test_any_mixture_of_changes_gives_nearly_the_same_row(
    paper: int, pen: int, frame: int, shade: int, spread: int, shadow: float, inverted: bool, kind: str, seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    figure, folder = strokes(seed), tmp_path_factory.getbasetemp()
    values = page(drawn(figure, 140), float(paper), float(pen))
    values *= 1 - (0 if inverted else shadow) * np.linspace(0, 1, 140)
    values = noisy(framed(values, frame, min(shade, (1 - shadow) * paper / 2)) if frame else values, spread, seed)
    data = file_of(picture(255 - values if inverted else values), kind)
    assert_near(row_of(data, folder), row_of(file_of(picture(page(drawn(figure, 140)))), folder))


def test_both_polarities_and_colors_are_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(file_of(picture(framed(page(drawn(strokes()), 20, 230), 3, 255))))
    note = read_picture(tmp_path / "a")[1]
    assert note == "assumed light ink on a dark background, 280x280 scaled to 28x28, without its frame or lines"


def two_figures() -> Any:
    ink = drawn(strokes(), 140)
    return np.hstack([ink, np.zeros((140, 30)), drawn(strokes(3), 140)])


@pytest.mark.parametrize("upright", [True, False])
def test_several_figures_are_warned_of(tmp_path: Path, upright: bool) -> None:
    ink = two_figures()
    (tmp_path / "a.png").write_bytes(file_of(picture(page(ink if upright else np.vstack(np.hsplit(ink[:, :310], 2))))))
    with pytest.warns(UserWarning, match=r"a\.png: picture shows 2 figures apart from each other, read as one; give each"):
        nl.read_image(tmp_path / "a.png")


def test_ink_at_the_edge_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_of(picture(page(drawn(strokes()))[60:])))
    with pytest.warns(UserWarning, match=r"a\.png: picture has ink that touches the edge, so that a part may be missing"):
        nl.read_image(tmp_path / "a.png")


def test_figure_of_parts_is_one_figure(tmp_path: Path) -> None:
    figure = drawn(strokes())
    figure[120:124] = 0  # a stroke that is broken
    (tmp_path / "a.png").write_bytes(file_of(picture(page(figure))))
    nl.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["across", "corner", "vignette"])
@pytest.mark.parametrize("spread", [0, 5])
def test_uneven_light_alone_is_no_figure(tmp_path: Path, kind: str, spread: int) -> None:
    (tmp_path / "a.png").write_bytes(file_of(picture(noisy(light(kind), spread))))
    with pytest.raises(FormatError, match=r"a\.png: picture must show a figure, got one of even brightness 0\.\d\d"):
        nl.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("color", [(255, 255, 255), (235, 235, 235), (0, 0, 0), (200, 30, 30)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "trimmed"])
def test_ink_of_any_color_on_nothing_is_ink(tmp_path: Path, color: tuple[int, int, int], mode: str) -> None:
    ink = drawn(strokes())
    image = Image.open(io.BytesIO(transparent(ink, color)))
    if mode == "PA":
        image = image.quantize(8)
    elif mode == "trimmed":
        image = image.crop(image.getbbox())
        image = Image.merge("RGBA", [*image.split()[:3], image.split()[3].resize(image.size)])
    else:
        image = image.convert(mode)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*touches the edge")
        assert_near(row_of(file_of(image), tmp_path), row_of(file_of(picture(page(ink))), tmp_path))


def test_connected_parts_are_those_of_a_flood_fill() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        cells = rng.random((13, 17)) < 0.4
        labels, n = connected(cells)
        assert ((labels > 0) == cells).all() and set(labels.ravel()) == set(range(n + 1))
        found = np.where(cells, np.arange(cells.size).reshape(cells.shape) + 1, 0)
        while True:  # each cell takes the largest number beside it
            padded = np.pad(found, 1)
            around = [padded[i : i + 13, j : j + 17] for i in range(3) for j in range(3)]
            spread = np.where(cells, np.maximum.reduce(around), 0)
            if (spread == found).all():
                break
            found = spread
        assert len(set(zip(labels.ravel(), found.ravel(), strict=True))) == n + 1


FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {}, "JPEG progressive": {"progressive": True}, "GIF": {}, "BMP": {}, "TIFF": {},
    "WEBP": {}, "WEBP lossless": {"lossless": True},
    **{f"TIFF {name}": {"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")},
}  # fmt: skip
MODES = ("L", "RGB", "P", "RGBA", "LA", "CMYK", "I;16", "F")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_what_png_gives(tmp_path: Path, name: str, mode: str) -> None:
    image = picture(page(drawn(strokes(), 90)))
    expected = row_of(file_of(image), tmp_path)
    if mode == "I;16" and not name.startswith("TIFF"):
        pytest.skip("the format has 8 bits")
    try:
        other = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        data = file_of(other, name.split()[0], **FORMATS[name])
    except (OSError, ValueError):
        pytest.skip("no such file")  # the format has no such mode
    assert np.abs(row_of(data, tmp_path) - expected).mean() < 0.03


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP"])
def test_first_of_several_pictures_is_read(tmp_path: Path, kind: str) -> None:
    first, other = (picture(page(drawn(strokes(seed), 90))) for seed in (0, 5))
    assert_near(
        row_of(file_of(first, kind, save_all=True, append_images=[other, other]), tmp_path),
        row_of(file_of(first), tmp_path),
        0.01,
    )


def test_photo_of_a_phone_is_decoded_smaller(tmp_path: Path) -> None:
    image = picture(page(drawn(strokes(), 300))).resize((4400, 3300))
    assert_near(row_of(file_of(image, "JPEG"), tmp_path), row_of(file_of(image.resize((440, 330))), tmp_path), 0.02)


def large(kind: str, **options: Any) -> bytes:
    return file_of(Image.new("L", (MAX_SIDE + 1, 8)), kind, **options)


def scans(n: int) -> bytes:
    """Return a progressive JPEG whose last scan is there n times."""
    data = file_of(picture(page(drawn(strokes(), 90))), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * n + b"\xff\xd9"


def tags(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    """Return a TIFF of nothing but a directory."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return (
        head
        + struct.pack(f"{order}IH", 8, len(entries))
        + b"".join(struct.pack(f"{order}HHII", *e) for e in entries)
        + bytes(4)
    )


def gif(width: int, height: int, left: int = 0) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 28, 28, 0, 0, 0)
        + b","
        + struct.pack("<HHHHB", left, 0, width, height, 0)
        + b"\2\1\0\0;"
    )


TOO_LARGE = "at most 4096 pixels a side, got"
HUGE_TILE = tags("<", (256, 4, 1, 9), (257, 4, 1, 9), (322, 4, 1, 70_000))
MANY_STRIPS = tags(">", (256, 3, 1, 9 << 16), (257, 3, 1, 9 << 16), (273, 4, 1 << 18, 8))
HOSTILE = {
    "large JPEG": (file_of(Image.new("L", (8193, 8)), "JPEG"), "at most 8192 pixels a side, got 8193x8"),
    "large progressive JPEG": (large("JPEG", progressive=True), f"{TOO_LARGE} 4097x8"),
    "large GIF": (large("GIF"), f"{TOO_LARGE} 4097x8"),
    "large frame in a GIF": (gif(4000, 9, 97), f"{TOO_LARGE} 4097x9"),
    "large BMP": (large("BMP"), f"{TOO_LARGE} 4097x8"),
    "large TIFF": (large("TIFF"), f"{TOO_LARGE} 4097x8"),
    "large WebP": (large("WEBP"), f"{TOO_LARGE} 4097x8"),
    "JPEG of many scans": (scans(101), "picture must have at most 100 scans, got more"),
    "TIFF of a large tile": (HUGE_TILE, f"{TOO_LARGE} 70000x0"),
    "TIFF of JPEG": (file_of(Image.new("L", (9, 9)), "TIFF", compression="jpeg"), "TIFF must be plain or packed by LZW"),
    "TIFF of many values": (MANY_STRIPS, "tag 273 has type 4 and 262144"),
    "BMP of runs": (file_of(Image.new("L", (9, 9)), "BMP")[:30] + b"\1" + bytes(60), "BMP must hold plain pixels"),
    "WebP of nothing": (b"RIFF\x04\0\0\0WEBP", "whole WebP, got a damaged one: there is no picture in it"),
    "GIF of nothing": (b"GIF89a" + bytes(7) + b";", "whole GIF, got a damaged one: there is no picture in it"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_picture_is_refused_before_it_is_decoded(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, message = HOSTILE[name]
    (tmp_path / "a").write_bytes(data)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(FormatError) as caught:
        nl.read_image(tmp_path / "a")
    assert str(caught.value).startswith(f"{tmp_path / 'a'}: ") and message in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_picture_that_is_cut_off_is_an_error_or_a_picture(tmp_path: Path, kind: str) -> None:
    data = file_of(picture(page(drawn(strokes(), 60))), kind)
    refused = 0
    for length in range(20, len(data), max(1, len(data) // 12)):
        try:
            row_of(data[:length], tmp_path)
        except FormatError as error:
            refused += 1
            assert "got" in str(error)
        except UserWarning:
            pass
    assert refused > 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_decoder_sees_no_texts_profiles_and_thumbnails(tmp_path: Path, kind: str) -> None:
    import mmap

    image, exif = picture(page(drawn(strokes(), 60))), Image.Exif()
    exif[270] = "a secret text"
    (tmp_path / "a").write_bytes(file_of(image, kind, exif=exif, icc_profile=b"a secret profile" * 10))
    with (tmp_path / "a").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert b"secret" in data[:]
        cleaned = _CLEANERS[kind.replace("WEBP", "WebP")](data, "a").data
    if kind == "TIFF":  # its pixels may lie anywhere: what names the rest is gone
        with Image.open(io.BytesIO(cleaned)) as opened:
            assert 270 not in opened.tag_v2 and 34675 not in opened.tag_v2  # type: ignore[attr-defined]
    else:
        assert b"secret" not in cleaned
