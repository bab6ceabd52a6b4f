import numpy as np

import numlp as nl
from numlp.estimators.members import Members


def members(loss, k=3):
    network = nl.Network([nl.Dense(4, 3, "tanh"), nl.Dense(3, 2)], rng=0, loss=loss)
    rng = np.random.default_rng(1)
    return Members(network, [rng.normal(size=network.params.shape).astype(np.float32) for _ in range(k)])


X = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)


def test_each_member_has_its_own_outputs():
    group = members(nl.SquaredError())
    found = list(group.outputs(X))
    assert len(found) == len(group) == 3
    for params, outputs in zip(group.params, found, strict=True):
        group.network.params[...] = params
        assert outputs.tobytes() == group.network.outputs(X).tobytes()
    assert not np.allclose(found[0], found[1])


def test_exact_members_compute_in_float64():
    group = members(nl.SquaredError())
    exact = Members(group.network, group.params, exact=True)
    for one, two in zip(exact.outputs(X), group.outputs(X), strict=True):
        assert (one.dtype, two.dtype) == (np.float64, np.float32)
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_scaled_members_give_scaled_outputs():
    group = members(nl.SquaredError())
    before = np.array(list(group.outputs(X)))
    group.scale_outputs(0.25)
    np.testing.assert_allclose(list(group.outputs(X)), before / 4, rtol=1e-6)


def test_network_of_members_gives_their_mean_and_the_members_again():
    group = members(nl.SquaredError())
    together = group.to_network()
    np.testing.assert_allclose(together.predict(X), np.mean(list(group.outputs(X)), axis=0), rtol=1e-5)
    again = Members.from_network(together, nl.SquaredError(), "test")
    assert np.array(list(again.outputs(X))).tobytes() == np.array(list(group.outputs(X))).tobytes()


def test_network_of_classifiers_gives_the_mean_of_probabilities():
    group = members(nl.SoftmaxCrossEntropy(0.1))
    p = [np.exp(y) / np.exp(y).sum(axis=1, keepdims=True) for y in group.outputs(X)]
    np.testing.assert_allclose(group.to_network().predict_proba(X), np.mean(p, axis=0), rtol=1e-5)
    assert len(Members.from_network(group.to_network(), nl.SoftmaxCrossEntropy(0.1), "test").network.layers) == 2
