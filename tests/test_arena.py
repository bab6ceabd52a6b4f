import math

import numpy as np
import pytest

from numlp.arena import Arena, Parameter, aligned_zeros

LAYERS = [
    [Parameter("W", (4, 3), "weight"), Parameter("b", (3,), "bias")],
    [],
    [
        Parameter("gamma", (3,), "bias"),
        Parameter("mean", (3,), "state"),
        Parameter("W", (3, 2), "weight"),
        Parameter("variance", (3,), "state"),
    ],
]


@pytest.fixture
def arena():
    return Arena(LAYERS, np.float32)


def test_arena_puts_weights_first_then_biases(arena):
    assert arena.n_weights == 4 * 3 + 3 * 2
    arena.values[0]["W"][...] = 1
    arena.values[2]["W"][...] = 2
    arena.values[0]["b"][...] = 3
    arena.values[2]["gamma"][...] = 4
    assert arena.params.tolist() == [1] * 12 + [2] * 6 + [3] * 3 + [4] * 3


def test_arena_keeps_state_apart_from_parameters(arena):
    arena.values[2]["mean"][...] = 1
    arena.values[2]["variance"][...] = 2
    assert arena.state.tolist() == [1, 1, 1, 2, 2, 2]
    assert not arena.params.any()
    assert arena.gradients[2].keys() == {"gamma", "W"}


def test_arena_lays_gradients_out_like_parameters(arena):
    for flat, views in ((arena.params, arena.values), (arena.grads, arena.gradients)):
        flat[...] = np.arange(flat.size)
        assert views[0]["W"].tolist() == np.arange(12).reshape(4, 3).tolist()
        assert views[2]["W"].tolist() == np.arange(12, 18).reshape(3, 2).tolist()
        assert views[0]["b"].tolist() == [18, 19, 20]
        assert views[2]["gamma"].tolist() == [21, 22, 23]


def test_arena_views_have_their_shapes_and_are_contiguous(arena):
    for parameters, values, gradients in zip(LAYERS, arena.values, arena.gradients, strict=True):
        assert list(values) == [p.name for p in parameters]
        for parameter in parameters:
            view = values[parameter.name]
            assert view.shape == parameter.shape
            assert view.flags.c_contiguous
            assert np.shares_memory(view, arena.state if parameter.role == "state" else arena.params)
            if parameter.role != "state":
                assert gradients[parameter.name].shape == parameter.shape
                assert gradients[parameter.name].flags.c_contiguous
                assert np.shares_memory(gradients[parameter.name], arena.grads)


def test_arena_views_cover_everything_once(arena):
    for views, flat in ((arena.gradients, arena.grads), (arena.values, np.concatenate([arena.params, arena.state]))):
        assert sum(view.size for layer in views for view in layer.values()) == flat.size
    for layer in arena.gradients:
        for view in layer.values():
            view += 1
    assert (arena.grads == 1).all()


def test_arena_starts_with_zeros(arena):
    assert not arena.params.any()
    assert not arena.grads.any()
    assert not arena.state.any()


@pytest.mark.parametrize("layers", [[], [[]], [[Parameter("mean", (2,), "state")]]])
def test_arena_of_nothing_to_train_is_empty(layers):
    arena = Arena(layers, np.float64)
    assert arena.params.shape == arena.grads.shape == (0,)
    assert arena.n_weights == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 7, 16, 1001])
def test_aligned_zeros_begin_on_a_cache_line(size, dtype):
    arrays = [aligned_zeros(size, dtype) for _ in range(5)]
    for array in arrays:
        assert size == 0 or array.ctypes.data % 64 == 0  # an empty array has no place
        assert array.dtype == dtype
        assert array.shape == (size,)
        assert not array.any()
        array.fill(math.pi)
    assert all((array == array.dtype.type(math.pi)).all() for array in arrays)


def test_arena_is_aligned_and_of_one_dtype(arena):
    for flat in (arena.params, arena.grads, arena.state):
        assert flat.ctypes.data % 64 == 0
        assert flat.dtype == np.float32
