"""MNIST, Fashion-MNIST and KMNIST: found in a folder or fetched, verified, read and split the classical way."""

import errno
import itertools
import logging
import math
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.data.download import fetch, sha256_of
from numlp.data.idx import magic_of, read_idx
from numlp.data.mnist_files import (
    NAMES,
    TWICE,
    described,
    files_in,
    is_packed,
    npz_in,
    read_npz,
    unpacked_sha256,
)
from numlp.data.mnist_sources import SOURCES
from numlp.data.splits import Dataset, Split, one_hot
from numlp.errors import ArgumentError, DownloadError, DTypeError, FormatError, check_choice
from numlp.files import check_path

_log = logging.getLogger("numlp")

_MAGIC = {"images": 0x803, "labels": 0x801}
_SHAPES = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))


def load_mnist(
    folder: str | os.PathLike[str] | None = None,
    one_hot: bool = False,
    normalize: bool = True,
    validation_size: int = 5000,
    *,
    dataset: str = "mnist",
    offline: bool = False,
    progress: bool = True,
) -> Dataset:
    """Return 70,000 images of 28x28 pixels in ten classes, split the classical way.

    Train 55,000, validation 5,000 (the first rows of the training files), test 10,000. The four files, gzip or
    unpacked, are taken from `folder` under any of their usual names and verified; what is missing is downloaded there,
    https only. A damaged file is fetched again, and then set aside as `<name>.bad`; a whole file that is another one is
    left alone and reported. Keras' mnist.npz and torchvision's `MNIST/raw` are read, too.

    Parameters
    ----------
    folder
        None takes the environment variable NUMLP_DATA, else the user's cache folder; see `data_folder`.
    one_hot
        y as (n, 10) float32 instead of (n,) int64.
    normalize
        x as (n, 784) float32 in [0, 1], 0 the white background; else uint8 0..255, a quarter of the memory, for a
        network that begins with `Pixels`.
    validation_size
        Rows taken from the head of the training files, 0 to 59,999.
    dataset
        mnist, fashion-mnist or kmnist.
    offline
        Open no connection.
    progress
        Show a bar during downloads if stderr is a terminal.

    Errors  DownloadError listing the four names, their SHA-256 and the folder, if a file is missing and cannot be fetched;
        FormatError for a file that is in the wrong place or is not what its name says; ArgumentError.

    Source  LeCun, Bottou, Bengio, Haffner 1998; Xiao et al. 2017; Clanuwat et al. 2018.

    Examples
    --------
    >>> import numlp as nl
    >>> nl.load_mnist("nowhere", dataset="mnits", offline=True)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    numlp.errors.ArgumentError: load_mnist: dataset must be one of ... got 'mnits'; did you mean 'mnist'?
    """
    source = SOURCES[check_choice(dataset, SOURCES, "load_mnist", "dataset")]
    n_train = _SHAPES[0][0]
    if isinstance(validation_size, bool) or not isinstance(validation_size, int | np.integer):
        raise DTypeError(f"load_mnist: validation_size must be a whole number, got {validation_size!r}")
    if not 0 <= validation_size < n_train:
        raise ArgumentError(f"load_mnist: validation_size must be 0..{n_train - 1}, got {validation_size}")
    where = data_folder(dataset) if folder is None else check_path(folder, "load_mnist", "folder")
    found = locate(where, dataset, offline=offline, progress=progress)
    x, y, x_test, y_test = (_read(path, i) for i, path in enumerate(found))
    x, y = _ready(x, y, one_hot, normalize)
    n = validation_size
    train, validation = Split(x[n:], y[n:]), Split(x[:n], y[:n])
    test = Split(*_ready(x_test, y_test, one_hot, normalize))
    return Dataset(dataset, train, validation, test, source.class_names, (28, 28))


