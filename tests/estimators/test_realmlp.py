import math

import numpy as np
import pytest

import numlp as nl
from numlp.estimators import realmlp
from numlp.run import History, Run


def network(n_out=2, plan=realmlp.REGRESSION, coded=None, numbers=3, width=4, knots=()):
    rng = np.random.default_rng(0)
    return realmlp.build(width, numbers, coded or {}, n_out, (16, 8), plan, nl.SquaredError(), rng, knots)


def test_network_has_the_layers_of_the_recipe():
    with_codes = network(coded={4: 12}, width=5)
    assert [type(layer).__name__ for layer in with_codes.layers] == [
        "Embedding", "Periodic", "Scale", "Dense", "ParametricActivation", "Dropout", "Dense", "ParametricActivation",
        "Dropout", "Dense",
    ]  # fmt: skip
    assert with_codes.layers[2].n_in == 3 * 4 + 1 + 8
    assert {layer.parametrization for layer in with_codes.layers if isinstance(layer, nl.Dense)} == {"ntk"}
    assert isinstance(network(numbers=0).layers[0], nl.Scale)
    knots = [[0, 1], [0, 2], [0, 3]]
    assert network(knots=knots).layers[0].knots == ((0, 1), (0, 2), (0, 3))
    assert isinstance(network(numbers=0, knots=knots[:0]).layers[0], nl.Scale)
    assert network().layers[3].activation == "mish"
    assert network(plan=realmlp.CLASSIFICATION).layers[3].activation == "selu"


def test_start_gives_every_unit_variance_one_and_a_kink_among_the_rows():
    net = network()
    x = 5 + 3 * np.random.default_rng(1).normal(size=(3000, 4)).astype(np.float32)
    realmlp.start(net, x)
    net.reserve(len(x))
    h = x
    for layer in net.layers:
        h = layer.forward(h)
        if isinstance(layer, nl.Dense):
            np.testing.assert_allclose(h.std(axis=0), 1, rtol=0.15)  # of other rows than those it was fitted to
            z = h - layer.b
            assert ((z.min(axis=0) < -layer.b) & (-layer.b < z.max(axis=0))).all()
            assert np.abs(h.mean(axis=0)).max() < 2.5


def test_start_leaves_a_unit_that_does_not_vary_alone():
    net = network(numbers=0)
    realmlp.start(net, np.zeros((10, 4), np.float32))
    assert np.isfinite(net.params).all()


def test_start_puts_an_unknown_category_in_the_middle_of_the_others():
    net = network(coded={4: 12}, width=5)
    table = net.layers[0].table4
    others = table[1:].copy()
    realmlp.start(net, np.column_stack([np.zeros((30, 4)), np.arange(30) % 12]).astype(np.float32))
    assert (table[0] == 0).all() and np.array_equal(table[1:], others)


@pytest.mark.parametrize("knots", [(), [[0, 1]] * 3])
def test_optimizer_scales_rates_once_and_decay_by_the_square(knots):
    net = network(knots=knots)
    optimizer = realmlp.optimizer(net, 0.2)
    assert isinstance(optimizer.learning_rate, nl.CosLog4) and optimizer.learning_rate.peak == 0.2
    assert (optimizer.beta1, optimizer.beta2, optimizer.weight_decay) == (0.9, 0.95, nl.FlatCosine(0.02))
    optimizer.start(net.params, net.n_weights, 10, net.arena.slices)
    net.params.fill(1)
    net.grads.fill(0)
    optimizer.n_steps = 5
    optimizer.step(net.params, net.grads)
    rate, decay = nl.CosLog4(0.2)(5, 10), 0.02
    shrunk = {name: 1 - net.params[part].max() for name, part in net.arena.slices.items()}
    for end, factor in [("gamma", 36), ("alpha", 0.01), ("0.w", 0.01), ("0.V", 0.01), ("W", 1), ("b", 0)]:
        for name in (
            name for name in shrunk if name.endswith(end) and (name.startswith("layers.0.") == end.startswith("0."))
        ):
            assert shrunk[name] == pytest.approx(rate * decay * factor, rel=1e-3, abs=1e-7), name


def recorded(values, monitor):
    """Run the callback over epochs with these figures, and return what it kept and the rates of dropout it set."""
    net = network()
    run = Run(net, nl.SGD(0.1), History(), len(values), 2, (monitor,))
    recipe, rates = realmlp.Recipe(monitor), []
    recipe.on_fit_begin(run)
    for value in values:
        run.epoch += 1
        for _ in range(2):
            rates.append(net.layers[4].rate)
            run.step += 1
            recipe.on_step(run)
        net.params.fill(run.epoch)
        run.history.records.append({monitor: value})
        recipe.on_epoch(run)
    recipe.on_fit_end(run)
    return run.history.best_epoch, [params[0] for params in recipe.kept], net, rates


def test_recipe_keeps_the_last_of_equally_good_epochs_of_each_wave():
    # of 30 epochs, 2 belong to the first wave, 4, 8 and 16 to the others
    values = [0.5, 0.5] + [0.7, 0.8, 0.7, 0.6] + [0.1] * 8 + [0.9, *[0.2] * 15]
    assert recorded(values, "validation_accuracy")[:2] == (15, [2, 4, 14, 15])
    assert recorded(values, "validation_loss")[:2] == (14, [2, 6, 14, 30])


def test_recipe_of_few_epochs_keeps_those_there_are():
    assert recorded([0.5], "validation_loss")[:2] == (1, [1])
    assert recorded([0.5, np.nan, 0.4], "validation_loss")[1][-1] == 3


def test_recipe_lets_dropout_fall_in_the_second_half_and_gives_it_back():
    _, _, net, rates = recorded([1.0] * 4, "validation_loss")
    expected = [1, 1, 1, 1, 1, *((1 + math.cos(math.pi * s)) / 2 for s in (0.25, 0.5, 0.75))]
    np.testing.assert_allclose(rates, 0.15 * np.array(expected))
    assert net.layers[4].rate == 0.15
