"""What a training must keep to go on exactly: a file that knows whether it is whole, optimizers, the order of the rows."""

import hashlib
import inspect
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.data.batches import Batches
from numlp.errors import CheckpointError
from numlp.optimizers import OPTIMIZERS
from numlp.states import STATE_KEY, read_state, read_tag, write_state
from numlp.tensors import to_header
from sizes import examples

STATE = {
    "params": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not contiguous on purpose
    "rng": {kind.__name__: kind(3).state for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox)},
    "best": float("inf"),
    "pairs": [(1, 0.1, None), (np.float64(2.5), True, "Füchsin")],
    "empty": np.zeros(0),
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, list | tuple) else bool(a == b)


def test_state_comes_back_exactly_and_gives_the_same_bytes(tmp_path: Path) -> None:
    write_state(tmp_path / "a", STATE)
    back = read_state(tmp_path / "a")
    assert same(STATE, back)
    write_state(tmp_path / "b", back)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_truncation_and_thousands_of_flipped_bits_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path / "a", STATE)
    data, rng = (tmp_path / "a").read_bytes(), np.random.default_rng(0)

    def check(damaged: bytes) -> None:
        # not from a disk, which would take most of the time
        monkeypatch.setattr("numlp.states.open", lambda path, mode: io.BytesIO(damaged), raising=False)
        with pytest.raises(CheckpointError, match=r"^resume: b: "):
            read_state("b")

    for n in range(len(data)):
        check(data[:n])
    for k in rng.integers(0, 8 * len(data), examples(10_000)):
        flipped = bytearray(data)
        flipped[k // 8] ^= 1 << k % 8
        check(bytes(flipped))
    for wrong in (data + b"\0", data * 2, bytes(len(data)), b"\x80\x04" + data, data[::-1]):
        check(wrong)


def test_file_of_another_format_or_kind_is_refused(tmp_path: Path) -> None:
    path, array = tmp_path / "a", np.arange(4, dtype=np.uint8)
    parts: list[tuple[dict[str, str], list[str]]] = [
        ({STATE_KEY: "2", "tag": ""}, ["plain", "sha256"]), ({"tag": ""}, ["plain", "sha256"]),
        ({STATE_KEY: "1"}, ["sha256", "plain"]), ({STATE_KEY: "1"}, ["sha256"]), ({STATE_KEY: "1"}, ["plain"]),
    ]  # fmt: skip
    for metadata, names in parts:
        path.write_bytes(to_header(dict.fromkeys(names, array), metadata) + array.tobytes() * len(names))
        with pytest.raises(
            CheckpointError, match=r"^resume: \S+: file must be a checkpoint of format 1, got format '?\w+'?$"
        ):
            read_state(path)


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        (b"[1]", r"content must be an object, got list"),
        (b'{"a": {"__tensor__": "b"}}', r"array must be one of the file's, got 'b'"),
        (b'{"a": {"__tensor__": 5}}', r"array must be one of the file's, got 5"),
        (b"{", r" must be JSON, got "),
        (b'{"a": 1, "a": 2}', r" must have every key once, got 'a' twice"),
    ],
)
def test_whole_file_with_other_content_is_refused(plain: bytes, text: str, tmp_path: Path) -> None:
    tensors = {"plain": np.frombuffer(plain, np.uint8), "sha256": np.zeros(32, np.uint8)}
    data = to_header(tensors, {STATE_KEY: "1", "tag": ""}) + plain
    parts = [data[: len(data) - len(plain)], plain]
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    (tmp_path / "a").write_bytes(data + hashlib.sha256(digests).digest())
    with pytest.raises(CheckpointError, match=f"^resume: .*{text}"):
        read_state(tmp_path / "a")


def test_tag_is_read_without_the_rest_and_of_checkpoints_only(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_state(path, STATE, "mine")
    data = path.read_bytes()
    assert read_tag(path) == "mine"
    path.write_bytes(data[:-1])
    assert read_tag(path) is None
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert read_tag(path) == "mine"  # whether it is whole is another question
    nl.save(nl.Network([nl.Dense(1, 1)], rng=0), tmp_path / "m")
    (tmp_path / "other").write_bytes(to_header({}, {"tag": "mine"}))
    assert read_tag(tmp_path / "other") is None, "what is no checkpoint must not be taken for one's own, and deleted"
    assert read_tag(tmp_path / "m") is read_tag(tmp_path) is read_tag(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"a b": np.zeros(1)}, r"header: names must be up to 256 letters, digits and _\.-, not a path, got 'a b'"),
        ({"a": {"x" * 300: np.zeros(1)}}, r"header: names must be up to 256 "),
        ({"a": np.zeros(1, bool)}, r"dtype\('bool'\)"),
        ({"a": np.zeros(1, ">f8")}, r"dtype\('>f8'\)"),
        ({"a": {1: 2}}, r"the keys \[1\]"),
        ({"a": {2, 3}}, r"Object of type set is not JSON serializable"),
        ({"a": 10**41}, r"content must have whole numbers of at most 40 digits"),
        ({"a": "\ud800"}, r"content must be Unicode, got a lone surrogate"),
        ({"a": [[]] * 60_000}, r"content must have at most 50,000 objects and lists"),
    ],
)
def test_state_that_could_not_be_read_again_is_not_written(state: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=f"^checkpoint: state must hold numbers, texts and arrays of numbers, got {text}"
    ):
        write_state(tmp_path / "a", state)
    assert list(tmp_path.iterdir()) == []


