"""The files of MNIST and its relatives under all of their usual names, told by their content."""

import hashlib
import math
import os
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numlp.data.idx import read_idx
from numlp.data.unpacked import unpacked_chunks
from numlp.errors import FormatError

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
NPZ = "mnist.npz"  # Keras'
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?", re.IGNORECASE)
_TORCHVISION = {"mnist": "mnist", "fashion-mnist": "fashionmnist", "kmnist": "kmnist"}
_ERRORS = (OSError, EOFError, KeyError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile)  # of a damaged zip file
TWICE = "gzip inside gzip"
_MAX_NPZ = 1 << 26  # bytes
_NPY_HEADER = re.compile(rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \((\d+(?:, \d+)*),?\), \} *\n")


def files_in(folder: Path, dataset: str) -> list[list[Path]]:
    """Return for each of `NAMES` the files in a folder that may be it, those named as published first.

    Names may be upper case, with a dot before idx, with or without .gz; files may lie in `raw` or `MNIST/raw`, where
    torchvision puts them, or in a folder of the same name, as in Kaggle's archive.
    """
    folders = [folder]
    for path in _listed(folder):
        if path.is_dir() and path.name.lower() in ("raw", _TORCHVISION[dataset]):
            folders.append(path / "raw" if path.name.lower() != "raw" else path)
        elif path.is_dir() and _NAME.fullmatch(path.name):
            folders.append(path)
    found: list[list[Path]] = [[] for _ in NAMES]
    for path in (path for each in folders for path in _listed(each)):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            found[("t10k" in match[1].lower()) * 2 + (match[2].lower() == "labels")].append(path)
    for name, paths in zip(NAMES, found, strict=True):
        paths.sort(key=lambda path: (path != folder / name, path != folder / name[:-3]))
    return found


def npz_in(folder: Path) -> Path | None:
    """Return Keras' mnist.npz in a folder, or None."""
    return next((path for path in _listed(folder) if path.name.lower() == NPZ and path.is_file()), None)


def _listed(folder: Path) -> list[Path]:
    return sorted(folder / name for name in os.listdir(folder)) if folder.is_dir() else []


def unpacked_sha256(path: Path, most: int) -> str | None:
    """Return the SHA-256 of what is behind gzip, or of a file that is not packed; None if it is damaged or longer."""
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in unpacked_chunks(path):
            size += len(chunk)
            if size > most:
                return None
            digest.update(chunk)
    except (OSError, EOFError, zlib.error):
        return None
    return digest.hexdigest()


def is_packed(path: Path) -> bool:
    """Return whether a file is gzip."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def described(path: Path) -> str | None:
    """Return what a whole IDX file holds, "gzip inside gzip" for one that is packed twice, None for a damaged one."""
    try:
        if next(unpacked_chunks(path), b"").startswith(b"\x1f\x8b"):
            return TWICE
        array = read_idx(path)
    except (FormatError, OSError, EOFError, zlib.error):
        return None
    return f"IDX of {array.dtype} with dimensions {array.shape}"


def read_npz(path: Path, i: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return array number `i` of Keras' mnist.npz, which must be bytes of this shape; nothing else in it is read.

    Raises
    ------
    FormatError
        If the file is damaged, larger than 64 MiB, or holds another array under this name.
    """
    name, size = f"{_ARRAYS[i]}.npy", math.prod(shape)
    expected = f"{path}: file must hold {', '.join(_ARRAYS)} as Keras' {NPZ} does, got"
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _MAX_NPZ:
                raise FormatError(f"{expected} more than {_MAX_NPZ:,} bytes")
            file.seek(-22, os.SEEK_END)
            end = file.read(22)  # number of entries, which are all read at once
            if end[:4] != b"PK\5\6" or int.from_bytes(end[10:12], "little") > 64:
                raise FormatError(f"{expected} another zip file")
            with zipfile.ZipFile(file) as archive:
                info = archive.getinfo(name)
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise FormatError(f"{expected} another compression")
                with archive.open(info) as stream:
                    start = stream.read(10)
                    header = stream.read(int.from_bytes(start[8:10], "little"))
                    data = stream.read(size + 1)
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{expected} {type(error).__name__}") from error
    match = _NPY_HEADER.fullmatch(header)
    if start[:8] != b"\x93NUMPY\1\0" or not match or tuple(map(int, match[1].split(b", "))) != shape or len(data) != size:
        raise FormatError(f"{expected} another {_ARRAYS[i]}, not bytes of shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)
