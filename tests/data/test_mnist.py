import errno
import gzip
import hashlib
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest

from numlp.data import mnist
from numlp.data.download import RemoteFile
from numlp.data.idx import write_idx
from numlp.data.mnist import data_folder, load_mnist, locate
from numlp.data.mnist_files import NAMES
from numlp.data.mnist_sources import SOURCES
from numlp.errors import ArgumentError, DownloadError, DTypeError, FormatError

SHAPES = ((60, 28, 28), (60,), (20, 28, 28), (20,))
X, Y, X_TEST, Y_TEST = range(4)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def packed(data):
    return gzip.compress(data, 1, mtime=0)


def contents(folder, seed):
    """Return the unpacked bytes of the four files of a small data set."""
    rng = np.random.default_rng(seed)
    found = []
    for shape in SHAPES:
        array = rng.integers(0, 256, shape) if len(shape) == 3 else rng.permutation(shape[0]) % 10
        write_idx(folder / "made", array.astype(np.uint8))
        found.append((folder / "made").read_bytes())
    return found


class Small:
    """Two small data sets in the place of the real ones; `put` writes files, `mirrors` says where the rest comes from."""

    def __init__(self, folder, monkeypatch):
        made = folder / "made"
        made.mkdir()
        self.folder = folder / "mnist"
        self.folder.mkdir()
        self.plain = {name: contents(made, seed) for seed, name in enumerate(("mnist", "fashion-mnist"))}
        self.packed = {name: [packed(data) for data in plain] for name, plain in self.plain.items()}
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(mnist, "_SHAPES", SHAPES)
        self.mirrors()

    def mirrors(self, *addresses):
        """Let both data sets come from `addresses`."""
        sources = {}
        for name, plain in self.plain.items():
            files = tuple(RemoteFile(n, len(d), sha256(d)) for n, d in zip(NAMES, self.packed[name], strict=True))
            known = tuple(sha256(data) for data in plain) if name == "mnist" else ()
            sources[name] = SOURCES[name]._replace(mirrors=addresses, files=files, unpacked=known)
        self._monkeypatch.setattr(mnist, "SOURCES", sources)

    def put(self, *which, plain=False, dataset="mnist", folder=None):
        """Write files of a data set, all four unless some are named."""
        for i in which or range(4):
            name = NAMES[i][:-3] if plain else NAMES[i]
            ((folder or self.folder) / name).write_bytes((self.plain if plain else self.packed)[dataset][i])

    def load(self, **options):
        return load_mnist(self.folder, **{"validation_size": 10, "progress": False, **options})

    def files(self):
        """Return name -> bytes of all that is in the folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def small(tmp_path, monkeypatch):
    return Small(tmp_path, monkeypatch)


@pytest.fixture
def served(small, web):
    """Let the server have the files of `mnist`."""
    web.server.files = dict(zip(NAMES, small.packed["mnist"], strict=True))
    return web


@pytest.fixture
def lines(caplog):
    """Return a function that returns the lines logged so far."""
    caplog.set_level(logging.INFO, logger="numlp")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "numlp"]


def assert_right(data, small, validation=10):
    """The data is what was put into the files, in the classical split."""
    plain = [np.frombuffer(content, np.uint8) for content in small.plain[data.name]]
    x, y = plain[X][16:].reshape(60, 784), plain[Y][8:]
    parts = [(x[validation:], y[validation:]), (x[:validation], y[:validation])]
    parts.append((plain[X_TEST][16:].reshape(20, 784), plain[Y_TEST][8:]))
    for split, (pixels, labels) in zip((data.train, data.validation, data.test), parts, strict=True):
        assert split.x.shape == pixels.shape
        assert np.allclose(split.x * 255, pixels, atol=1e-4)
        assert (split.y == labels).all()


def test_load_mnist_reads_normalises_and_splits(small):
    small.put()
    data = small.load()
    assert_right(data, small)
    for x, y in (data.train, data.validation, data.test):
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.min() >= 0
        assert x.max() == 1
    assert (data.name, data.image_shape, data.class_names) == ("mnist", (28, 28), tuple("0123456789"))


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("plain", [(0, 1, 2, 3), (1,), (0, 3)])
def test_load_mnist_takes_unpacked_files_and_a_mixture(small, plain, offline):
    for i in range(4):
        small.put(i, plain=i in plain)
    assert_right(small.load(offline=offline), small)


def test_load_mnist_without_normalize_keeps_the_bytes(small):
    small.put()
    data = small.load(normalize=False)
    assert data.train.x.dtype == data.test.x.dtype == np.uint8
    assert data.train.x.shape == (50, 784)
    assert (
        data.train.x.tobytes() + data.test.x.tobytes()
        == small.plain["mnist"][X][16 + 7840 :] + small.plain["mnist"][X_TEST][16:]
    )


def test_load_mnist_one_hot_gives_a_one_at_the_label(small):
    small.put()
    hot, labels = small.load(one_hot=True), small.load()
    for name in ("train", "validation", "test"):
        y = getattr(hot, name).y
        assert (y.shape[1:], y.dtype) == ((10,), np.float32)
        assert (y.sum(axis=1) == 1).all()
        assert (y.argmax(axis=1) == getattr(labels, name).y).all()


@pytest.mark.parametrize("size", [0, 1, 59, np.int64(7)])
def test_load_mnist_takes_validation_rows_from_the_head(small, size):
    small.put()
    data = small.load(validation_size=size)
    assert_right(data, small, size)
    assert data.validation.x.shape == (size, 784)


def test_load_mnist_refuses_other_validation_sizes(small):
    small.put()
    for value in (-1, 60, 10**30):
        with pytest.raises(ArgumentError, match=re.escape(f"load_mnist: validation_size must be 0..59, got {value}")):
            small.load(validation_size=value)
    for value in (0.1, "5", True, None):
        with pytest.raises(
            DTypeError, match=re.escape(f"load_mnist: validation_size must be a whole number, got {value!r}")
        ):
            small.load(validation_size=value)


def test_load_mnist_names_the_data_sets_it_knows():
    message = "load_mnist: dataset must be one of fashion-mnist, kmnist, mnist, got 'fashion'; did you mean 'fashion-mnist'?"
    with pytest.raises(ArgumentError, match=re.escape(message)):
        load_mnist(dataset="fashion")


def test_load_mnist_fetches_what_is_missing_and_only_that(small, served, lines):
    small.mirrors(served.mirror("good"))
    small.put(X, Y_TEST)
    assert_right(small.load(), small)
    assert served.server.asked == [f"/good/{NAMES[Y]}", f"/good/{NAMES[X_TEST]}"]
    assert small.files() == dict(zip(NAMES, small.packed["mnist"], strict=True))
    small.load()
    assert len(served.server.asked) == 2
    assert lines() == []


def test_load_mnist_creates_the_folder(small, served):
    small.mirrors(served.mirror("good"))
    small.folder = small.folder / "new" / "folder"
    assert_right(small.load(), small)
    assert sorted(small.files()) == sorted(NAMES)


def test_load_mnist_names_a_folder_it_cannot_create(small, served):
    small.mirrors(served.mirror("good"))
    (small.folder / "file").touch()
    small.folder = small.folder / "file" / "folder"
    with pytest.raises(NotADirectoryError, match=re.escape(str(small.folder))):
        small.load()
    assert served.server.asked == []


def test_load_mnist_tries_mirror_after_mirror_for_each_file(small, served, lines):
    behaviours = ("forbidden", "page", "to-good")
    small.mirrors(*map(served.mirror, behaviours))
    assert_right(small.load(), small)
    asked = [f"/{behaviour}/{name}" for name in NAMES for behaviour in (*behaviours, "good")]
    assert served.server.asked == asked
    assert small.files() == dict(zip(NAMES, small.packed["mnist"], strict=True))
    host, size = f"127.0.0.1:{served.server.server_port}", len(small.packed["mnist"][X])
    assert lines()[:2] == [
        f"{NAMES[X]} from {host}: got HTTP status 403; trying mirror 2/3",
        f"{NAMES[X]} from {host}: got 26 bytes text/html, expected {size:,}; trying mirror 3/3",
    ]


def test_load_mnist_says_what_to_do_when_no_mirror_delivers(small, served, closed_port):
    small.mirrors(served.mirror("missing"), served.mirror("other"), closed_port)
    small.put(X)
    with pytest.raises(DownloadError) as caught:
        small.load()
    head, *wanted, attempts = str(caught.value).split("\n")
    assert head == (
        f"load_mnist: cannot download MNIST; put these 4 files with these SHA256 in {small.folder}, "
        "or pass the folder that has them (--data-dir DIR):"
    )
    assert wanted == [f"  {sha256(data)}  {name}" for name, data in zip(NAMES, small.packed["mnist"], strict=True)]
    host, closed = f"127.0.0.1:{served.server.server_port}", closed_port.split("/")[2]
    assert attempts == (
        f"({NAMES[Y]}: must come from one of 3 mirrors, got none; {host}: got HTTP status 404; "
        f"{host}: got other bytes, SHA256 mismatch; {closed}: no connection)"
    )
    assert isinstance(caught.value, OSError)
    assert list(small.files()) == [NAMES[X]]


def test_load_mnist_offline_opens_no_connection_and_names_what_is_missing(small, served):
    small.mirrors(served.mirror("good"))
    small.put(X, Y, X_TEST)
    with pytest.raises(DownloadError, match=rf"\({NAMES[Y_TEST]} is missing or damaged, and no connection may be opened\)"):
        small.load(offline=True)
    assert served.server.asked == []
    small.folder = small.folder / "nowhere"
    with pytest.raises(DownloadError, match=rf"put these 4 files .* in {re.escape(str(small.folder))}, or"):
        small.load(offline=True)
    assert not small.folder.exists()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    "damage", [lambda d: b"", lambda d: d[:-1], lambda d: b"<html>", lambda d: d[:9] + b"?" + d[10:] + b"?"]
)
def test_load_mnist_fetches_a_damaged_file_again_and_sets_it_aside(small, served, lines, damage, plain):
    small.mirrors(served.mirror("good"))
    small.put(X, Y, Y_TEST)
    small.put(X_TEST, plain=plain)
    name = NAMES[X_TEST][:-3] if plain else NAMES[X_TEST]
    path = small.folder / name
    bad, was = damage(path.read_bytes()), sha256(path.read_bytes())
    path.write_bytes(bad)
    assert_right(small.load(), small)
    assert small.files() == {**dict(zip(NAMES, small.packed["mnist"], strict=True)), f"{name}.bad": bad}
    assert lines() == [f"{path}: SHA256 mismatch, expected {was}, got {sha256(bad)}; moved to {name}.bad, downloaded again"]
    for n in (2, 3):
        (small.folder / NAMES[X_TEST]).write_bytes(b"damaged %d" % n)
        (small.folder / f"{NAMES[X_TEST]}.bad").touch()
        assert_right(small.load(), small)
        assert small.files()[f"{NAMES[X_TEST]}.bad{n}"] == b"damaged %d" % n
    assert served.server.asked == [f"/good/{NAMES[X_TEST]}"] * 3


def test_load_mnist_leaves_a_damaged_file_when_no_mirror_delivers(small, served):
    small.mirrors(served.mirror("broken"))
    small.put()
    (small.folder / NAMES[Y]).write_bytes(b"damaged")
    before = small.files()
    with pytest.raises(DownloadError, match="got HTTP status 500"):
        small.load()
    assert small.files() == before


USUAL = {
    "dots": lambda name: name[:-3].replace("-idx", ".idx"),
    "dots, packed": lambda name: name.replace("-idx", ".idx"),
    "upper case": lambda name: name[:-3].upper(),
    "torchvision": lambda name: f"MNIST/raw/{name[:-3]}",
    "torchvision, packed": lambda name: f"MNIST/raw/{name}",
    "raw": lambda name: f"raw/{name}",
    "Kaggle": lambda name: f"{name[:-3]}/{name[:-3]}",
    "Kaggle, dots": lambda name: f"{name[:-3]}/{name[:-3].replace('-idx', '.idx')}",
}  # fmt: skip
CONTENTS = {
    "as published": lambda plain, packed: packed,
    "unpacked": lambda plain, packed: plain,
    "packed again": lambda plain, packed: gzip.compress(plain, 9, mtime=5),
    "packed with a name": lambda plain, packed: gzip.compress(plain[:99]) + gzip.compress(plain[99:]),
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", ["as published", *USUAL])
def test_load_mnist_takes_the_right_data_under_any_usual_name(small, content, name):
    for i, published in enumerate(NAMES):
        path = small.folder / USUAL.get(name, lambda name: name)(published)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[content](small.plain["mnist"][i], small.packed["mnist"][i]))
        (path.parent / f"._{path.name}").write_bytes(b"of macOS")
    assert_right(small.load(offline=True), small)
    assert_right(small.load(), small)


def whole_but_other(small, kind):
    """Return bytes of a file that is whole, and not the labels of MNIST."""
    right = small.plain["mnist"][Y]
    other = right[:8] + right[8:][::-1]
    return {
        "unpacked": other,
        "packed": gzip.compress(other),
        "short": right[:4] + (20).to_bytes(4, "big") + right[8:28],
        "packed twice": gzip.compress(small.packed["mnist"][Y]),
    }[kind]


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("kind", ["unpacked", "packed", "short", "packed twice"])
def test_load_mnist_names_a_whole_file_that_is_another_and_leaves_it(small, served, kind, offline):
    small.mirrors(served.mirror("good"))
    small.put()
    path = small.folder / NAMES[Y]
    path.write_bytes(whole_but_other(small, kind))
    before = small.files()
    with pytest.raises(FormatError) as caught:
        small.load(offline=offline)
    text = {"packed twice": "packed once, got gzip inside gzip; unpack it once with gunzip"}.get(
        kind, f"{NAMES[Y]} of MNIST, got another IDX of uint8 with dimensions ({20 if kind == 'short' else 60},); keep other"
    )
    assert str(caught.value).startswith(f"{path}: file must be {text}")
    assert small.files() == before and served.server.asked == []


def keras_file(small, **changes):
    """Return the bytes of Keras' mnist.npz with some arrays changed."""
    names = ("x_train", "y_train", "x_test", "y_test")
    plain = small.plain["mnist"]
    arrays = {n: np.frombuffer(d, np.uint8)[8 if n[0] == "y" else 16 :] for n, d in zip(names, plain, strict=True)}
    arrays = {n: a.reshape(shape) for (n, a), shape in zip(arrays.items(), SHAPES, strict=True)}
    np.savez_compressed(small.folder.parent / "made.npz", **{**arrays, **changes})
    return (small.folder.parent / "made.npz").read_bytes()


