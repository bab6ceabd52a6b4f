from dataclasses import replace

import numpy as np
import pytest

import numlp as nl
from numlp.data.splits import Split
from numlp.optimizers import OPTIMIZERS
from numlp.recipes import RECIPES, Recipe, build_network, changed, fit_options


@pytest.fixture(scope="module")
def digits():
    return nl.load_digits()


@pytest.mark.parametrize("recipe", [recipes[name] for recipes in RECIPES.values() for name in recipes])
def test_recipe_of_every_data_set_can_be_built_and_trained(recipe, digits):
    network = build_network(replace(recipe, hidden=(8,)), digits, 0)
    history = nl.fit(network, digits.train, **fit_options(replace(recipe, epochs=1), digits.train, digits.image_shape))
    assert len(history) == 1
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({}, ["Pixels", "Dense", "Dense", "Dense"]),
        ({"dropout": 0.5}, ["Pixels", "Dense", "Dropout", "Dense", "Dropout", "Dense"]),
        ({"batch_norm": True}, ["Pixels", *["Dense", "BatchNorm", "Activation"] * 2, "Dense"]),
        ({"batch_norm": True, "dropout": 0.5}, ["Pixels", *["Dense", "BatchNorm", "Activation", "Dropout"] * 2, "Dense"]),
    ],
)
def test_build_network_has_a_layer_for_each_setting(digits, options, layers):
    network = build_network(Recipe(hidden=(9, 7), activation="tanh", label_smoothing=0.25, **options), digits, 3, "float64")
    assert [type(layer).__name__ for layer in network.layers] == layers
    assert [layer.n_out for layer in network.layers if isinstance(layer, nl.Dense)] == [9, 7, 10]
    assert network.layers[3 if options.get("batch_norm") else 1].activation == "tanh"
    assert (network.n_in, network.dtype, network.loss.label_smoothing) == (64, np.float64, 0.25)
    assert network.class_names == digits.class_names


def test_build_network_weights_follow_the_seed(digits):
    weights = [build_network(Recipe(), digits, seed).params.tobytes() for seed in (1, 1, 2)]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("batch_size", "summed", "rate"),
    [(5, False, 0.01), (5, True, 0.05), (None, False, 0.01), (None, True, 0.2), (100, True, 0.2)],
)
def test_fit_options_multiply_the_rate_of_a_summed_loss_by_the_rows_of_a_batch(batch_size, summed, rate):
    recipe = Recipe(optimizer="SGD", learning_rate=0.01, batch_size=batch_size, summed_loss=summed, epochs=7)
    options = fit_options(recipe, Split(np.zeros((20, 3)), np.zeros(20, int)), (1, 3))
    assert isinstance(options["optimizer"], nl.SGD)
    assert options["optimizer"].learning_rate(0, 10) == pytest.approx(rate, rel=1e-12)
    assert (options["epochs"], options["batch_size"]) == (7, batch_size)


def test_fit_options_give_the_weight_decay_to_adamw_alone():
    train = Split(np.zeros((20, 3)), np.zeros(20, int))
    adamw, adam = (
        fit_options(Recipe(optimizer=name, schedule="Cosine", weight_decay=0.3), train, (1, 3))["optimizer"]
        for name in ("AdamW", "Adam")
    )
    assert (type(adamw), type(adam)) == (nl.AdamW, nl.Adam)
    assert (adamw.weight_decay, adam.weight_decay) == (0.3, 0.0)
    assert isinstance(adamw.learning_rate, nl.Cosine)


def test_distortion_is_as_large_in_proportion_for_any_image():
    train = Split(np.zeros((20, 64)), np.zeros(20, int))
    assert fit_options(Recipe(), train, (28, 28))["augment"] is None
    usual, small = (fit_options(Recipe(distort=True), train, (size, size))["augment"] for size in (28, 8))
    assert (usual.shape, usual.shift, usual.alpha, usual.sigma) == ((28, 28), 1.5, 34, 5)
    assert (small.shape, small.rotation) == ((8, 8), usual.rotation)
    np.testing.assert_allclose([small.shift, small.sigma], [1.5 * 2 / 7, 5 * 2 / 7])
    # alpha is pixels times the pixels that the smoothing spreads over, in each direction one
    np.testing.assert_allclose(small.alpha, 34 * (2 / 7) ** 2)


def test_another_optimizer_gets_a_learning_rate_in_proportion_to_its_default() -> None:
    digits, mnist = RECIPES["default"]["digits"], RECIPES["default"]["mnist"]
    rates = {name: changed(digits, {"optimizer": name}).learning_rate for name in OPTIMIZERS}
    assert rates["Adam"] == rates["AdamW"] == digits.learning_rate
    assert rates["SGD"] == pytest.approx(0.3) and rates["Lion"] == pytest.approx(3e-4)
    assert changed(mnist, {"optimizer": "SGD"}).learning_rate == pytest.approx(1)
    assert changed(digits, {"optimizer": "SGD", "learning_rate": 0.5}).learning_rate == 0.5
    assert changed(RECIPES["tutorial"]["mnist"], {"optimizer": "Adam"}).learning_rate == pytest.approx(1e-7)
    assert changed(RECIPES["tutorial"]["mnist"], {"hidden": (5,)}).widths == ()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_digits_are_learnt_with_the_learning_rate_of_every_optimizer(name: str) -> None:
    data = nl.load_digits()
    recipe = changed(RECIPES["default"]["digits"], {"optimizer": name, "epochs": 6})
    network = build_network(recipe, data, 0)
    nl.fit(network, data.train, **fit_options(recipe, data.train, data.image_shape))
    assert nl.evaluate(network, data.validation)["accuracy"] > 0.85
