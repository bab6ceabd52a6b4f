"""What more than one test module needs."""

import hashlib
import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from numlp.data.mnist_files import NAMES
from sizes import ALL

# threads of OpenMP that wait without a CPU: the suite has more threads than there are CPUs
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is exhaustive, unless all is wanted or a test is asked for by its name."""
    asked = any("::" in argument for argument in config.invocation_params.args)
    left_out = [] if ALL or asked else [item for item in items if item.get_closest_marker("exhaustive")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


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


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """Return an empty folder, in memory if there is such a place: many small files would wait for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


class Terminal(io.StringIO):
    """Text that is kept, and taken for a terminal; `bars` are those shown on it."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[Any] = []

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal that progress bars take for stderr."""
    from tqdm.auto import tqdm

    terminal = Terminal()

    class Shown(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, file=terminal, **options)
            terminal.bars.append(self)

    # not sys.stderr itself, which pytest replaces between here and the test
    monkeypatch.setattr("numlp.progress.sys", SimpleNamespace(stderr=terminal, modules=sys.modules))
    monkeypatch.setattr("numlp.progress.announce_compilation", lambda: None)
    monkeypatch.setattr("tqdm.auto.tqdm", Shown)
    return terminal


@pytest.fixture
def bars(terminal: Terminal) -> list[Any]:
    """Return the list of the progress bars shown on a terminal from now on."""
    return terminal.bars


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts what it puts in the background like this, and the commands that the tests interrupt would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _forget_stale_kernels() -> None:
    """Delete compiled kernels that are older than any of their sources: Numba looks at one file only."""
    folder = Path(__file__).parents[1] / "src" / "numlp" / "kernels" / "fused"
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    try:
        from numba.misc.appdirs import user_cache_dir
    except Exception:  # no Numba, or one that does not work here: no kernels
        return
    # the folder's name is Numba's
    own = f"fused_{hashlib.sha1(str(folder).encode(), usedforsecurity=False).hexdigest()}"
    caches = os.environ.get("NUMBA_CACHE_DIR"), Path(user_cache_dir(appname="numlp", appauthor=False)) / "kernels"
    for kept in (Path(next(filter(None, caches))) / own).glob("*.nb[ic]"):
        if kept.exists() and kept.stat().st_mtime < newest:
            kept.unlink(missing_ok=True)


_forget_stale_kernels()