def test_load_mnist_takes_the_file_of_keras(small):
    (small.folder / "mnist.npz").write_bytes(keras_file(small))
    assert_right(small.load(offline=True), small)
    assert locate(small.folder, "mnist", offline=True) == [small.folder / "mnist.npz"] * 4
    small.put(X, Y)
    assert_right(small.load(offline=True), small)


WRONG_NPZ = {
    "other": {"y_train": np.zeros(60, np.uint8)}, "shape": {"x_test": np.zeros((20, 28, 27), np.uint8)},
    "dtype": {"y_test": np.zeros(20, np.int64)}, "objects": {"y_test": np.array([None] * 20)},
}  # fmt: skip


@pytest.mark.parametrize("kind", [*WRONG_NPZ, "cut", "empty", "text"])
def test_load_mnist_does_not_take_another_npz(small, kind, lines):
    data = keras_file(small, **WRONG_NPZ.get(kind, {}))
    data = {"cut": data[:-30], "empty": b"", "text": b"hello"}.get(kind, data)
    (small.folder / "mnist.npz").write_bytes(data)
    with pytest.raises(DownloadError, match="MNIST is not complete; put these 4 files"):
        small.load(offline=True)
    assert len(lines()) == 1 and lines()[0].startswith(f"{small.folder / 'mnist.npz'}: file must hold")


