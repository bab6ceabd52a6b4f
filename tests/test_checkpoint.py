import copy
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

import numlp as nl
from numlp.errors import CheckpointError
from numlp.states import read_state, write_state


def trained(dtype: str = "float32") -> nl.Network:
    layers = [
        nl.Pixels(6),
        nl.Dense(6, 5),
        nl.BatchNorm(5, momentum=0.2),
        nl.Activation(5, "tanh"),
        nl.Dropout(5, 0.25),
        nl.Dense(5, 3, initializer="lecun_uniform"),
    ]
    net = nl.Network(layers, rng=0, dtype=dtype, class_names=["cat", "dog", "Füchsin"], l2=0.01)
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, size=(60, 6), dtype=np.uint8)
    nl.fit(net, (x, rng.integers(0, 3, size=60)), loss=nl.SoftmaxCrossEntropy(0.1), epochs=3, batch_size=16)
    net.metrics["test"] = {"loss": 1.25, "accuracy": 0.5}
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_model_comes_back_exactly(dtype: str, tmp_path: Path) -> None:
    net = trained(dtype)
    nl.save(net, tmp_path / "m.safetensors")
    back = nl.load(tmp_path / "m.safetensors")
    assert back.params.tobytes() == net.params.tobytes() and back.state.tobytes() == net.state.tobytes()
    assert back.to_config() == net.to_config()
    assert back.class_names == ("cat", "dog", "Füchsin")
    assert back.metrics == {"test": {"loss": 1.25, "accuracy": 0.5}} and back.extra == {}
    x = np.random.default_rng(2).integers(0, 256, size=(10, 6), dtype=np.uint8)
    assert back.predict_proba(x).tobytes() == net.predict_proba(x).tobytes()


def test_model_takes_along_what_is_extra(tmp_path: Path) -> None:
    net = trained()
    nl.save(net, tmp_path / "plain.safetensors")
    net.extra = {"table": {"names": ["size", "Größe"], "median": 0.1 + 0.2, "gap": None}}
    nl.save(net, tmp_path / "extra.safetensors")
    assert nl.load(tmp_path / "extra.safetensors").extra == net.extra == copy.deepcopy(net).extra
    assert b'"extra"' not in (tmp_path / "plain.safetensors").read_bytes().replace(b"\\", b"")


