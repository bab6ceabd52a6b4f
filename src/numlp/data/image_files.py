"""What of a picture file reaches its decoder: the pixels of the first frame, within bounds that are checked before.

Texts, profiles, further frames and thumbnails may unpack to any size, and parts of a file may be decoded again and again:
each format is cut down to what makes its first picture, and its size is read from its header.
"""

import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from numlp.errors import FormatError

MAX_SIDE = 4096  # pixels
MAX_PHOTO = 8192  # pixels a side of a JPEG that is decoded at half its size or less
_MAX_BYTES = 1 << 26  # of the packed picture
_MAX_SCANS = 100  # of a progressive JPEG; each one passes over all pixels, encoders make about ten

_PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_TABLES = {0xC4, 0xDB, 0xDD}
_AFTER_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")
_ORIENTATION = 274
# what the pixels of a TIFF depend on: sizes, depth, compression, strips, tiles, colors
_TIFF_TAGS = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339}
_TIFF_COMPRESSIONS = {1, 2, 3, 4, 5, 8, 32773, 32946}  # none, fax, LZW, deflate, PackBits
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}  # type -> bytes


class Cleaned(NamedTuple):
    """A file cut down to its first picture, the EXIF orientation (1 to 8), and how much a decoder may shrink it."""

    data: bytes
    orientation: int = 1
    shrink: int = 1


def clean(path: str | os.PathLike[str], kind: str) -> Cleaned:
    """Return what of a picture file of this kind its decoder may see.

    Raises
    ------
    FormatError
        If it is larger than the limits, or its structure is damaged.
    """
    where = os.fspath(path)
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _CLEANERS[kind](data, where)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise damaged(where, kind, "it ends too early") from error


def damaged(where: str, kind: str, reason: object) -> FormatError:
    """Return the error of a file that is no whole picture."""
    return FormatError(f"{where}: file must be a whole {kind}, got a damaged one: {reason}")


def check_size(width: int, height: int, where: str, most: int = MAX_SIDE) -> None:
    """Raise FormatError unless a picture is at most `most` pixels wide and high."""
    if max(width, height) > most:
        raise FormatError(f"{where}: picture must be at most {most} pixels a side, got {width}x{height}")


def _joined(parts: list[bytes], where: str) -> bytes:
    if sum(map(len, parts)) > _MAX_BYTES:
        raise FormatError(f"{where}: picture must have at most {_MAX_BYTES:,} bytes, got more")
    return b"".join(parts)


def _clean_png(data: mmap.mmap, where: str) -> Cleaned:
    kept, orientation, at, length = [data[:8]], 1, 8, 0
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        end = min(at + 12 + size, len(data))
        if name in _PNG_CHUNKS:
            length += end - at
            if length > _MAX_BYTES:
                raise FormatError(f"{where}: picture must have at most {_MAX_BYTES:,} bytes, got more")
            if name == b"IHDR":  # of several the last one counts
                width, height = struct.unpack(">II", data[at + 8 : at + 16])
                check_size(width, height, where)
            kept.append(data[at:end])
        elif name == b"eXIf":
            orientation = _orientation(data[at + 8 : min(end, at + (1 << 16))])
        at = end
    return Cleaned(b"".join(kept), orientation)


def _clean_jpeg(data: mmap.mmap, where: str) -> Cleaned:
    kept, orientation, scans, components, single = [b"\xff\xd8"], 1, 0, 0, True
    width = height = 0
    for marker, segment, body in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            height, width, components = struct.unpack(">HHB", segment[5:10])
            single = single and marker in (0xC0, 0xC1)
        elif marker == 0xDA:
            scans += 1
            single = single and scans == 1 and segment[4] == components
            if scans > _MAX_SCANS:
                raise FormatError(f"{where}: picture must have at most {_MAX_SCANS} scans, got more")
        elif marker == 0xE1:
            orientation = _jpeg_orientation(segment) or orientation
            continue
        elif not (marker in _JPEG_TABLES or segment[4:].startswith((b"JFIF\0", b"Adobe"))):
            continue
        kept += [segment, body]
        # memory of several scans is that of all coefficients, of a single one that of a row of blocks
        check_size(width, height, where, MAX_PHOTO if single else MAX_SIDE)
    return Cleaned(_joined([*kept, b"\xff\xd9"], where), orientation, 1 if max(width, height) <= MAX_SIDE else 2)


def _jpeg_segments(data: mmap.mmap) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (marker, segment with its marker, coded data after it) up to the end of the picture."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
        elif marker == 0xD9:
            return
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            after = end
            if marker == 0xDA:
                found = _AFTER_SCAN.search(data, end)
                after = found.start() if found else len(data)
            if after - at > _MAX_BYTES:
                raise ValueError
            yield marker, data[at:end], data[end:after]
            at = after


def _jpeg_orientation(segment: bytes) -> int | None:
    if segment[4:].startswith(b"Exif\0\0"):
        return _orientation(segment[10:])
    found = _XMP_ORIENTATION.search(segment)
    return int(found[1]) if found else None


def _clean_gif(data: mmap.mmap, where: str) -> Cleaned:
    flags = data[10]
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    kept, control = [data[:at]], b""
    width, height = struct.unpack("<HH", data[6:10])
    check_size(width, height, where)
    while data[at] == 0x21:  # extensions; the one before the picture names the transparent color
        end = _end_of_blocks(data, at + 2)
        control = data[at:end] if data[at + 1] == 0xF9 and end - at == 8 else control
        at = end
    if data[at] != 0x2C:
        raise damaged(where, "GIF", "there is no picture in it")
    left, top, width, height, flags = struct.unpack("<HHHHB", data[at + 1 : at + 10])
    check_size(left + width, top + height, where)
    end = _end_of_blocks(data, at + 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0))
    return Cleaned(_joined([*kept, control, data[at:end], b";"], where))