def test_array_without_dimensions_stays_one(tmp_path: Path) -> None:
    write_state(tmp_path / "a", {"a": np.array(2.5)})
    assert same(read_state(tmp_path / "a")["a"], np.array(2.5))


def test_state_keeps_the_order_of_its_keys(tmp_path: Path) -> None:
    state = {"b": 1, "a": {"d": np.zeros(1), "c": 2}}
    write_state(tmp_path / "a", state)
    back = read_state(tmp_path / "a")
    assert list(back) == ["b", "a"] and list(back["a"]) == ["d", "c"]


def test_save_over_the_file_a_state_was_read_from_is_right(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_state(path, STATE)
    back = read_state(path)
    back["params"] += 1
    write_state(path, back)
    assert same(read_state(path)["params"], STATE["params"] + 1)


def test_model_file_is_no_checkpoint(tmp_path: Path) -> None:
    nl.save(nl.Network([nl.Dense(2, 2)], rng=0), tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"file must be a checkpoint of format 1, got a model file$"):
        read_state(tmp_path / "m")


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizer_goes_on_exactly_from_its_state(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grads = rng.normal(size=(9, 5))
    params = rng.normal(size=5)
    straight, first, second = (OPTIMIZERS[kind](nl.Cosine(0.01)) for _ in range(3))
    whole, parted = params.copy(), params.copy()
    straight.start(whole, total_steps=9)
    for g in grads:
        straight.step(whole, g)
    first.start(parted, total_steps=9)
    first.scale = straight.scale = 1.0
    for g in grads[:4]:
        first.step(parted, g)
    write_state(tmp_path / "s", first.state())
    second.start(parted, total_steps=9)
    second.restore(read_state(tmp_path / "s"))
    for g in grads[4:]:
        second.step(parted, g)
    assert parted.tobytes() == whole.tobytes()
    assert same(second.state(), straight.state())


def test_optimizer_state_of_another_shape_is_refused() -> None:
    first, second = nl.Adam(), nl.Adam()
    first.start(np.zeros(3))
    second.start(np.zeros(4))
    with pytest.raises(ValueError, match=r"^m must be float64 of shape \(4,\), got float64 of \(3,\)$"):
        second.restore(first.state())


@pytest.mark.parametrize("batch_size", [3, 10, None])
@pytest.mark.parametrize("done", [0, 1, 2, 4])
def test_epoch_goes_on_exactly_within_and_draws_nothing_anew(batch_size: int | None, done: int) -> None:
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)

    def batches(seed: int) -> tuple[Batches, np.random.Generator]:
        rng = np.random.default_rng(seed)
        return Batches(x, y, batch_size, rng, np.float64), rng

    def rows(epoch: Any, rng: np.random.Generator) -> list[tuple[list[int], float]]:
        return [(target.tolist(), rng.random()) for _, target, _ in epoch]  # a draw a step, as dropout makes

    straight, rng = batches(0)
    expected = [rows(straight, rng) for _ in range(3)]
    first, rng = batches(0)
    seen = [rows(first, rng)]
    epoch, part = iter(first), []
    for _ in range(min(done, len(first))):
        _, target, _ = next(epoch)
        part.append((target.tolist(), rng.random()))
    if not part:
        return  # nothing of the epoch has begun: the generator's state is all
    second, other = batches(99)
    second.restore(first.state())
    other.bit_generator.state = rng.bit_generator.state
    seen += [part + rows(second, other), rows(second, other)]
    assert seen == expected


@pytest.mark.parametrize("make", [nl.EarlyStopping, nl.MovingAverage, nl.ReduceOnPlateau])
def test_state_of_a_callback_goes_through_a_file(make: Any, tmp_path: Path) -> None:
    data = nl.load_digits()
    first, second = make(), make()
    net = nl.Network([nl.Dense(64, 10)], rng=0)
    nl.fit(net, data.train, validation=data.validation, epochs=2, callbacks=[first])
    write_state(tmp_path / "s", first.state())
    second.restore(read_state(tmp_path / "s"))
    assert first.state_names and same(first.state(), second.state())
    arguments = {f"_{name}" for name in inspect.signature(make).parameters}
    assert set(first.state()) == {name for name in vars(first) if name.startswith("_")} - {"_sign", "_scratch"} - arguments
