"""The bytes behind gzip, chunk by chunk."""

import gzip
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 18  # bytes


def unpacked_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, unpacked if it is gzip, which its first bytes tell.

    Raises
    ------
    OSError, EOFError, zlib.error
        If it cannot be read, or is no whole gzip file.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        while chunk := stream.read(_CHUNK):
            yield chunk
