"""What a training must keep to go on exactly: a file that knows whether it is whole, optimizers, the order of the rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numlp as nl
from numlp.data.batches import Batches
from numlp.errors import CheckpointError
from numlp.optimizers import OPTIMIZERS
from numlp.states import read_state, write_state

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


def test_every_truncation_and_ten_thousand_flipped_bits_are_found(tmp_path: Path) -> None:
    write_state(tmp_path / "a", STATE)
    data, path, rng = (tmp_path / "a").read_bytes(), tmp_path / "b", np.random.default_rng(0)
    for n in [0, *rng.integers(0, len(data), 255)]:
        path.write_bytes(data[:n])
        with pytest.raises(CheckpointError, match=r"^resume: "):
            read_state(path)
    for k in rng.integers(0, 8 * len(data), 10_000):
        flipped = bytearray(data)
        flipped[k // 8] ^= 1 << k % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"^resume: "):
            read_state(path)


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
    assert set(first.state()) == {name for name in vars(first) if name.startswith("_")} - {"_sign", "_scratch"}