def data_folder(dataset: str) -> Path:
    """Return the default folder of a data set.

    Below NUMLP_DATA, or else the user's cache folder, there is one folder for each data set, because all use the same
    file names. Files of MNIST may also lie directly in NUMLP_DATA.
    """
    import pooch

    root = check_path(os.environ.get("NUMLP_DATA") or pooch.os_cache("numlp"), "load_mnist", "NUMLP_DATA")
    found = [path for paths in files_in(root, dataset) for path in paths]
    if dataset == "mnist" and (found or npz_in(root)):
        return root
    # the other data sets have the same names, but torchvision's folders are their own
    is_own = any(path.parent.name.lower() == "raw" and path.parent.parent != root for path in found)
    return root if is_own else root / dataset


def locate(folder: Path, dataset: str, *, offline: bool = False, progress: bool = True) -> list[Path]:
    """Return the paths of the four verified files, in the order of `NAMES`; what is missing is fetched first.

    Errors  as `load_mnist`.
    """
    source = SOURCES[dataset]
    verified = [_verified(paths, dataset, i) for i, paths in enumerate(files_in(folder, dataset))]
    found = [path for path, _ in verified]
    if None in found and dataset == "mnist":
        found = _completed_by_npz(found, folder)
    try:
        for i, file in enumerate(source.files):
            if found[i] is None:
                if offline:
                    for path in verified[i][1]:
                        _log.warning("%s", _mismatch(path, dataset, i))
                    raise DownloadError(f"{file.name} is missing or damaged, and no connection may be opened")
                _make_writable(folder)
                found[i] = _replaced(folder, dataset, i, verified[i][1], progress)
    except DownloadError as error:
        wanted = "\n".join(f"  {file.sha256}  {file.name}" for file in source.files)
        problem = f"{source.title} is not complete" if offline else f"cannot download {source.title}"
        raise DownloadError(
            f"load_mnist: {problem}; put these 4 files with these SHA256 in {folder.absolute()}, "
            f"or pass the folder that has them (--data-dir DIR):\n{wanted}\n({error})"
        ) from error
    return [path for path in found if path is not None]


def _completed_by_npz(found: list[Path | None], folder: Path) -> list[Path | None]:
    """Return the paths with Keras' mnist.npz for what is missing, if it holds MNIST."""
    path = npz_in(folder)
    if path is None:
        return found
    for i in (i for i, known in enumerate(found) if known is None):
        try:
            array = read_npz(path, i, _SHAPES[i])
        except FormatError as error:
            _log.warning("%s", error)
            return found
        header = magic_of(array).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in array.shape)
        if sha256(header + array.tobytes()).hexdigest() != SOURCES["mnist"].unpacked[i]:
            _log.warning("%s: file must hold the arrays of MNIST, got others", path)
            return found
    return [known or path for known in found]


def _replaced(folder: Path, dataset: str, i: int, damaged: list[Path], progress: bool) -> Path:
    """Fetch file number `i`, and then set the damaged ones aside: whatever happens before, they are where they were."""
    source = SOURCES[dataset]
    file, path = source.files[i], folder / NAMES[i]
    with tempfile.TemporaryDirectory(prefix=".numlp-", dir=folder) as new:
        fetched = fetch(file, source.mirrors, Path(new), progress)
        for bad in damaged:
            _set_aside(bad, dataset, i)
        fetched.replace(path)
    return path


def _set_aside(path: Path, dataset: str, i: int) -> None:
    """Rename a damaged file to the first of <name>.bad, .bad2, ... that is free."""
    mismatch = _mismatch(path, dataset, i)
    names = itertools.chain([".bad"], (f".bad{n}" for n in itertools.count(2)))
    bad = next(bad for end in names if not (bad := path.with_name(path.name + end)).exists())
    try:
        path.rename(bad)
    except FileNotFoundError:  # another process was faster
        return
    except OSError as error:
        raise FormatError(f"{mismatch}; move it away, numlp cannot: {error.strerror}") from error
    if sha256_of(bad) == SOURCES[dataset].files[i].sha256:  # another process had just brought the right one
        bad.unlink()
        return
    _log.warning("%s; moved to %s, downloaded again", mismatch, bad.name)


def _mismatch(path: Path, dataset: str, i: int) -> str:
    source = SOURCES[dataset]
    is_packed = path.name.lower().endswith(".gz") or not source.unpacked
    expected = source.files[i].sha256 if is_packed else source.unpacked[i]
    return f"{path}: SHA256 mismatch, expected {expected}, got {sha256_of(path) if path.exists() else 'no file'}"


