"""Signals that end a training in good order instead of in the middle of a step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_heard: list[int | None] = []  # for each use that is open, the signal that came in it


@contextmanager
def interruptible(stop: Callable[[int], object], *signums: int) -> Iterator[None]:
    """Turn the first of the signals `signums` (Ctrl-C, if none is given) into `stop(signum)`; the next acts as usual.

    Nested uses all hear the first one, also one that begins after it. What is being ignored stays so. Outside the main
    thread, where Python allows no handlers, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.getsignal(signum) or signal.SIG_DFL for signum in signums or (signal.SIGINT,)}
    before = {signum: outer for signum, outer in before.items() if outer is not signal.SIG_IGN}
    if _heard and _heard[-1] in before:
        stop(_heard[-1])
        yield
        return

    def handle(signum: int, frame: Any) -> None:
        _heard[:] = [signum] * len(_heard)
        stop(signum)
        put_back()
        outer = before[signum]
        if callable(outer) and outer is not signal.default_int_handler:
            outer(signum, frame)

    def put_back() -> None:
        for signum, outer in before.items():
            if signal.getsignal(signum) is handle:
                signal.signal(signum, outer)

    _heard.append(None)
    for signum in before:
        signal.signal(signum, handle)
    try:
        yield
    finally:
        put_back()
        _heard.pop()
