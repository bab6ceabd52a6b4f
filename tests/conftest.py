"""What more than one test module needs."""

import os
from pathlib import Path

import pytest

from numlp.data.mnist import NAMES


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder of the four MNIST files named by NUMLP_DATA; without it the test is skipped."""
    folder = os.environ.get("NUMLP_DATA")
    if not folder:
        pytest.skip("NUMLP_DATA is not set: the real MNIST files are needed")
    for root in (Path(folder), Path(folder) / "mnist"):
        if all((root / name).is_file() or (root / name[:-3]).is_file() for name in NAMES):
            return root
    pytest.skip(f"NUMLP_DATA={folder} does not have the four MNIST files")
