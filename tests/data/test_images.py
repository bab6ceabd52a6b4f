import os
import random
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import numlp as nl
from numlp.data import images
from numlp.data.images import read_png
from numlp.errors import FormatError

LIGHT, DARK = "assumed dark ink on a light background", "assumed light ink on a dark background"


@pytest.fixture
def save(tmp_path):
    """Return a function that saves a picture and returns its path."""

    def save(picture, **options):
        path = tmp_path / "figure.png"
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        picture.save(path, format=options.pop("format", "PNG"), **options)
        return path

    return save


def drawing(height=100, width=80, top=20, left=30, h=40, w=12, paper=255, pen=0):
    """Return a picture (height, width) with a solid bar of h x w pixels."""
    picture = np.full((height, width), paper, np.uint8)
    picture[top : top + h, left : left + w] = pen
    return picture


def check(x, shape=(28, 28)):
    """Check what every result promises, and return it as a picture."""
    assert x.shape == (1, shape[0] * shape[1])
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert x.min() >= 0
    assert x.max() == pytest.approx(1)
    return x.reshape(shape)


def box(frame):
    """Return (top, left, height, width) of the ink."""
    rows, columns = np.flatnonzero(frame.max(axis=1) > 0.2), np.flatnonzero(frame.max(axis=0) > 0.2)
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def centre(frame):
    return np.array([frame.sum(axis=1) @ np.arange(len(frame)), frame.sum(axis=0) @ np.arange(frame.shape[1])]) / frame.sum()


def test_read_png_scales_dark_ink_to_light_and_centres_it(save):
    x, note = read_png(save(drawing()))
    assert box(check(x)) == (4, 11, 20, 6)
    assert note == f"{LIGHT}, 80x100 scaled to 28x28"


def test_read_png_keeps_light_ink_on_dark_as_it_is(save):
    dark, note = read_png(save(drawing(paper=0, pen=255)))
    light, _ = read_png(save(drawing()))
    assert note == f"{DARK}, 80x100 scaled to 28x28"
    assert np.allclose(check(dark), check(light), atol=1e-5)


@pytest.mark.parametrize(("paper", "pen", "note"), [(0, 255, DARK), (255, 0, LIGHT), (20, 220, DARK), (200, 60, LIGHT)])
def test_read_png_keeps_what_lies_as_the_digits_of_mnist(save, paper, pen, note):
    picture = drawing(28, 28, 4, 11, 20, 5, paper, pen)
    x, said = read_png(save(picture))
    assert np.allclose(check(x), picture == pen, atol=1e-5)
    assert said == f"{note}, kept as it is"


@pytest.mark.parametrize("down", [-4, -2, 0, 3, 4])
@pytest.mark.parametrize("right", [-4, 2, 4])
def test_read_png_centres_a_figure_of_the_size_of_the_frame_too(save, down, right):
    picture = drawing(28, 28, 5, 12, 18, 4)
    moved = np.roll(picture, (down, right), (0, 1))
    expected = check(read_png(save(np.pad(picture, 1, constant_values=255)))[0])
    assert np.allclose(check(read_png(save(moved))[0]), expected, atol=1e-3)


@pytest.mark.parametrize("side", [8, 28])
def test_read_png_keeps_rows_of_training_data(save, side):
    """In frames without a margin a figure may lie anywhere; of MNIST the first test images are looked at."""
    for row in rows_of(side):
        picture = (row.reshape(side, side) * 255).round().astype(np.uint8)
        x, note = read_png(save(picture), (side, side))
        assert "kept as it is" in note
        assert np.allclose(x, row / row.max(), atol=1 / 255)


def rows_of(side):
    if side == 8:
        return nl.load_digits().test.x[:20]
    folder = os.environ.get("NUMLP_DATA")
    if not folder:
        pytest.skip("NUMLP_DATA is not set")
    images = nl.read_idx(Path(folder) / "t10k-images-idx3-ubyte.gz")
    return images[:40].reshape(40, -1) / np.float32(255)