def test_load_mnist_offline_names_a_damaged_file_and_leaves_it(small, lines):
    small.put()
    path = small.folder / NAMES[Y]
    path.write_bytes(b"damaged")
    before = small.files()
    with pytest.raises(DownloadError, match=rf"\({NAMES[Y]} is missing or damaged, and no connection may be opened\)"):
        small.load(offline=True)
    assert small.files() == before
    expected = sha256(small.packed["mnist"][Y])
    assert lines() == [f"{path}: SHA256 mismatch, expected {expected}, got {sha256(b'damaged')}"]


def test_load_mnist_takes_the_unpacked_file_beside_a_damaged_one(small):
    small.put()
    small.put(Y, plain=True)
    (small.folder / NAMES[Y]).write_bytes(b"damaged")
    before = small.files()
    assert_right(small.load(offline=True), small)
    assert_right(small.load(), small)
    assert small.files() == before


@pytest.mark.parametrize("deed", ["moved", "replaced"])
def test_load_mnist_gets_along_with_a_process_that_was_faster(small, served, monkeypatch, deed):
    """It has moved the damaged file, or has even brought the right one, between our look and our deed."""
    small.mirrors(served.mirror("good"))
    small.put(*range(4))
    path, right = small.folder / NAMES[Y], small.packed["mnist"][Y]
    path.write_bytes(b"damaged")
    real = Path.rename

    def late(self, target):
        if self == path:
            path.unlink()
            if deed == "replaced":
                path.write_bytes(right)
        return real(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert_right(small.load(), small)
    assert path.read_bytes() == right
    assert served.server.asked == [f"/good/{NAMES[Y]}"]
    assert sorted(small.files()) == sorted(NAMES)


def test_load_mnist_names_a_damaged_file_it_cannot_move(small, served, monkeypatch):
    small.mirrors(served.mirror("good"))
    small.put()
    path = small.folder / NAMES[Y]
    path.write_bytes(b"damaged")

    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", read_only)
    message = (
        rf"{re.escape(str(path))}: SHA256 mismatch, expected \w+, got \w+; move it away, numlp cannot: Read-only file system"
    )
    with pytest.raises(FormatError, match=message):
        small.load()


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (Y, X, "labels: expected IDX1 uint8 (magic 0x00000801), found 0x00000803 (images); this is {} of MNIST"),
        (X, Y_TEST, "images: expected IDX3 uint8 (magic 0x00000803), found 0x00000801 (labels); this is {} of MNIST"),
        (X, X_TEST, "expected {0} of MNIST, found another file; this is {1} of MNIST"),
    ],
)
def test_load_mnist_reports_a_misplaced_file_and_leaves_it(small, name, content, message, plain, offline):
    small.put(*set(range(4)) - {name})
    path = small.folder / (NAMES[name][:-3] if plain else NAMES[name])
    path.write_bytes((small.plain if plain else small.packed)["mnist"][content])
    before = small.files()
    names = (path.name, NAMES[content]) if "{0}" in message else (NAMES[content],)
    message = f"{path}: {message.format(*names)}, put each file under its own name and folder"
    with pytest.raises(FormatError, match=re.escape(message)):
        small.load(offline=offline)
    assert small.files() == before