def _end_of_blocks(data: mmap.mmap, at: int) -> int:
    """Return the end of the blocks of a GIF that begin at `at`; the last one is empty."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _clean_bmp(data: mmap.mmap, where: str) -> Cleaned:
    if data[14] == 12:
        width, height = struct.unpack("<HH", data[18:22])
    else:
        width, height, compression = struct.unpack("<ii4xI", data[18:34])
        if compression not in (0, 3, 6):
            raise FormatError(f"{where}: BMP must hold plain pixels, got compressed ones; save it as PNG")
    check_size(abs(width), abs(height), where)
    return Cleaned(_joined([data[: _MAX_BYTES + 1]], where))


def _clean_tiff(data: mmap.mmap, where: str) -> Cleaned:
    order = "<" if data[:1] == b"I" else ">"
    _joined([data[: _MAX_BYTES + 1]], where)
    found = _directory(data, order, struct.unpack(f"{order}I", data[4:8])[0])
    first = {tag: _first_value(order, *entry) for tag, entry in found.items()}
    check_size(first.get(256, 0), first.get(257, 0), where)
    check_size(first.get(322, 0), first.get(323, 0), where)
    if first.get(259, 1) not in _TIFF_COMPRESSIONS:
        raise FormatError(f"{where}: TIFF must be plain or packed by LZW, deflate or fax, got another way; save it as PNG")
    entries = []
    for tag in sorted(_TIFF_TAGS & set(found)):
        kind, count, value = found[tag]
        if kind not in _TIFF_SIZES or count > 1 << 17:
            raise damaged(where, "TIFF", f"tag {tag} has type {kind} and {count} values")
        entries.append(struct.pack(f"{order}HHI", tag, kind, count) + value)
    start = len(data) + len(data) % 2
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    parts = [data[:4], struct.pack(f"{order}I", start), data[8:], bytes(start - len(data)), directory]
    return Cleaned(b"".join(parts), _checked_orientation(first.get(_ORIENTATION, 1)))


def _directory(data: bytes | mmap.mmap, order: str, at: int) -> dict[int, tuple[int, int, bytes]]:
    """Return tag -> (type, count, four bytes) of a directory of TIFF, which EXIF uses too."""
    (n,) = struct.unpack(f"{order}H", data[at : at + 2])
    found: dict[int, tuple[int, int, bytes]] = {}
    for i in range(at + 2, at + 2 + 12 * n, 12):
        tag, kind, count, value = struct.unpack(f"{order}HHI4s", data[i : i + 12])
        found.setdefault(tag, (kind, count, value))
    return found


def _first_value(order: str, kind: int, count: int, value: bytes) -> int:
    """Return the number of an entry that has one; 0 where it stands elsewhere."""
    number: int = struct.unpack(f"{order}HH" if kind == 3 else f"{order}I", value)[0]
    return number if count == 1 and kind in (3, 4) else 0


def _orientation(exif: bytes) -> int:
    """Return the orientation in a block of EXIF; 1, upright, where there is none."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        entry = _directory(exif, order, struct.unpack(f"{order}I", exif[4:8])[0]).get(_ORIENTATION)
    except struct.error:
        return 1
    return 1 if entry is None else _checked_orientation(_first_value(order, *entry))


def _checked_orientation(value: int) -> int:
    return value if 1 <= value <= 8 else 1


def _clean_webp(data: mmap.mmap, where: str) -> Cleaned:
    orientation, alpha, picture = 1, b"", b""
    for name, content in _webp_chunks(data, 12, len(data)):
        if name == b"EXIF":
            orientation = _orientation(content.removeprefix(b"Exif\0\0"))
        elif name == b"ALPH":
            alpha = alpha or content
        elif name in (b"VP8 ", b"VP8L") and not picture:
            width, height = _webp_size(name, content)
            check_size(width, height, where)
            picture = _chunk(name, content)
    if not picture:
        raise damaged(where, "WebP", "there is no picture in it")
    if alpha and picture.startswith(b"VP8 "):
        canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        picture = _chunk(b"VP8X", b"\x10\0\0\0" + canvas) + _chunk(b"ALPH", alpha) + picture
    return Cleaned(_joined([_chunk(b"RIFF", b"WEBP" + picture)], where), orientation)


def _webp_chunks(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, content) of the chunks of a WebP; of a film those of its first frame, and no more films."""
    films = 0
    while at + 8 <= end:
        name, size = struct.unpack("<4sI", data[at : at + 8])
        stop = min(at + 8 + size, end)
        if name == b"ANMF" and not films:
            films = 1
            yield from _webp_chunks(data, at + 24, stop) if end == len(data) else ()
        elif name in (b"VP8 ", b"VP8L", b"ALPH", b"EXIF"):
            yield name, data[at + 8 : min(stop, at + 8 + _MAX_BYTES + 1)]
        at = stop + size % 2


def _webp_size(name: bytes, content: bytes) -> tuple[int, int]:
    if name == b"VP8L":
        bits = int.from_bytes(content[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", content[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


_CLEANERS: dict[str, Callable[[mmap.mmap, str], Cleaned]] = {
    "PNG": _clean_png,
    "JPEG": _clean_jpeg,
    "GIF": _clean_gif,
    "BMP": _clean_bmp,
    "TIFF": _clean_tiff,
    "WebP": _clean_webp,
}
