import numpy as np

import numlp as nl
from numlp.estimators.members import Members


def members(loss, sizes=(3, 2)):
    """Return members of two networks: 3 of a narrow one, and 2 of a wide one."""
    networks = [nl.Network([nl.Dense(4, n, "tanh"), nl.Dense(n, 2)], rng=0, loss=loss) for n in (3, 5)]
    rng = np.random.default_rng(1)
    drawn = [rng.normal(size=(n, len(network.params))) for network, n in zip(networks, sizes, strict=True)]
    return Members(networks, [list(each.astype(np.float32)) for each in drawn])


X = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)


def test_each_member_has_its_own_outputs():
    group = members(nl.SquaredError())
    found = list(group.outputs(X))
    assert len(found) == len(group) == 5
    owners = [0, 0, 0, 1, 1]
    for owner, params, outputs in zip(owners, [*group.params[0], *group.params[1]], found, strict=True):
        group.networks[owner].params[...] = params
        assert outputs.tobytes() == group.networks[owner].outputs(X).tobytes()
    assert not np.allclose(found[0], found[1])


def test_endings_are_the_last_members_of_each_network_and_never_nobody():
    group = members(nl.SquaredError(), (2, 1))
    assert list(group.endings()) == [[0, 1, 2], [0, 1], [1, 2], [1], [2]]
    assert list(members(nl.SquaredError(), (0, 2)).endings()) == [[0, 1], [1]]
    outputs = list(group.outputs(X))
    group.keep([1, 2])
    assert [len(each) for each in group.params] == [1, 1]
    assert np.array(list(group.outputs(X))).tobytes() == np.array(outputs[1:]).tobytes()


def test_exact_members_compute_in_float64():
    group = members(nl.SquaredError())
    exact = Members(group.networks, group.params, exact=True)
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
    assert [len(each) for each in again.params] == [3, 2]


def test_network_of_classifiers_gives_the_mean_of_probabilities():
    group = members(nl.SoftmaxCrossEntropy(0.1))
    p = [np.exp(y) / np.exp(y).sum(axis=1, keepdims=True) for y in group.outputs(X)]
    np.testing.assert_allclose(group.to_network().predict_proba(X), np.mean(p, axis=0), rtol=1e-5)
    assert len(Members.from_network(group.to_network(), nl.SoftmaxCrossEntropy(0.1), "test").networks[1].layers) == 2