@pytest.mark.parametrize("plain", [False, True])
def test_load_mnist_reports_a_file_of_another_data_set_and_leaves_it(small, plain):
    if plain:  # the unpacked files of Fashion-MNIST have no known hash; those of MNIST have
        small.put(plain=True)
        asked, title, other = "fashion-mnist", "Fashion-MNIST", "MNIST"
    else:
        small.put()
        small.put(Y, dataset="fashion-mnist")
        asked, title, other = "mnist", "MNIST", "Fashion-MNIST"
    before = small.files()
    with pytest.raises(FormatError) as caught:
        small.load(dataset=asked)
    found = NAMES[X] if plain else NAMES[Y]
    path = small.folder / (found[:-3] if plain else found)
    assert str(caught.value) == (
        f"{path}: expected {path.name} of {title}, found another file; this is {found} of {other}, "
        "put each file under its own name and folder"
    )
    assert small.files() == before


def unverified(small, i, array):
    """Put the four unpacked files of the data set that has no hashes for them, number `i` with another array."""
    small.put(plain=True, dataset="fashion-mnist")
    write_idx(small.folder / NAMES[i][:-3], array)
    return small.folder / NAMES[i][:-3]


@pytest.mark.parametrize(
    ("i", "array", "message"),
    [
        (X, np.zeros((59, 28, 28), np.uint8), "data must have shape (60, 28, 28), got (59, 28, 28)"),
        (Y, np.zeros(20, np.uint8), "data must have shape (60,), got (20,)"),
        (X_TEST, np.zeros((20, 28, 27), np.uint8), "data must have shape (20, 28, 28), got (20, 28, 27)"),
        (Y_TEST, np.array([9] * 7 + [10] + [3] * 12, np.uint8), "labels must be 0..9, got 10 at row 7"),
        (Y_TEST, np.zeros(20, np.int32), "labels: expected IDX1 uint8 (magic 0x00000801), found 0x00000c01; put each file"),
        (Y, np.zeros((60, 28, 28), np.uint8), "labels: expected IDX1 uint8 (magic 0x00000801), found 0x00000803 (images); "),
        (X, np.zeros(60, np.uint8), "images: expected IDX3 uint8 (magic 0x00000803), found 0x00000801 (labels); "),
        (X, np.zeros((60, 28, 29), np.uint8), "data must be at most 47,040 bytes, got (60, 28, 29) with 48,720"),
    ],
)
def test_load_mnist_checks_what_is_in_a_file_without_a_known_hash(small, i, array, message):
    path = unverified(small, i, array)
    with pytest.raises(FormatError, match=re.escape(f"{path}: {message}")):
        small.load(dataset="fashion-mnist")


