"""One training at a time: what is at work in one refuses a second."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from numlp.errors import BusyError

_lock = threading.Lock()
_at_work: set[int] = set()  # id of each object that a training uses


@contextmanager
def exclusive(where: str, **parts: object) -> Iterator[None]:
    """Keep these parts, by name, for the caller alone; None is none.

    Errors  BusyError if one of them is in use, in this thread or another.
    """
    own = {id(part) for part in parts.values() if part is not None}
    with _lock:
        for name, part in parts.items():
            if id(part) in _at_work:
                raise BusyError(
                    f"{where}: {name} must be in one training at a time, got a {type(part).__name__} that is in another; "
                    "wait for its end, or give each training its own"
                )
        _at_work.update(own)
    try:
        yield
    finally:
        with _lock:
            _at_work.difference_update(own)


def _begin_anew() -> None:
    """Forget, in a forked process, the trainings of threads that it has not."""
    global _lock
    _lock = threading.Lock()
    _at_work.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
