"""IDX files, the format of MNIST: a header that declares type and dimensions, then the numbers, big-endian.

    byte  0-1   zero
    byte  2     element type (the table `TYPES`)
    byte  3     number of dimensions d
    then        d sizes, unsigned 32-bit
    then        prod(sizes) elements, last dimension fastest

Source  LeCun, Cortes, Burges, "The MNIST database", section "The IDX file format".
"""

import gzip
import io
import math
import os
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from numlp.errors import DTypeError, FormatError, ShapeError, as_array
from numlp.files import check_path, os_errors, replace_file

TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in TYPES.items()}
_CHUNK = 1 << 20  # bytes a read: what a lying header can make us hold beyond what the file delivers


def magic_of(array: NDArray[Any]) -> int:
    """Return the magic number of an IDX file that holds `array`: type code and number of dimensions."""
    return _CODES[array.dtype] << 8 | array.ndim


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 1 << 30) -> NDArray[Any]:
    """Return the array in an IDX file, plain or gzip (told by content, not by name), in native byte order.

    Bounded: never takes more than the header declares plus one byte, whatever a compressed stream would expand to.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Refuse an array of more bytes than this (default 1 GiB).

    Errors  FormatError, one text each, naming the file, what was expected and what was found: wrong magic number,
        unknown element type, short header, dimensions that overflow, more than `max_bytes`, short data, trailing bytes,
        damaged gzip stream. OSError if the file cannot be read.

    Examples
    --------
    >>> import numpy as np, numlp as nl, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.idx.gz"
    >>> nl.write_idx(path, np.arange(6, dtype=np.uint8).reshape(2, 3))
    >>> nl.read_idx(path).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    path = check_path(path, "read_idx")
    where = os.fspath(path)
    with os_errors(path), open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return _read(file, where, max_bytes)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(stream, where, max_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(f"{where}: gzip stream must be whole, got a damaged one: {error}") from error


def _read(stream: BinaryIO | gzip.GzipFile, where: str, max_bytes: int) -> NDArray[Any]:
    """Read header and data from an uncompressed stream."""
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        found = f"0x{start.hex()}" if start else "an empty file"
        raise FormatError(f"{where}: magic number must be 0x0000TTDD (type, dimensions), got {found}")
    code, ndim = start[2], start[3]
    if code not in TYPES:
        known = ", ".join(f"0x{c:02x}" for c in TYPES)
        raise FormatError(f"{where}: element type must be one of {known}, got 0x{code:02x}")
    if ndim > 64:  # NumPy's limit
        raise FormatError(f"{where}: dimensions must be at most 64 in number, got {ndim}")
    header = stream.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise FormatError(f"{where}: header must have {4 + 4 * ndim} bytes for {ndim} dimensions, got {4 + len(header)}")
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(0, 4 * ndim, 4))
    dtype = TYPES[code]
    if math.prod(n for n in shape if n) * dtype.itemsize >= 1 << 63:  # NumPy refuses it even where a dimension is 0
        raise FormatError(f"{where}: dimensions must have a product below 2^63 bytes, got {shape}")
    size = math.prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise FormatError(
            f"{where}: data must be at most {max_bytes:,} bytes, got {shape} with {size:,}; pass max_bytes to allow more"
        )
    data = _read_exactly(stream, size, where)
    if stream.read(1):
        raise FormatError(f"{where}: file must end after {size:,} bytes of data, got trailing bytes")
    array = np.frombuffer(data, dtype).reshape(shape)
    native = dtype.newbyteorder("=")
    return array if dtype == native else array.byteswap(inplace=True).view(native)  # in place: no second copy of the data


def _read_exactly(stream: BinaryIO | gzip.GzipFile, size: int, where: str) -> bytearray:
    """Return `size` bytes, growing as they arrive."""
    data = bytearray()
    while len(data) < size:
        chunk = stream.read(min(_CHUNK, size - len(data)))
        if not chunk:
            raise FormatError(f"{where}: data must have {size:,} bytes as the header declares, got {len(data):,}")
        data += chunk
    return data


def write_idx(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write an array as an IDX file, gzip-compressed if the name ends in .gz; the same array gives the same bytes.

    Parameters
    ----------
    path
        Replaced atomically: on any failure an old file is as it was.
    array
        uint8, int8, int16, int32, float32 or float64, up to 64 dimensions, each below 2^32.

    Errors  DTypeError for another element type, ShapeError for a longer dimension. OSError if the file cannot be written.

    Examples
    --------
    >>> import numpy as np, numlp as nl, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.idx"
    >>> nl.write_idx(path, np.array([7, 2], np.uint8))
    >>> path.read_bytes().hex()
    '00000801000000020702'
    """
    path = check_path(path, "write_idx")
    array = as_array(array, "write_idx", "array")
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise DTypeError(f"write_idx: array must have one of the dtypes {known}, got {array.dtype}")
    if max(array.shape, default=0) >= 1 << 32:
        raise ShapeError(f"write_idx: array must have dimensions below 2^32, got {array.shape}")
    header = bytes([0, 0, code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    data = header + array.astype(TYPES[code]).tobytes()
    if os.fspath(path).endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream:
            stream.write(data)
        data = buffer.getvalue()
    replace_file(path, data)