def test_load_mnist_takes_unpacked_files_without_a_known_hash(small):
    small.put(plain=True, dataset="fashion-mnist")
    data = small.load(dataset="fashion-mnist", offline=True)
    assert_right(data, small)
    assert data.class_names[-1] == "Ankle boot"


def test_locate_returns_the_four_paths_in_order(small):
    small.put(X, Y, X_TEST)
    small.put(Y_TEST, plain=True)
    assert locate(small.folder, "mnist", offline=True) == [small.folder / name for name in (*NAMES[:3], NAMES[3][:-3])]


def test_data_folder_is_below_numlp_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMLP_DATA", str(tmp_path))
    assert data_folder("mnist") == tmp_path / "mnist"
    (tmp_path / NAMES[Y][:-3]).touch()
    assert data_folder("mnist") == tmp_path  # the files of MNIST may lie there directly
    assert data_folder("kmnist") == tmp_path / "kmnist"


@pytest.mark.parametrize("value", [None, ""])
def test_data_folder_is_the_cache_without_numlp_data(tmp_path, monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NUMLP_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("NUMLP_DATA", value)
    assert data_folder("mnist").parts[-2:] == ("numlp", "mnist")
    assert not data_folder("mnist").exists()


def test_load_mnist_uses_numlp_data_when_no_folder_is_given(small, monkeypatch):
    small.put()
    monkeypatch.setenv("NUMLP_DATA", str(small.folder.parent))
    assert_right(load_mnist(validation_size=10, offline=True), small)


@pytest.mark.parametrize("name", SOURCES)
def test_sources_are_complete(name):
    source = SOURCES[name]
    assert tuple(file.name for file in source.files) == NAMES
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in source.mirrors)
    assert len(set(source.mirrors)) == len(source.mirrors) >= 2
    assert len(source.class_names) == 10
    hashes = [file.sha256 for file in source.files] + list(source.unpacked)
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in hashes)
    assert len(source.unpacked) in (0, 4)


