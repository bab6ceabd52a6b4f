"""The kind of a file, told by its first bytes, whatever its name says."""

import os

from numlp.errors import FormatError
from numlp.files import os_errors

PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WebP")
_NAMES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (0, b"\0\0", "IDX"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PAR1", "Parquet"),
    (0, b"%PDF", "PDF"),
    (0, b"\x93NUMPY", "NPY"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "PSD"),
    (8, b"{", "safetensors"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}  # of files that begin as MP4 does; photos of phones are HEIC
_REMEDIES = {
    "empty": "save or copy it again",
    "zip": "unpack it, or write the rows as CSV or IDX",
    "NPY": "write the rows with numlp.write_idx or numpy.savetxt(..., delimiter=',')",
    "HDF5": "write the rows as CSV or IDX",
    "Parquet": "the model of a table reads it; write the rows as CSV or IDX",
    "safetensors": "the model comes first, then the files",
}


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the kind of a file: one of `PICTURES`, "IDX", "gzip", another format by its name, "empty", or "text".

    Raises
    ------
    FormatError
        If it is a folder.
    OSError
        If it cannot be read.
    """
    if os.path.isdir(path):
        raise FormatError(f"{os.fspath(path)}: file must be a picture, CSV or IDX, got a folder; name the files in it")
    with os_errors(path), open(path, "rb") as file:
        start = file.read(512)
    if not start:
        return "empty"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "HEIC")
    for offset, signature, kind in _SIGNATURES[::-1]:  # the longer ones are at the end
        if start.startswith(signature, offset) and _is_plausible(kind, start):
            return kind
    return "SVG" if b"<svg" in start.lower() else "text"


def check_readable(kind: str, path: str | os.PathLike[str]) -> None:
    """Raise FormatError, with what to do, if `kind` is none that `numlp predict` reads, or the name promises another."""
    where = os.fspath(path)
    if kind in (*PICTURES, "IDX", "gzip") or (kind == "text" and not where.lower().endswith(_NAMES)):
        return
    found = "an empty file" if kind == "empty" else kind
    remedy = _REMEDIES.get(kind, "save or export it as PNG or JPEG")
    known = f"a picture ({', '.join(PICTURES)}), CSV or IDX"
    raise FormatError(f"{where}: file must be {known}, got {found}; {remedy}")


def _is_plausible(kind: str, start: bytes) -> bool:
    """Return whether bytes that begin with a short signature are of that kind, and no text by chance."""
    if kind == "BMP":
        return len(start) > 18 and start[6:10] == bytes(4) and start[15:18] == bytes(3)
    if kind == "WebP":
        return start.startswith(b"RIFF")
    if kind == "safetensors":
        return 2 <= int.from_bytes(start[:8], "little") <= 1 << 20
    return True