@pytest.mark.parametrize("paper", [0, 255])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 68), (60, 68), (60, 0), (3, 9)])
@pytest.mark.filterwarnings("ignore:.*ink that touches the edge")
def test_read_png_brings_a_figure_from_anywhere_to_the_middle(save, top, left, paper):
    """Ink may touch the edge, too."""
    picture = drawing(100, 80, top, left, paper=paper, pen=255 - paper)
    picture[top : top + 10, left : left + 5] = paper  # not symmetrical: the centre of mass is not that of the box
    x, _ = read_png(save(picture))
    assert abs(centre(check(x)) - 13.5).max() <= 0.5
    assert box(check(x))[2] == 20


@pytest.mark.parametrize("flip", [1, -1])
def test_read_png_keeps_a_figure_with_a_heavy_end_in_the_frame(save, flip):
    picture = np.full((200, 200), 255, np.uint8)
    picture[20:181, 99:102] = 0
    picture[150:181, 85:116] = 0
    frame = check(read_png(save(picture[::flip]))[0])
    assert box(frame)[2] == 20
    assert box(frame)[0] == (0 if flip == 1 else 8)


@pytest.mark.parametrize(("height", "width"), [(29, 28), (28, 29), (12, 12), (8, 300), (300, 8), (500, 700), (14, 56)])
def test_read_png_takes_any_size(save, height, width):
    x, note = read_png(save(drawing(height, width, height // 4, width // 4, height // 2, width // 2)))
    assert max(box(check(x))[2:]) == 20
    assert f"{width}x{height} scaled to 28x28" in note


@pytest.mark.parametrize(("shape", "side"), [((8, 8), 8), ((12, 12), 9), ((32, 32), 23), ((28, 14), 10), ((1, 1), 1)])
def test_read_png_fills_frames_of_other_shapes(save, shape, side):
    x, note = read_png(save(drawing(60, 60, 10, 10, 40, 40)), shape)
    assert box(check(x, shape))[2:] == (side, side)
    assert note.endswith(f"60x60 scaled to {shape[1]}x{shape[0]}")


def expected_modes():
    grey = Image.fromarray(drawing())
    clear = Image.fromarray(255 - drawing())  # opaque where the ink is
    black = Image.new("L", grey.size, 0)
    palette = grey.convert("P")
    return {
        "grey": (grey, {}),
        "1 bit": (grey.convert("1"), {}),
        "colour": (grey.convert("RGB"), {}),
        "palette": (palette, {}),
        "palette with a transparent paper": (palette, {"transparency": 255}),
        "colour with alpha": (Image.merge("RGBA", [black, black, black, clear]), {}),
        "grey with alpha": (Image.merge("LA", [black, clear]), {}),
        "16 bit": (Image.fromarray(drawing().astype(np.uint16) * 257), {}),
    }


@pytest.mark.parametrize("kind", expected_modes())
def test_read_png_takes_every_kind_of_png(save, kind):
    picture, options = expected_modes()[kind]
    x, note = read_png(save(picture, **options))
    expected, _ = read_png(save(drawing()))
    assert np.allclose(check(x), expected.reshape(28, 28), atol=0.02)
    assert note.startswith(LIGHT)


def test_read_png_takes_16_bit_grey_in_its_full_range(save):
    ramp = np.full((28, 28), 65535, np.uint16)
    ink = np.concatenate([np.linspace(20_000, 65_535, 10), np.linspace(65_535, 20_000, 10)])
    ramp[4:24, 13:15] = (65535 - ink).round()[:, None]
    x, _ = read_png(save(ramp))
    assert np.allclose(check(x)[4:24, 13], ink / 65535, atol=0.01)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_read_png_takes_fewer_bits_in_16(save, bits):
    picture = (drawing().astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    assert np.allclose(check(read_png(save(picture))[0]), check(read_png(save(drawing()))[0]), atol=0.02)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(28, 28), (1, 1), (50, 3)])
def test_read_png_of_nothing_drawn_says_so(save, size, value):
    message = rf"figure.png: picture must show a figure, got one of even brightness {value / 255:.2f}$"
    with pytest.raises(FormatError, match=message):
        read_png(save(np.full(size, value, np.uint8)))


def test_read_png_of_a_transparent_picture_without_ink_is_white_paper(save):
    with pytest.raises(FormatError, match=r"got one of even brightness 1\.00"):
        read_png(save(Image.new("RGBA", (40, 40), (0, 0, 0, 0))))


def test_read_png_sees_through_noise_of_the_paper(save):
    rng = np.random.default_rng(0)
    picture = drawing(paper=225).astype(int)
    picture = np.clip(picture + rng.integers(-15, 16, picture.shape), 0, 255).astype(np.uint8)
    frame = check(read_png(save(picture))[0])
    clean = check(read_png(save(drawing()))[0])
    assert abs(frame - clean).mean() < 0.03
    assert box(frame) == box(clean)


@pytest.mark.parametrize("paper", [0, 255])
def test_read_png_of_a_single_pixel_fills_the_box(save, paper):
    picture = drawing(100, 90, 50, 7, 1, 1, paper, 255 - paper)
    assert box(check(read_png(save(picture))[0])) == (4, 4, 20, 20)


def test_read_png_of_two_far_specks_is_a_picture(save):
    """Scaled down they fade below 1/255 each."""
    picture = np.full((3000, 3000), 255, np.uint8)
    picture[100:103, 100:103] = picture[2900:2903, 2900:2903] = 0
    with pytest.warns(UserWarning, match=r"figure\.png: picture shows 2 figures apart from each other, read as one"):
        frame = check(read_png(save(picture))[0])
    assert box(frame)[2:] == (20, 20)


def test_read_png_keeps_a_thin_stroke_of_a_large_picture_strong(save):
    frame = check(read_png(save(drawing(2000, 2000, 100, 1000, 1800, 2)))[0])
    assert (frame.max(axis=1) > 0.9).sum() >= 18


def test_read_png_refuses_a_side_above_4096_before_it_unpacks(save, monkeypatch):
    path = save(Image.new("1", (5000, 10), 1))
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("unpacked"))
    message = "figure.png: picture must be at most 4096 pixels a side, got 5000x10"
    with pytest.raises(FormatError, match=message):
        read_png(path)


def chunks(data):
    """Return the [name, content] of each chunk of a PNG."""
    at, found = 8, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append([data[at + 4 : at + 8], bytearray(data[at + 8 : at + 8 + size])])
        at += 12 + size
    return found


def joined(parts):
    """Return a PNG of chunks, with right checksums."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + bytes(content)))
        for name, content in parts
    )


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1), (4097, 1)])
def test_read_png_refuses_a_header_that_claims_a_giant(save, size):
    path = save(drawing())
    parts = chunks(path.read_bytes())
    parts[0][1][:8] = struct.pack(">II", *size)
    path.write_bytes(joined(parts))
    with pytest.raises(FormatError, match=r"figure\.png: picture must be at most 4096 pixels a side, got"):
        read_png(path)


def test_read_png_of_a_giant_in_a_second_header_is_refused(save):
    path = save(drawing())
    parts = chunks(path.read_bytes())
    giant = [b"IHDR", bytearray(parts[0][1])]
    giant[1][:8] = struct.pack(">II", 5000, 5000)
    path.write_bytes(joined([parts[0], giant, *parts[1:]]))
    with pytest.raises(FormatError, match=r"figure\.png: picture must be at most 4096 pixels a side, got 5000x5000"):
        read_png(path)


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"\x89PNG\r\n\x1a\n", b"a,b\n1,2\n", bytes(1000)])
def test_read_png_of_other_bytes_is_a_format_error(tmp_path, data):
    (tmp_path / "figure.png").write_bytes(data)
    with pytest.raises(FormatError, match=r"figure.png: file must be a"):
        read_png(tmp_path / "figure.png")


def test_read_png_without_a_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_png(tmp_path / "missing.png")


def test_read_png_truncated_in_its_data_is_an_error(save):
    path = save(np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8))
    data = path.read_bytes()
    for length in range(8, data.index(b"IEND") - 12, 7):
        path.unlink()
        path.write_bytes(data[:length])
        with pytest.raises(FormatError, match=r"figure.png: file must be a (whole )?PNG, got"):
            read_png(path)


EXTRAS = {
    "damaged colour profile": [[b"iCCP", b"name\0"]],  # Pillow raises IndexError here
    "text that unpacks to 64 MiB": [[b"zTXt", b"a%d\0\0" % i + zlib.compress(bytes(1 << 20))] for i in range(64)],
    "film": [[b"acTL", struct.pack(">II", 1 << 31, 0)]],
    "unknown and critical": [[b"EVIL", bytes(100)]],
}


@pytest.mark.parametrize("kind", EXTRAS)
def test_read_png_shows_the_decoder_nothing_but_the_picture(save, kind):
    path = save(drawing())
    expected, _ = read_png(path)
    parts = chunks(path.read_bytes())
    path.write_bytes(joined([parts[0], *EXTRAS[kind], *parts[1:]]))
    assert (read_png(path)[0] == expected).all()


def test_read_png_refuses_more_packed_bytes_than_a_picture_has(save, monkeypatch):
    path = save(drawing())
    monkeypatch.setattr("numlp.data.image_files._MAX_BYTES", 100)
    with pytest.raises(FormatError, match=r"figure\.png: picture must have at most 100 bytes, got more"):
        read_png(path)


def test_read_png_of_any_mutant_is_a_picture_or_an_error(save):
    rng = random.Random(28)
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b", zip=True)
    small = drawing(12, 14, 3, 4, 6, 4)
    seeds = [save(Image.fromarray(small).convert(mode)).read_bytes() for mode in ("L", "RGBA", "P", "1")]
    seeds.append(save(small.astype(np.uint16) * 257).read_bytes())
    seeds.append(save(small, dpi=(72, 72), pnginfo=info, icc_profile=b"x" * 40).read_bytes())
    path = save(small)
    counts = [0, 0]
    for _ in range(700):
        parts = chunks(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            name, content = part = rng.choice(parts)
            kind = rng.randrange(4)
            if kind == 0 and content:
                content[rng.randrange(len(content))] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
            elif kind == 1:
                del content[rng.randrange(len(content) + 1) :]
            elif kind == 2:
                parts.insert(rng.randrange(len(parts)), [name, bytearray(content)])
            elif len(parts) > 1:
                parts.remove(part)
        path.unlink()  # a file system may flush a file that is overwritten, which takes milliseconds
        path.write_bytes(joined(parts))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", ".* picture (shows|has)")
            try:
                check(read_png(path)[0])
                counts[0] += 1
            except FormatError:
                counts[1] += 1
    assert min(counts) > 50


def test_figure_that_is_not_centred_by_mass_has_its_box_in_the_middle():
    strength = np.zeros((60, 60), np.float32)
    strength[5:45, 10:30] = 0.3
    strength[5:15, 10:30] = 1
    frame = images._placed(strength, (28, 28), 20, centred=False)
    assert box(frame > 0.1) == (4, 9, 20, 10)
    assert box(images._placed(strength, (28, 28), 20, centred=True) > 0.1)[0] > 4


def test_small_figure_that_is_not_found_from_near_is_taken_from_afar(save, monkeypatch):
    path, found = save(Image.fromarray(drawing(3000, 3000, 1000, 1000, 200, 60))), []
    usual = read_png(path)[0]
    original = images.find_ink

    def once(*given):
        found.append(given)
        return original(*given) if len(found) == 1 else None

    monkeypatch.setattr(images, "find_ink", once)
    assert np.abs(read_png(path)[0] - usual).mean() < 0.1 and len(found) == 2


def test_error_of_pillow_in_a_part_of_a_picture_names_the_file(save, monkeypatch):
    path = save(Image.fromarray(drawing()))

    def broken(*_):
        raise LookupError("palette")

    monkeypatch.setattr(images._Page, "_as_rgba", broken)
    with pytest.raises(FormatError, match=rf"^{path}: .*palette"):
        read_png(path)


def test_picture_without_memory_for_it_is_no_damaged_one(save, monkeypatch):
    def full(*_):
        raise MemoryError

    path = save(Image.fromarray(drawing()))
    monkeypatch.setattr(images, "check_size", full)
    with pytest.raises(MemoryError):
        read_png(path)