def test_sources_have_different_files():
    hashes = [sha for source in SOURCES.values() for sha in [*(file.sha256 for file in source.files), *source.unpacked]]
    assert len(set(hashes)) == len(hashes)


def test_mnist_files_are_verified(mnist_folder):
    paths = locate(mnist_folder, "mnist", offline=True)
    source = SOURCES["mnist"]
    for i, path in enumerate(paths):
        data = path.read_bytes()
        if path.suffix == ".gz":
            assert (len(data), sha256(data)) == (source.files[i].size, source.files[i].sha256)
            data = gzip.decompress(data)
        assert sha256(data) == source.unpacked[i]


def test_load_mnist_of_the_real_files(mnist_folder):
    data = load_mnist(mnist_folder, offline=True)
    splits = (data.train, data.validation, data.test)
    assert [split.x.shape for split in splits] == [(55000, 784), (5000, 784), (10000, 784)]
    for x, y in splits:
        assert (x.dtype, y.dtype, y.shape) == (np.float32, np.int64, (len(x),))
        assert (x.min(), x.max()) == (0, 1)
    assert data.validation.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # the first of the training file
    assert data.test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = np.bincount(data.train.y) + np.bincount(data.validation.y)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_load_mnist_of_the_real_files_without_validation_rows(mnist_folder):
    data = load_mnist(mnist_folder, offline=True, validation_size=0, normalize=False)
    assert data.train.x.shape == (60000, 784)
    assert data.train.x.dtype == np.uint8
    assert data.validation.x.shape == (0, 784)
    assert data.train.y[:3].tolist() == [5, 0, 4]
