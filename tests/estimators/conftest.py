import pytest


@pytest.fixture
def global_random_seed() -> int:
    """scikit-learn's fixture of this name, with the seed it has by default."""
    return 42
