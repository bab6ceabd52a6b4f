"""The one progress bar, lines that do not break it, and who reads them."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_announced = threading.Event()  # that kernels are being compiled: said once in a process
_silent = threading.local()  # .depth: how many callers of this thread want no progress


@contextmanager
def progress_bar(total: int, description: str, show: bool = True, **options: Any) -> Iterator[Any]:
    """Yield a tqdm bar on stderr that appears after one second and is gone at the end; silent without a terminal."""
    if not show:
        with without_progress():
            yield None
        return
    if not _is_terminal(sys.stderr):
        yield None
        return
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        """A bar that its own description and the lines beside it do not draw before `delay`.

        tqdm draws it then, and does not clear it at the end, because it believes that it never did.
        """

        is_shown = False

        def display(self, *args: Any, **kwargs: Any) -> Any:
            self.is_shown, self.delay = True, 0
            return super().display(*args, **kwargs)

        def refresh(self, nolock: bool = False, lock_args: Any = None) -> None:
            if self.is_shown or not nolock:  # nolock: tqdm.write draws all bars again
                super().refresh(nolock=nolock, lock_args=lock_args)

        def clear(self, *args: Any, **kwargs: Any) -> None:
            if self.is_shown:
                super().clear(*args, **kwargs)

        def set_description_str(self, desc: str | None = None, refresh: bool = False) -> None:
            super().set_description_str(desc, refresh=False)

    with Bar(total=total, desc=description, delay=1, dynamic_ncols=True, leave=False, **options) as bar:
        yield bar


@contextmanager
def without_progress() -> Iterator[None]:
    """Print nothing about progress inside, in this thread."""
    _silent.depth = getattr(_silent, "depth", 0) + 1
    try:
        yield
    finally:
        _silent.depth -= 1


def write_line(line: str, file: TextIO | None) -> None:
    """Print a line to `file`, if it is open; a bar that is being shown makes room for it."""
    if file is None:  # the program was started with that stream closed
        return
    if "tqdm" in sys.modules:
        from tqdm.auto import tqdm

        tqdm.write(line, file=file)
    else:
        print(line, file=file)
    file.flush()


def terminal_width(file: TextIO | None) -> int | None:
    """Return how many characters a line of `file` may have; None if it is no terminal."""
    if file is None or not file.isatty():
        return None
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(file.fileno()).columns)
    except (AttributeError, OSError, ValueError):  # what consoles put in the place of a file
        columns = 0
    return (columns if columns > 0 else 80) - 1  # a line that fills it may be broken


def is_watched() -> bool:
    """Whether somebody reads the output although stderr is no terminal: in a notebook, a console or an IDE."""
    if _is_terminal(sys.stderr):
        return False
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    in_kernel = getattr(shell, "kernel", None) is not None
    in_console = hasattr(sys, "ps1") or "idlelib.run" in sys.modules or "PYCHARM_HOSTED" in os.environ
    return in_kernel or in_console


def announce_compilation() -> None:
    """Say once that kernels are being compiled, which takes seconds, to whoever is shown progress."""
    if getattr(_silent, "depth", 0) or not (_is_terminal(sys.stderr) or is_watched()) or _announced.is_set():
        return
    _announced.set()
    write_line("compiling kernels, once on this machine (about 10 s) ...", sys.stderr)


def _is_terminal(file: TextIO | None) -> bool:
    return file is not None and file.isatty()
