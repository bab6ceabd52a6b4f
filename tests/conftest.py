"""What more than one test module needs."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from numlp.data.mnist import NAMES


def _without_mnist(reason: str) -> NoReturn:
    """Skip, or fail where the real files must be there, as in CI."""
    if os.environ.get("NUMLP_REQUIRE_MNIST"):
        pytest.fail(f"{reason}, and NUMLP_REQUIRE_MNIST is set")
    pytest.skip(f"{reason}: the real MNIST files are needed")


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder of the four MNIST files named by NUMLP_DATA; without it the test is skipped."""
    folder = os.environ.get("NUMLP_DATA")
    if not folder:
        _without_mnist("NUMLP_DATA is not set")
    for root in (Path(folder), Path(folder) / "mnist"):
        if all((root / name).is_file() or (root / name[:-3]).is_file() for name in NAMES):
            return root
    _without_mnist(f"NUMLP_DATA={folder} does not have the four MNIST files")
