"""MNIST, Fashion-MNIST and KMNIST: found in a folder or fetched, verified, read and split the classical way."""

import errno
import logging
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numlp.data.download import RemoteFile, fetch, sha256_of
from numlp.data.idx import magic_of, read_idx
from numlp.data.splits import Dataset, Split, one_hot
from numlp.errors import ArgumentError, DownloadError, DTypeError, FormatError, check_choice
from numlp.files import check_path

_log = logging.getLogger("numlp")

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MAGIC = {"images": 0x803, "labels": 0x801}
_SHAPES = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))


class Source(NamedTuple):
    """Where a data set comes from and what its four files must be, in the order of `NAMES`.

    `unpacked` has the SHA-256 of the files as gzip unpacks them, which people also keep; () where it is not known.
    """

    title: str
    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    class_names: tuple[str, ...]
    unpacked: tuple[str, ...] = ()


def _files(*facts: tuple[int, str]) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(name, size, sha256) for name, (size, sha256) in zip(NAMES, facts, strict=True))


SOURCES: dict[str, Source] = {
    # Source  LeCun, Bottou, Bengio, Haffner 1998
    "mnist": Source(
        "MNIST",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
        _files(
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        tuple("0123456789"),
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    # Source  Xiao, Rasul, Vollgraf 2017
    "fashion-mnist": Source(
        "Fashion-MNIST",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        _files(
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    # Source  Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha 2018
    "kmnist": Source(
        "Kuzushiji-MNIST",
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "https://storage.googleapis.com/kuzushiji-mnist/",
        ),
        _files(
            (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}


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
    unpacked, are taken from `folder` and verified; what is missing is downloaded there, https only. A damaged
    file is set aside as `<name>.bad` and fetched again; a file that belongs elsewhere is left alone and reported.

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
    directly = dataset == "mnist" and any((root / name).exists() or (root / name[:-3]).exists() for name in NAMES)
    return root if directly else root / dataset


def locate(folder: Path, dataset: str, *, offline: bool = False, progress: bool = True) -> list[Path]:
    """Return the paths of the four verified files, in the order of `NAMES`; what is missing is fetched first.

    Errors  as `load_mnist`.
    """
    source = SOURCES[dataset]
    found = [_verified(folder, dataset, i, offline) for i in range(len(NAMES))]
    try:
        for i, file in enumerate(source.files):
            if found[i] is None:
                if offline:
                    raise DownloadError(f"{file.name} is missing or damaged, and no connection may be opened")
                _make_writable(folder)
                found[i] = fetch(file, source.mirrors, folder, progress)
    except DownloadError as error:
        wanted = "\n".join(f"  {file.sha256}  {file.name}" for file in source.files)
        raise DownloadError(
            f"load_mnist: cannot download {source.title}; put these 4 files with these SHA256 in {folder.absolute()}, "
            f"or pass the folder that has them (--data-dir DIR):\n{wanted}\n({error})"
        ) from error
    return [path for path in found if path is not None]


def _make_writable(folder: Path) -> None:
    """Make the folder; PermissionError with what to do if no file can be written there."""
    advice = "give another folder (--data-dir DIR), or set NUMLP_DATA to one where you may write"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {advice}", str(folder)) from error


def _verified(folder: Path, dataset: str, i: int, offline: bool) -> Path | None:
    """Return the path of the good file number `i` in `folder`, gzip or unpacked, or None; set a damaged one aside."""
    source = SOURCES[dataset]
    for name, expected in ((NAMES[i], source.files[i].sha256), (NAMES[i][:-3], (source.unpacked or [None] * 4)[i])):
        path = folder / name
        if not path.is_file():
            continue
        actual = sha256_of(path)
        if actual == expected:
            return path
        _check_misplaced(path, dataset, actual)
        if expected is None:  # read will check what can be checked: type, shape, labels
            return path
        mismatch = f"{path}: SHA256 mismatch, expected {expected}, got {actual}"
        if offline:
            _log.warning("%s", mismatch)
            continue
        bad = path.with_name(path.name + ".bad")
        try:
            path.replace(bad)
        except FileNotFoundError:  # another process was faster
            continue
        except OSError as error:
            raise FormatError(f"{mismatch}; move it away, numlp cannot: {error.strerror}") from error
        if sha256_of(bad) == expected:  # another process had just brought the right one
            bad.replace(path)
            return path
        _log.warning("%s; moved to %s, downloading again", mismatch, bad.name)
    return None


def _check_misplaced(path: Path, dataset: str, actual: str) -> None:
    """Raise FormatError if a file is whole, but another file of one of the data sets."""
    for source in SOURCES.values():
        hashes = [file.sha256 for file in source.files]
        for i, sha256 in (*enumerate(hashes), *enumerate(source.unpacked)):
            if actual != sha256:
                continue
            advice = f"this is {NAMES[i]} of {source.title}, put each file under its own name and folder"
            _check_magic(path, _MAGIC[_kind(NAMES[i])], advice)
            raise FormatError(f"{path}: expected {path.name} of {SOURCES[dataset].title}, found another file; {advice}")


def _kind(name: str) -> str:
    return "images" if "images" in name else "labels"


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