def test_model_file_holds_what_it_should(tmp_path: Path) -> None:
    nl.save(trained(), tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = json.loads(header.pop("__metadata__")["numlp"])
    names = {"layers.1.W", "layers.1.b", "layers.5.W", "layers.5.b"}
    names |= {f"layers.2.{name}" for name in ("gamma", "beta", "running_mean", "running_variance")}
    assert set(header) == names
    assert about["format"] == 1 and about["versions"] == {"numlp": nl.__version__, "numpy": np.__version__}
    assert about["network"]["layers"][0] == {"type": "Pixels", "n_in": 6}


def test_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        nl.save(trained(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    nl.save(nl.load(tmp_path / "a"), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_loaded_model_can_be_trained_on(tmp_path: Path) -> None:
    nl.save(trained(), tmp_path / "m")
    net = nl.load(tmp_path / "m", rng=3)
    before = net.params.copy()
    nl.fit(net, (np.ones((4, 6), np.float32), np.array([0, 1, 2, 0])), epochs=1)
    assert (net.params != before).any()


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    nl.save(trained(), path)
    old = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        nl.save(trained(), path)
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["m"]


def test_model_with_nan_is_not_saved(tmp_path: Path) -> None:
    net = trained()
    net.layers[1].W[0, 0] = np.nan
    with pytest.raises(CheckpointError, match=r"^save: layers\.1\.W must hold finite numbers, got NaN or infinite ones"):
        nl.save(net, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_layer_of_somebody_else_is_not_saved(tmp_path: Path) -> None:
    class Mine(nl.Dense):
        pass

    with pytest.raises(
        CheckpointError,
        match=r"^save: layer 0 must be one of Activation, .*, got Mine\(2 -> 2\); .* nl\.save\(network, path, parts=\[Mine\]\), ",
    ):
        nl.save(nl.Network([Mine(2, 2)]), tmp_path / "m")


FOREIGN = {
    "pickle": (pickle.dumps([1, 2]), "got a pickle"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "got an HDF5 file"),
    "npz": (b"PK\x03\x04" + bytes(50), "got a zip archive"),
    "npy": (b"\x93NUMPY" + bytes(50), "got a NumPy array"),
    "gzip": (b"\x1f\x8b" + bytes(50), "got a gzip file"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_file_is_named_and_refused(kind: str, tmp_path: Path) -> None:
    data, text = FOREIGN[kind]
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(
        CheckpointError,
        match=rf"^load: .*m: file must be safetensors, {text}.*: not safetensors; refusing to unpickle untrusted files$",
    ):
        nl.load(tmp_path / "m")


def about(**changes: Any) -> dict[str, Any]:
    net = nl.Network([nl.Dense(2, 2)], rng=0)
    return {"format": 1, "network": net.to_config(), "metrics": {}, "versions": {}} | changes


def model_bytes(tensors: dict[str, Any] | None = None, **changes: Any) -> bytes:
    good = {"layers.0.W": np.zeros((2, 2), np.float32), "layers.0.b": np.zeros(2, np.float32)}
    return to_bytes(good if tensors is None else tensors, metadata={"numlp": json.dumps(about(**changes))})


def config(**changes: Any) -> dict[str, Any]:
    return about()["network"] | changes


def nested(depth: int) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "Activation", "n_in": 2, "activation": "relu"}
    for _ in range(depth):
        part = {"type": "Residual", "layers": [part]}
    return part


WRONG = {
    "empty file": (b"", "file must be safetensors, got 0 bytes; it is cut off, or another format"),
    "text": (
        b"hello, I am no model",
        "header must have 2 to 1,048,576 bytes, got .*; it is damaged, or no safetensors file",
    ),
    "header cut off": (model_bytes()[:40], "header must lie in the file, got .* bytes of header in 40; it is cut off"),
    "data cut off": (model_bytes()[:-1], "file must have 24 bytes of numbers, got 23; it is cut off"),
    "trailing bytes": (model_bytes() + b"x", "file must have 24 bytes of numbers, got 25; it is longer than"),
    "no metadata": (to_bytes({"a": np.zeros(2)}), "header must be that of a numlp model"),
    "other metadata": (to_bytes({"a": np.zeros(2)}, metadata={"x": "y"}), "header must be that of a numlp model"),
    "newer format": (model_bytes(format=2), "format must be 1, got 2; a newer numlp may be needed"),
    "tensor missing": (model_bytes({"layers.0.W": np.zeros((2, 2), np.float32)}), r"got layers\.0\.b missing"),
    "tensor too many": (
        model_bytes({"layers.0.W": np.zeros((2, 2), "f"), "layers.0.b": np.zeros(2, "f"), "z": np.zeros(1)}),
        "got z not part of the architecture",
    ),
    "other shape": (
        model_bytes({"layers.0.W": np.zeros((2, 3), "f"), "layers.0.b": np.zeros(2, "f")}),
        r"layers\.0\.W must be float32 of shape \(2, 2\), got float32 of \(2, 3\)",
    ),
    "other dtype": (
        model_bytes({"layers.0.W": np.zeros((2, 2)), "layers.0.b": np.zeros(2, "f")}),
        r"layers\.0\.W must be float32 of shape \(2, 2\), got float64",
    ),
    "NaN": (
        model_bytes({"layers.0.W": np.full((2, 2), np.nan, "f"), "layers.0.b": np.zeros(2, "f")}),
        r"layers\.0\.W must hold finite numbers",
    ),
    "unknown layer": (model_bytes(network=config(layers=[{"type": "os.system"}])), "type must be one of Activation"),
    "layer no dict": (model_bytes(network=config(layers=["rm"])), "type must be one of Activation, .*, got 'rm'"),
    "bad argument": (
        model_bytes(network=config(layers=[{"type": "Dense", "n_in": -1, "n_out": 2}])),
        "arguments must fit Dense, .* n_in must be a whole number",
    ),
    "argument that drives the terminal": (
        model_bytes(network=config(layers=[{"type": "Dense", "n_in": 2, "n_out": 2, "\x1b[2J": 1}])),
        "got an unexpected keyword argument '.x1b.2J'",
    ),
    "unknown argument": (
        model_bytes(network=config(layers=[{"type": "Dense", "n_in": 2, "n_out": 2, "evil": 1}])),
        "arguments must fit Dense",
    ),
    "huge layer": (
        model_bytes(network=config(layers=[{"type": "Dense", "n_in": 10**9, "n_out": 10**9}])),
        "layers must have at most 524,288 columns, got 1,000,000,000",
    ),
    "no layers": (model_bytes(network=config(layers=[])), "tensors must be those of the architecture"),
    "no dtype": (model_bytes(network={"layers": []}), "architecture must be a valid one"),
    "unknown dtype": (model_bytes(network=config(dtype="float128x")), "architecture must be a valid one"),
    "loss unknown": (model_bytes(network=config(loss={"type": "Evil"})), "type must be one of AbsoluteError"),
    "type no text": (model_bytes(network=config(layers=[{"type": ["Dense"]}])), "unhashable type"),
    "layers no list": (model_bytes(network=config(layers=7)), "architecture must be a valid one"),
    "layers of null": (model_bytes(network=config(layers=None)), "architecture must be a valid one"),
    "infinite width": (
        model_bytes(network=config(layers=[{"type": "Dense", "n_in": float("inf"), "n_out": 2}])),
        "layers must have at most 524,288 columns, got inf",
    ),
    "large layer": (
        model_bytes(network=config(layers=[{"type": "Dense", "n_in": 2**19, "n_out": 2**19}])),
        r"must be float32 of shape \(524288, 524288\), got float32 of \(2, 2\)",
    ),
    "nested as deep as JSON can be": (
        model_bytes(network=config(layers=[nested(300)])),
        "architecture must be a valid one, got maximum recursion depth exceeded|must be nested less deeply",
    ),
    "columns beyond any memory": (
        model_bytes({}, network=config(layers=[{"type": "Dropout", "n_in": 10**15, "rate": 0.5}])),
        "layers must have at most 524,288 columns, got 1,000,000,000,000,000",
    ),
    "columns of a layer inside another": (
        model_bytes({}, network=config(layers=[{"type": "Residual", "layers": [{"type": "Embedding", "n_in": 2**31}]}])),
        "layers must have at most 524,288 columns, got 2,147,483,648",
    ),
    "true for the whole": (to_bytes({}, metadata={"numlp": "true"}), "format must be 1, got True"),
    "true for the format": (model_bytes(format=True), "format must be 1, got True"),
    "parts without end": (
        model_bytes({}, network=config(layers=[{"type": "Activation", "n_in": 1, "activation": "relu"}] * 2001)),
        "architecture must have at most 2,000 parts, got 2,001",
    ),
    "metrics no object": (model_bytes(metrics=[1]), r"metrics must be an object, got \[1\]"),
    "extra no object": (model_bytes(extra=[1]), r"extra must be an object, got \[1\]"),
    "format no number": (model_bytes(format="x" * 999), "format must be 1, got 'x{59}; a newer numlp may be needed"),
    "class names": (model_bytes(network=config(class_names=["a"])), "class_names must have 2 names"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_model_file_gets_one_error_that_names_it(kind: str, tmp_path: Path) -> None:
    data, text = WRONG[kind]
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"(?s)^load: .*m: .*{text}") as caught:
        nl.load(tmp_path / "m")
    assert str(caught.value).isprintable()


def test_model_that_does_not_fit_into_memory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError("Unable to allocate 9 TiB")

    nl.save(nl.Network([nl.Dense(2, 2)], rng=0), tmp_path / "m")
    monkeypatch.setattr(nl.Network, "reserve", full)
    with pytest.raises(CheckpointError, match=r"architecture must fit into memory, got .*: Unable to allocate 9 TiB"):
        nl.load(tmp_path / "m")


def test_model_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    net = nl.Network([nl.Dense(2, 2)], rng=0, class_names=["x" * 600_000, "y" * 600_000])
    with pytest.raises(CheckpointError, match=r"^save: header must have 2 to 1,048,576 bytes, got 1,2"):
        nl.save(net, tmp_path / "m")
    net = nl.Network([nl.Activation(1, "relu") for _ in range(2001)])
    with pytest.raises(CheckpointError, match=r"^save: architecture must have at most 2,000 parts, got 2,001"):
        nl.save(net, tmp_path / "m")
    assert not os.listdir(tmp_path)


def test_every_truncation_and_every_flipped_header_bit_is_an_error_or_harmless(tmp_path: Path) -> None:
    data = model_bytes()
    good = nl.Network([nl.Dense(2, 2)], rng=0)
    path = tmp_path / "m"
    for n in range(len(data)):
        path.write_bytes(data[:n])
        with pytest.raises(CheckpointError):
            nl.load(path)
    end = 8 + int.from_bytes(data[:8], "little")
    for k in range(0, 8 * end, 5):
        flipped = bytearray(data)
        flipped[k // 8] ^= 1 << k % 8
        path.write_bytes(flipped)
        try:
            assert nl.load(path).params.shape == good.params.shape
        except CheckpointError:
            pass


def test_missing_file_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nl.load(tmp_path / "nothing")


def test_model_with_weights_of_another_layout_is_not_saved(tmp_path: Path) -> None:
    net = nl.Network([nl.Dense(2, 3)], rng=0)
    net.arena.values[0]["W"] = np.asfortranarray(net.layers[0].W)
    with pytest.raises(CheckpointError, match=r"^save: layers\.0\.W must be C-contiguous, got strides \(4, 8\)$"):
        nl.save(net, tmp_path / "m")
    assert not (tmp_path / "m").exists()


CHECKPOINT_LIES = {
    "no settings": (lambda s: s.pop("settings"), "checkpoint must hold a network and its numbers, got none: KeyError('settings')"),
    "settings a list": (lambda s: s.update(settings=[1]), "checkpoint must hold a network and its numbers, got none: TypeError("),
    "no numbers": (lambda s: s.pop("params"), "checkpoint must hold a network and its numbers, got none: KeyError('params')"),
    "no layers": (lambda s: s["settings"]["network"].pop("layers"), "architecture must be a valid one, got 'layers'"),
    "unknown loss": (lambda s: s["settings"].update(loss={"type": "Evil"}), "architecture must be a valid one, got from_config: type must be one of "),
    "fewer numbers": (lambda s: s.update(params=s["params"][:5]), "params must be 63 numbers of float32, got array("),
    "numbers a text": (lambda s: s.update(params="x"), "params must be 63 numbers of float32, got 'x'"),
    "state of other length": (lambda s: s.update(state=s["params"]), "state must be 10 numbers of float32, got array("),
    "another dtype": (lambda s: s["settings"]["network"].update(dtype="float64"), "params must be 63 numbers of float64, got array("),
    "giant layer": (lambda s: s["settings"]["network"]["layers"][1].update(n_out=10**9), "layers must have at most 524,288 columns, got 1,000,000,000"),
    "large layer": (lambda s: s["settings"]["network"]["layers"][1].update(n_out=500_000), "params must be "),
    "NaN": (lambda s: s["params"].__setitem__(3, np.nan), "params must hold finite numbers, got NaN or infinite ones"),
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nl.Network]:
    """Return the last checkpoint of a training, and its network."""
    folder, net = tmp_path_factory.mktemp("run"), trained()
    x = np.random.default_rng(1).integers(0, 256, size=(60, 6), dtype=np.uint8)
    nl.fit(net, (x, np.arange(60) % 3), epochs=1, callbacks=[nl.Checkpointer(folder)])
    return max(folder.iterdir()), net


def test_checkpoint_of_a_training_loads_as_its_network(checkpoint: tuple[Path, nl.Network]) -> None:
    path, net = checkpoint
    back = nl.load(path)
    assert back.params.tobytes() == net.params.tobytes() and back.state.tobytes() == net.state.tobytes()
    assert back.to_config() == net.to_config()


@pytest.mark.parametrize("lie", CHECKPOINT_LIES)
def test_checkpoint_that_lies_about_its_network_is_refused(
    lie: str, checkpoint: tuple[Path, nl.Network], tmp_path: Path
) -> None:
    change, message = CHECKPOINT_LIES[lie]
    state = read_state(checkpoint[0])
    change(state)
    write_state(tmp_path / "c", state)
    with pytest.raises(CheckpointError) as caught:
        nl.load(tmp_path / "c")
    assert str(caught.value).startswith(f"load: {tmp_path / 'c'}: {message}")
