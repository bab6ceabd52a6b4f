"""Files that are small, and would be large: reads each in a process of its own; prints seconds, bytes held and the error.

A child process of test_fuzz.py; everything is imported before the processes are forked.
"""

import json
import os
import resource
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

import numlp as nl
from fuzz.kinds import MIB, model_bytes, png_bytes
from fuzz.run import size_of_process
from numlp.data.frames import read_frame
from numlp.data.idx import read_idx
from numlp.data.images import read_picture
from numlp.data.tables import read_csv
from numlp.errors import FormatError


class Bomb(NamedTuple):
    """`declared`: bytes that the reader may hold; `error`: how the message ends or what it has inside, "" for none."""

    write: Callable[[Path], None]
    read: Callable[[Path], Any]
    declared: int
    error: str


def gzip_of(header: str, size: int) -> bytes:
    """Return a gzip stream of an IDX header and `size` zeros."""
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(bytes.fromhex(header)) + packer.flush(zlib.Z_FULL_FLUSH)
    # between two full flushes, a packed MiB may be repeated
    return start + (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)) * (size // MIB)


def gzip_bomb(header: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        data = gzip_of(header, 10_000 * MIB)
        assert 9 * MIB < len(data) < 12 * MIB
        path.write_bytes(data)

    return write


def picture(width: int, height: int, bits: bytes, row: bytes) -> Callable[[Path], None]:
    """Return what writes a PNG of white rows, and of `row` in the middle; `bits` are depth and colour type."""
    parts = [(b"IHDR", struct.pack(">II", width, height) + bits + bytes(3))]
    packer = zlib.compressobj(9)
    lines = [row if height <= 3 * i < 2 * height else b"\xff" * len(row) for i in range(height)]
    rows = b"".join([*(packer.compress(b"\0" + line) for line in lines), packer.flush()])
    return lambda path: path.write_bytes(png_bytes([*parts, (b"IDAT", rows), (b"IEND", b"")]))  # type: ignore[return-value]


def half_black(width: int, pixel: int) -> bytes:
    """Return a row whose middle half is black."""
    white = b"\xff" * (width // 4 * pixel)
    return white + bytes(width * pixel - 2 * len(white)) + white


def png_with_text(path: Path) -> None:
    """60 texts that unpack to a MiB each."""
    text = b"a\0\0" + zlib.compress(bytes(MIB))
    rows = zlib.compress((b"\0" + b"\xff" * 28) * 9 + (b"\0" + half_black(28, 1)) * 10 + (b"\0" + b"\xff" * 28) * 9)
    header = struct.pack(">II", 28, 28) + b"\x08\0" + bytes(3)
    path.write_bytes(png_bytes([(b"IHDR", header), *[(b"zTXt", text)] * 60, (b"IDAT", rows), (b"IEND", b"")]))


def png_of_lies(path: Path) -> None:
    """A chunk that says it has 4 GiB."""
    header = struct.pack(">II", 28, 28) + b"\x08\0" + bytes(3)
    path.write_bytes(png_bytes([(b"IHDR", header)]) + struct.pack(">I4s", (1 << 32) - 1, b"IDAT") + bytes(100))


def saved(width: int, height: int, kind: str, **options: Any) -> Callable[[Path], None]:
    """Return what writes an even picture with a dark square, which packs well."""

    def write(path: Path) -> None:
        image = Image.new("L", (width, height), 255)
        image.paste(0, (width // 4, height // 4, width // 2, height // 2))
        image.save(path, kind, **options)

    return write


def jpeg_of_scans(path: Path) -> None:
    """Each of the scans passes over all pixels again."""
    saved(4096, 4096, "JPEG", progressive=True)(path)
    data = path.read_bytes()
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:last] + data[last:-2] * 2000 + b"\xff\xd9")


def tiff_of_tags(path: Path) -> None:
    """60,000 tags that all claim the same MiB."""
    saved(28, 28, "TIFF")(path)
    data = path.read_bytes()
    (start,) = struct.unpack("<I", data[4:8])
    (n,) = struct.unpack("<H", data[start : start + 2])
    more = b"".join(struct.pack("<HHII", tag, 7, MIB, 8) for tag in range(1000, 61_000) if tag != 34675)
    entries = data[start + 2 : start + 2 + 12 * n] + more
    end = len(data) + MIB
    directory = struct.pack("<H", len(entries) // 12) + entries + bytes(4)
    path.write_bytes(data[:4] + struct.pack("<I", end) + data[8:] + bytes(MIB) + directory)


def gif_of_comments(path: Path) -> None:
    """A million comments of one character, before a picture."""
    saved(28, 28, "GIF")(path)
    data = path.read_bytes()
    start = 13 + (3 << ((data[10] & 7) + 1))
    path.write_bytes(data[:start] + b"\x21\xfe\1a\0" * 1_000_000 + data[start:])


def text_file(pieces: bytes, times: int, start: bytes = b"", end: bytes = b"") -> Callable[[Path], None]:
    return lambda path: path.write_bytes(start + pieces * times + end)  # type: ignore[return-value]


def header_of(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(len(text).to_bytes(8, "little") + text.encode())  # type: ignore[return-value]


def sparse_model(path: Path) -> None:
    """A right model, followed by a hole of 100 GB."""
    path.write_bytes(model_bytes(nl.Network([nl.Dense(2, 2)], rng=0)))
    os.truncate(path, 100 << 30)


def model_of_many_parts(path: Path) -> None:
    path.write_bytes(model_bytes(nl.Network([nl.Activation(1, "relu") for _ in range(2000)])))


def read_csv_gz(path: Path) -> Any:
    named = path.with_name("bomb.csv.gz")
    named.symlink_to(path)
    try:
        return read_frame(named)
    except FormatError as error:
        raise FormatError(str(error).replace(str(named), "bomb")) from error
    finally:
        named.unlink()


NETWORK = {"layers": [{"type": "Embedding", "n_in": 1 << 31, "columns": [[0, 3, 2]]}], "dtype": "float32"}
EMBEDDING = json.dumps({"__metadata__": {"numlp": json.dumps({"format": 1, "network": NETWORK, "metrics": {}})}})
BOMBS = {
    "10 GB behind 10 declared bytes": Bomb(
        gzip_bomb("000008010000000a"), read_idx, 10, "file must end after 10 bytes of data, got trailing bytes"
    ),
    "10 GB declared": Bomb(
        gzip_bomb("0000080227100000 00100000".replace(" ", "")), read_idx, 0, "data must be at most 1,073,741,824 bytes, got"
    ),
    "a cap of one's own": Bomb(
        gzip_bomb("0000080100400000"), lambda path: read_idx(path, max_bytes=MIB), 0, "data must be at most 1,048,576 bytes, got"
    ),
    "8 MiB declared, 10 GB there": Bomb(
        gzip_bomb("0000080100800000"), read_idx, 8 * MIB, "file must end after 8,388,608 bytes of data, got trailing bytes"
    ),
    "PNG of 4096 x 4096 in colour with alpha": Bomb(
        picture(4096, 4096, b"\x08\x06", half_black(4096, 4)), read_picture, 4096 * 4096 * 4, ""
    ),
    "PNG of 4096 x 4096 in 1 bit": Bomb(picture(4096, 4096, b"\x01\0", half_black(512, 1)), read_picture, 4096 * 4096, ""),
    "PNG of 4096 x 4096 in 16 bit": Bomb(picture(4096, 4096, b"\x10\0", half_black(4096, 2)), read_picture, 4096 * 4096 * 2, ""),
    "PNG of 2^31 x 2^31": Bomb(
        lambda path: path.write_bytes(  # type: ignore[arg-type, return-value]
            png_bytes([(b"IHDR", struct.pack(">II", (1 << 31) - 1, (1 << 31) - 1) + b"\x08\x06" + bytes(3)), (b"IDAT", b"")])
        ),
        read_picture, 0, "picture must be at most 4096 pixels a side, got",
    ),
    "PNG with texts": Bomb(png_with_text, read_picture, 0, ""),
    "PNG of lies": Bomb(png_of_lies, read_picture, 0, "file must be a whole PNG, got a damaged one"),
    "JPEG of 4096 x 4096, progressive": Bomb(saved(4096, 4096, "JPEG", progressive=True), read_picture, 4096 * 4096 * 12, ""),
    "JPEG of 8192 x 8192": Bomb(saved(8192, 8192, "JPEG"), read_picture, 4096 * 4096 * 4, ""),
    "JPEG of scans": Bomb(jpeg_of_scans, read_picture, 0, "picture must have at most 100 scans, got more"),
    "GIF of 4096 x 4096": Bomb(saved(4096, 4096, "GIF"), read_picture, 4096 * 4096 * 4, ""),
    "GIF of comments": Bomb(gif_of_comments, read_picture, 0, ""),
    "BMP of 4096 x 4096": Bomb(saved(4096, 4096, "BMP"), read_picture, 4096 * 4096 * 5, ""),
    "TIFF of 4096 x 4096": Bomb(saved(4096, 4096, "TIFF", compression="tiff_adobe_deflate"), read_picture, 4096 * 4096 * 4, ""),
    "TIFF of tags": Bomb(tiff_of_tags, read_picture, 0, ""),
    "WebP of 4096 x 4096": Bomb(saved(4096, 4096, "WEBP"), read_picture, 4096 * 4096 * 24, ""),
    "CSV of one field": Bomb(text_file(b"x", 64 * MIB), read_csv, 0, "line 1: row must have at most 1,048,576 characters, got more"),
    "CSV of one quoted field": Bomb(
        text_file(b"x\n", 5 * MIB, b'"'), read_csv, 0, "file must be CSV text, got field larger than field limit (131072)",
    ),
    "CSV of one row": Bomb(text_file(b"12,", 5 * MIB), read_csv, 0, "line 1: row must have at most 1,048,576 characters, got more"),
    "CSV of one row in many lines": Bomb(
        text_file(b'"1\n2",', 2 * MIB), read_csv, 0, "row must have at most 1,048,576 characters, got more"
    ),
    "CSV of short rows": Bomb(text_file(b"1\n", 200_000), read_csv, 200_000 * 8, ""),
    "CSV of text": Bomb(text_file(b"no,no\n", 1 * MIB), read_csv, 0, "more than 999 such cells in the file"),
    "CSV of nothing": Bomb(text_file(b"\n", 4 * MIB), read_csv, 0, "file must have at least 1 row of numbers, got none"),
    "10 GB of text behind gzip": Bomb(gzip_bomb("61"), read_csv_gz, 0, "text behind gzip must have at most 1,073,741,824 bytes, got more; unpack it first"),
    "header of lists": Bomb(header_of('{"a":[' + "[]," * 349_000 + "0]}"), nl.load, 0, "must have at most 50,000 objects and lists"),
    "header of objects": Bomb(header_of("{" + ",".join(f'"{i:x}":{{}}' for i in range(49_000)) + "}"), nl.load, 0, "tensors must be at most 10,000"),
    "header of one name": Bomb(header_of('{"' + "a" * 1_000_000 + '":{}}'), nl.load, 0, "names must be up to 256"),
    "header of digits": Bomb(header_of('{"a":' + "9" * 1_000_000 + "}"), nl.load, 0, "whole numbers of at most 40 digits"),
    "header of escapes": Bomb(header_of('{"' + "\\ud83d\\ude00" * 80_000 + '":{}}'), nl.load, 0, "names must be up to 256"),
    "header nested": Bomb(header_of('{"a":' * 50_000), nl.load, 0, "must be nested less deeply"),
    "model of 2^31 columns": Bomb(header_of(EMBEDDING), nl.load, 0, "layers must have at most 524,288 columns"),
    "model with a hole of 100 GB": Bomb(sparse_model, nl.load, 0, "it is longer than its header says"),
    "model of 2,000 layers": Bomb(model_of_many_parts, nl.load, 0, ""),
}  # fmt: skip


def held_at_most() -> int:
    """Return the largest number of bytes this process has held since `clear_refs`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def measure(bomb: Bomb, path: Path) -> None:
    """Read a bomb, and print what it took."""
    most = size_of_process() + bomb.declared + 64 * MIB
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    Path("/proc/self/clear_refs").write_text("5")
    before, started, error = held_at_most(), time.perf_counter(), ""
    try:
        bomb.read(path)
    except ValueError as caught:  # FormatError and CheckpointError are
        error = f"{type(caught).__name__} {caught}".replace(str(path), "bomb")
    seconds, grown = time.perf_counter() - started, held_at_most() - before
    print(json.dumps({"seconds": seconds, "grown": grown, "error": error}), flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="numlp-bomb-") as folder:
        path = Path(folder) / "bomb"
        picture(28, 28, b"\x08\0", half_black(28, 1))(path)
        read_picture(path)  # imports what is imported late
        for bomb in BOMBS.values():
            path.unlink()
            for deed in (lambda bomb=bomb: bomb.write(path), lambda bomb=bomb: measure(bomb, path)):
                pid = os.fork()
                if pid == 0:
                    try:
                        deed()
                        os._exit(0)
                    except BaseException as error:
                        print(json.dumps({"error": repr(error), "seconds": 0, "grown": 0}), flush=True)
                        os._exit(1)
                os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
