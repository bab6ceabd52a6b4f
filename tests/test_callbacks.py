import re

import numpy as np
import pytest

import numlp as nl
from numlp.errors import ArgumentError


def trained(*callbacks, c=None):
    inner = nl.Residual([nl.Dense(8, 8, "relu")])
    network = nl.Network([nl.Embedding(4, {0: (3, 5)}), nl.Dense(8, 8), inner, nl.Dense(8, 2)], rng=0)
    network.layers[0].table0 *= 10
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(3, size=40), rng.normal(size=(40, 3))])
    nl.fit(network, (x, rng.integers(2, size=40)), optimizer=nl.SGD(0.01), epochs=2, batch_size=10, callbacks=[*callbacks])
    return network


def columns(network):
    arrays = [network.layers[1].W, network.layers[2].layers[0].W, network.layers[3].W]
    return np.concatenate([np.linalg.norm(W, axis=0) for W in arrays])


def test_max_norm_shortens_long_columns_of_every_dense_layer():
    free, held = columns(trained()), columns(trained(nl.MaxNorm(0.7)))
    assert free.max() > 1
    assert held.max() == pytest.approx(0.7, rel=1e-5)


def test_max_norm_leaves_short_columns_biases_and_tables_alone():
    free, held = trained(), trained(nl.MaxNorm(1e3))
    assert held.params.tobytes() == free.params.tobytes()
    assert np.linalg.norm(trained(nl.MaxNorm(0.1)).layers[0].table0, axis=0).max() > 1


def test_max_norm_takes_a_length_above_zero():
    with pytest.raises(ArgumentError, match=f"^{re.escape('MaxNorm: c must be a number above 0, got 0')}$"):
        nl.MaxNorm(0)
