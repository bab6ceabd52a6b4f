import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale


@pytest.fixture
def global_random_seed() -> int:
    """scikit-learn's fixture of this name, with the seed it has by default."""
    return 42


@pytest.fixture(scope="session")
def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return scale(X), y


@pytest.fixture(scope="session")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(250, 4))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=250)