def _make_writable(folder: Path) -> None:
    """Make the folder; PermissionError with what to do if no file can be written there."""
    advice = "give another folder (--data-dir DIR), or set NUMLP_DATA to one where you may write"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {advice}", str(folder)) from error


def _verified(paths: list[Path], dataset: str, i: int) -> tuple[Path | None, list[Path]]:
    """Return which of the files is file number `i`, or None, and which are damaged.

    Raises
    ------
    FormatError
        If one is whole, but another file: it belongs to somebody, and stays.
    """
    source = SOURCES[dataset]
    damaged: list[Path] = []
    others = []
    for path in paths:
        actual = sha256_of(path)
        if actual == source.files[i].sha256:
            return path, damaged
        inner = unpacked_sha256(path, 16 + math.prod(_SHAPES[0]))
        if source.unpacked and inner == source.unpacked[i]:
            return path, damaged
        found = described(path)
        if found is None:
            damaged.append(path)
        elif source.unpacked or is_packed(path):
            others.append((path, actual, inner, found))
        else:  # its SHA-256 is not known: read will check what can be checked, type, shape and labels
            _check_misplaced(path, dataset, actual)
            return path, damaged
    for path, actual, inner, found in others:
        if found == TWICE:
            raise FormatError(f"{path}: file must be packed once, got {found}; unpack it once with gunzip")
        _check_misplaced(path, dataset, actual)
        _check_misplaced(path, dataset, inner)
        advice = "keep other data in a folder of its own" if source.unpacked else "unpack it if it is that all the same"
        raise FormatError(f"{path}: file must be {NAMES[i]} of {source.title}, got another {found}; {advice}")
    return None, damaged


def _check_misplaced(path: Path, dataset: str, actual: str | None) -> None:
    """Raise FormatError if a file is whole, but another file of one of the data sets."""
    for source in SOURCES.values():
        hashes = [file.sha256 for file in source.files]
        for i, sha in (*enumerate(hashes), *enumerate(source.unpacked)):
            if actual == sha:
                advice = f"this is {NAMES[i]} of {source.title}, put each file under its own name and folder"
                _check_magic(path, _MAGIC[_kind(NAMES[i])], advice)
                raise FormatError(f"{path}: expected {path.name} of {SOURCES[dataset].title}, found another file; {advice}")


def _kind(name: str) -> str:
    return "images" if "images" in name.lower() else "labels"


def _check_magic(path: Path, found: int, advice: str) -> None:
    """Raise FormatError unless `found` is the magic number that the name of the file promises."""
    kind = _kind(path.name)
    expected = _MAGIC[kind]
    if found != expected:
        names = {magic: f" ({name})" for name, magic in _MAGIC.items()}
        raise FormatError(
            f"{path}: {kind}: expected IDX{expected & 0xFF} uint8 (magic 0x{expected:08x}), "
            f"found 0x{found:08x}{names.get(found, '')}; {advice}"
        )


def _read(path: Path, i: int) -> NDArray[Any]:
    """Read file number `i` and check that it is what its name says."""
    if path.suffix.lower() == ".npz":
        return read_npz(path, i, _SHAPES[i])
    array = read_idx(path, max_bytes=math.prod(_SHAPES[0]))
    _check_magic(path, magic_of(array), "put each file under its own name")
    if array.shape != _SHAPES[i]:
        raise FormatError(f"{path}: data must have shape {_SHAPES[i]}, got {array.shape}")
    if array.ndim == 1 and array.max() > 9:
        raise FormatError(f"{path}: labels must be 0..9, got {array.max()} at row {array.argmax()}")
    return array


def _ready(images: NDArray[Any], labels: NDArray[Any], hot: bool, normalize: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Flatten the images, and give both the form asked for."""
    x = images.reshape(len(images), -1)
    if normalize:
        x = np.multiply(x, np.float32(1 / 255), dtype=np.float32)
    return x, one_hot(labels, 10) if hot else labels.astype(np.int64)
