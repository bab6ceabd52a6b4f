"""scikit-learn's own tests of its multilayer perceptrons, run against ours: the file of the installed version."""

import importlib.util
from unittest import mock

import pytest
import sklearn.neural_network
from sklearn.neural_network.tests import test_mlp

from numlp.estimators import MLPClassifier, MLPRegressor

# test -> why it is left out: private functions of scikit-learn only
LEFT_OUT = {
    "test_gradient": "calls _loss_grad_lbfgs, a private method; numlp's gradients are tested in tests/test_contract.py",
}

pytestmark = pytest.mark.filterwarnings("ignore")  # its tests let their estimators warn


def their_tests() -> dict[str, object]:
    """Run the file once more, with our classes under the names of theirs."""
    spec = importlib.util.spec_from_file_location("their_test_mlp", test_mlp.__file__)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with mock.patch.multiple(sklearn.neural_network, MLPClassifier=MLPClassifier, MLPRegressor=MLPRegressor):
        spec.loader.exec_module(module)
    assert module.MLPClassifier is MLPClassifier
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


THEIRS = their_tests()
globals().update({name: test for name, test in THEIRS.items() if name not in LEFT_OUT})


def test_what_is_left_out_exists() -> None:
    assert set(LEFT_OUT) <= set(THEIRS)
